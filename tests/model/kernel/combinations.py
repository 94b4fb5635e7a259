"""Calls of all kinds drawn at random, on little memory and bad swap, against plain dictionaries."""

from dataclasses import dataclass
from errno import EAGAIN, EINVAL, ENOMEM

from numpy.random import default_rng

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.oom import OomKilled
from pagewalk.model.kernel.proc.smaps import smaps
from pagewalk.model.kernel.swap.errors import SwapDeviceBusy, SwapIoError
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.kernel.vmalloc_pages import vfree, vmalloc
from pagewalk.model.physical.out_of_memory import OutOfMemory

from .machines import ANON, PAGE, RW, SHARED, Killed, counted, machine

AREA = 0x4000_0000
BLOCKS = 8  # of a quarter of a huge page each
KNOWN = 10  # pages of a block of which is known what they hold
PROCESSES = 4
HARMLESS = [Madvise.COLD, Madvise.PAGEOUT, Madvise.PAGEOUT, Madvise.HUGEPAGE, Madvise.NOHUGEPAGE,
            Madvise.WILLNEED, Madvise.RANDOM, Madvise.NORMAL, Madvise.POPULATE_READ,
            Madvise.POPULATE_WRITE, Madvise.DONTDUMP, Madvise.COLLAPSE]
SIGKILL = 9


@dataclass
class Block:
    """What the known pages of a block hold; ``pages`` is one list for all who share it."""

    kind: str
    pages: list[int]
    writable: bool = True

    @property
    def shared(self):
        return self.kind != "anon"

    def copy(self):
        pages = self.pages if self.shared else [*self.pages]
        return Block(self.kind, pages, self.writable)


class Combinations:
    """Processes that do all there is to be done, each to a few blocks of memory.

    ``file`` has the bytes of one block. ``devices`` are swap areas, of which each access fails
    with a probability of ``failing``.
    """

    def __init__(self, mode, seed, devices, *, megabytes=8, failing=0.0):
        self.rng = default_rng(seed)
        self.kernel, self.cpu, first = machine(mode, megabytes)
        self.kernel.state.thp.enabled = ThpEnabled.ALWAYS
        self.kernel.exit(first)
        self.devices, self.off, self.failing = devices, [], failing
        for device in devices:
            self.kernel.swapon(device)
            device.unreadable = device.unwritable = lambda _slot: self.rng.random() < self.failing
        self.free = self.frames
        self.size = self.kernel.state.thp.page_bytes // 4
        self.step_bytes = self.size // KNOWN // PAGE * PAGE
        self.file = File("file")
        self.data = self.kernel.register_file(self.file, bytes(self.size))
        self.in_file = [0] * KNOWN
        self.calls = SystemCalls(self.kernel)
        self.blocks: dict[int, dict[int, Block]] = {}  # by pid
        self.running = 0  # the pid whose turn it is
        self.vmallocs: list[int] = []
        self.number = self.errors = 0

    @property
    def frames(self):
        """Free frames; the kernel's tables and the huge zero page stay for good."""
        state = self.kernel.state
        return counted(self.kernel)[0] + sum(state.kernel_tables.tables) + len(state.thp.own_frames)

    def draw(self, bound):
        return int(self.rng.integers(bound))

    def run(self, steps):
        for step in range(steps):
            self.step()
            if step % 10 == 0:
                self.kernel.check()
                for process in self.kernel.processes.values():
                    resident = [line.split()[1] for line in smaps(
                        self.kernel.state, process).splitlines() if line.startswith("Rss:")]
                    assert sum(map(int, resident)) == process.space.rss * PAGE >> 10

    def finish(self):
        """Compare what all pages hold, end all processes, and see that nothing is left."""
        self.failing, self.kernel.state.page_ops.write_error = 0.0, None
        for pid, blocks in self.living().items():
            self.kernel.switch(self.kernel.processes[pid])
            for at in list(blocks):
                for page in range(KNOWN):
                    self.access(pid, at, page, write=False)
        for process in list(self.kernel.processes.values()):
            self.kernel.exit(process)
        for address in self.vmallocs:
            vfree(self.kernel, address)
        self.kernel.state.page_cache.drop(self.file)
        self.kernel.check()
        assert self.frames == self.free
        assert self.kernel.state.swap.free_slots == self.kernel.state.swap.total_swap_pages
        assert [self.data[page * self.step_bytes :][:8] for page in range(KNOWN)] == [
            value.to_bytes(8, "little") for value in self.in_file]

    def living(self):
        """Return the blocks of the processes that have not been killed."""
        self.blocks = {pid: blocks for pid, blocks in self.blocks.items()
                       if pid in self.kernel.processes}
        return self.blocks

    def step(self):
        if not self.living():
            process = self.kernel.spawn("first")
            self.blocks[process.pid] = {}
            self.kernel.switch(process)
            self.calls.open(self.file)
        # Without PCIDs a switch flushes all: it would hide the flushes that are left out.
        if self.running not in self.blocks or not self.draw(8):
            self.running = list(self.blocks)[self.draw(len(self.blocks))]
        pid = self.running
        self.kernel.switch(self.kernel.processes[pid])
        names = ["touch"] * 10 + ["advise"] * 4 + ["map", "map", "protect", "discard", "lock",
                                                   "unmap", "fork", "transfer", "others", "remove"]
        try:
            getattr(self, names[self.draw(len(names))])(pid)
        except SwapIoError:  # how far it came is unknown
            self.errors += 1
            if pid in self.kernel.processes:
                self.kernel.exit(self.kernel.processes[pid])
        except (OomKilled, OutOfMemory):
            self.errors += 1

    # ---- accesses

    def touch(self, pid):
        for _ in range(20):
            if pid in self.living() and self.blocks[pid]:
                at = list(self.blocks[pid])[self.draw(len(self.blocks[pid]))]
                self.access(pid, at, self.draw(KNOWN), write=bool(self.draw(2)))

    def access(self, pid, at, page, *, write):
        """Load or store the word of a page; who may not store gets SIGSEGV, seldom tried."""
        block, address = self.blocks[pid][at], self.address(at) + page * self.step_bytes
        if write and not block.writable and self.draw(30):
            return
        try:
            if write:
                self.number += 1
                self.cpu.store(address, self.number.to_bytes(8, "little"))
                assert block.writable
                block.pages[page] = self.number
            else:
                assert int.from_bytes(self.cpu.load(address, 8), "little") == block.pages[page]
        except Killed as killed:
            self.living()
            if killed.signal.number != SIGKILL and block.writable:
                raise
        except SwapIoError:
            self.errors += 1

    # ---- calls

    def address(self, at):
        return AREA + at * self.size

    def call(self, name, *arguments):
        """Make a call; return whether it did all."""
        result = getattr(self.calls, name)(*arguments)
        assert result >= 0 or -result in (EINVAL, ENOMEM, EAGAIN), (name, arguments, result)
        return result >= 0

    def part(self):
        """Return where a range of any pages begins, and its length."""
        start = self.draw(BLOCKS * self.size // PAGE)
        return AREA + start * PAGE, (1 + self.draw(BLOCKS * self.size // PAGE - start)) * PAGE

    def map(self, pid):
        first, kind = self.draw(BLOCKS), ["anon", "anon", "shared", "file"][self.draw(4)]
        count = 1 if kind == "file" else 1 + self.draw(BLOCKS - first)
        flags = {"anon": ANON, "shared": SHARED, "file": MapFlag.SHARED}[kind] | MapFlag.FIXED
        start, length = self.address(first), count * self.size
        if not self.call("mmap", start, length, RW, flags, 0):  # there may be a hole now, or not
            assert self.call("munmap", start, length)
            for at in range(first, first + count):
                self.blocks[pid].pop(at, None)
            return
        for at in range(first, first + count):
            self.blocks[pid][at] = Block(kind, self.in_file if kind == "file" else [0] * KNOWN)

    def unmap(self, pid):
        at = self.draw(BLOCKS)
        assert self.call("munmap", self.address(at), self.size)
        self.blocks[pid].pop(at, None)

    def protect(self, pid):
        at, writable = self.draw(BLOCKS), bool(self.draw(4))
        if self.call("mprotect", self.address(at), self.size, RW if writable else Prot.READ):
            self.blocks[pid][at].writable = writable

    def discard(self, pid):
        at = self.draw(BLOCKS)
        if self.call("madvise", self.address(at), self.size, Madvise.DONTNEED_LOCKED):
            block = self.blocks[pid][at]
            block.pages = block.pages if block.shared else [0] * KNOWN

    def remove(self, pid):
        """Make a hole of a few pages in shared memory or in the file; none may be locked."""
        at, page = self.draw(BLOCKS), self.draw(KNOWN)
        place = self.address(at) + page * self.step_bytes, self.step_bytes
        if self.call("munlock", *place) and self.call("madvise", *place, Madvise.REMOVE):
            self.blocks[pid][at].pages[page] = 0

    def advise(self, _pid):
        self.call("madvise", *self.part(), HARMLESS[self.draw(len(HARMLESS))])

    def lock(self, _pid):
        self.call(("mlock", "munlock", "munlock")[self.draw(3)], *self.part())

    def fork(self, pid):
        if len(self.blocks) == PROCESSES:
            self.calls.exit()
            return
        child = self.calls.fork()
        if child < 0:
            assert child == -ENOMEM
            return
        self.blocks[child] = {at: block.copy() for at, block in self.blocks[pid].items()}

    def transfer(self, pid):
        """Read or write a word of the file by a call."""
        at, page, of_file = self.draw(BLOCKS), self.draw(KNOWN), self.draw(KNOWN)
        block, name = self.blocks[pid].get(at), ("pread", "pwrite")[self.draw(2)]
        if block is None or not (block.writable or name == "pwrite"):
            return
        address = self.address(at) + page * self.step_bytes
        result = getattr(self.calls, name)(0, address, 8, of_file * self.step_bytes)
        assert result == 8
        if name == "pread":
            block.pages[page] = self.in_file[of_file]
        else:
            self.in_file[of_file] = block.pages[page]

    def others(self, _pid):
        """Do what is about no process, or about all."""
        match self.draw(4):
            case 0:
                self.call("msync", *self.part(), 4)
            case 1 if len(self.vmallocs) < 4:
                self.vmallocs.append(vmalloc(self.kernel, 10 * PAGE))
            case 2 if self.vmallocs:
                vfree(self.kernel, self.vmallocs.pop(0))
            case 3:
                self.swapoff_or_on()

    def swapoff_or_on(self):
        if self.off:
            self.kernel.swapon(self.off.pop())
            return
        device = self.devices[self.draw(len(self.devices))]
        try:
            self.kernel.swapoff(device)
            self.off.append(device)
        except (SwapDeviceBusy, OutOfMemory, SwapIoError):
            self.errors += 1
