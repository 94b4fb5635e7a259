"""One program of system calls, loads and stores for three worlds.

``Plain`` is dictionaries of bytes, ``Golden`` the kernel model with the golden walk alone, and
``Hardware`` the kernel model with the MMU in its way. Each gives the result of every step.
"""

from dataclasses import dataclass
from errno import EFAULT

import numpy as np

from pagewalk.hdl.config import Config
from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.sim.cosim.kernel_entry import KernelEntry
from pagewalk.sim.cosim.linux import LinuxKernel
from pagewalk.sim.cosim.machine import Machine
from pagewalk.sim.engine import create
from pagewalk.sim.workloads.workload import DATA_ACCESS

from ..model.kernel.machines import Cpu

PAGE = 4096
RW = Prot.READ | Prot.WRITE
ANON = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED
BASE, SHARED = 0x1000_0000, 0x2000_0000
ROOM = 16 << 20  # bytes, for what a file grows by


@dataclass
class Page:
    """A page of a process: where its bytes are, and whether the process may write them."""

    data: memoryview
    writable: bool
    shared: bool


def copied(mode, user, kernel, size, there, *, to_user):
    """Bytes that count as copied and that are stored, if ``there`` bytes can be accessed.

    Of the routines of amd64-A and i686-A, for all but a whole copy. [copy_user_64.S:
    to the byte; usercopy_32.c: from 64 bytes on by blocks, unless both sides are aligned alike]
    """
    if mode.entry_bytes == 8 or size <= 7 or there == size:
        return there, there
    if size < 64 or not (user ^ kernel) & 7:
        start = -(user if to_user else kernel) & 7
        words = start + (size - start) // 4 * 4
    else:
        start = 0
        while size - start >= 64:
            needed = 64 if to_user else (68 if size - start > 67 else 64)
            if there < start + needed:
                return start, start + max(0, there - start) // 4 * 4
            start += 64
        words = start + (size - start) // 4 * 4
    if start < there < words:
        there = start + (there - start) // 4 * 4
    return there, there


class Plain:
    """What everything must come to."""

    def __init__(self, mode, content):
        self.mode = mode
        self.room, self.size = memoryview(bytearray(content) + bytes(ROOM)), len(content)
        self.spaces = [{}]
        self.position = [0]  # of the only open file, which all processes share

    @property
    def content(self):
        """The bytes of the file, which grows."""
        return self.room[: self.size]

    def load(self, process, address, size):
        page = self.spaces[process][address // PAGE]
        return int.from_bytes(page.data[address % PAGE :][:size], "little")

    def store(self, process, address, size, value):
        page = self.spaces[process][address // PAGE]
        page.data[address % PAGE :][:size] = value.to_bytes(size, "little")
        return value

    def call(self, process, name, *arguments):
        return getattr(self, name)(self.spaces[process], *arguments)

    def mmap(self, space, address, length, prot, _flags, fd=-1, offset=0):
        for at in range(0, length, PAGE):
            data = memoryview(bytearray(PAGE)) if fd < 0 else self.room[offset + at :][:PAGE]
            space[(address + at) // PAGE] = Page(data, bool(prot & Prot.WRITE), fd >= 0)
        return address

    def munmap(self, space, address, length):
        for at in range(0, length, PAGE):
            space.pop((address + at) // PAGE, None)
        return 0

    def mprotect(self, space, address, length, prot):
        for at in range(0, length, PAGE):
            space[(address + at) // PAGE].writable = bool(prot & Prot.WRITE)
        return 0

    def madvise(self, space, address, length, _advice):
        for at in range(0, length, PAGE):
            page = space[(address + at) // PAGE]
            if not page.shared:
                page.data = memoryview(bytearray(PAGE))
        return 0

    def msync(self, *_arguments):
        return 0

    def fork(self, space):
        self.spaces.append({
            vpn: page if page.shared else Page(memoryview(bytearray(page.data)), page.writable,
                                               False)
            for vpn, page in space.items()})
        return 1 + len(self.spaces)  # the first process has pid 2

    def there(self, space, address, size, *, write):
        """Bytes of a range that can be accessed, up to the first that cannot."""
        for at in range(address, address + size):
            page = space.get(at // PAGE)
            if page is None or (write and not page.writable):
                return at - address
        return size

    def read(self, space, fd, buffer, count):
        done = self.pread(space, fd, buffer, count, self.position[0])
        self.position[0] += max(done, 0)
        return done

    def write(self, space, fd, buffer, count):
        done = self.pwrite(space, fd, buffer, count, self.position[0])
        self.position[0] += max(done, 0)
        return done

    def pread(self, space, _fd, buffer, count, position):
        wanted, done = max(0, min(count, self.size - position)), 0
        while done < wanted:
            at = position + done
            step = min(wanted - done, PAGE - at % PAGE)
            there = self.there(space, buffer + done, step, write=True)
            counted, stored = copied(self.mode, buffer + done, at % PAGE, step, there, to_user=True)
            for index in range(stored):
                where = buffer + done + index
                space[where // PAGE].data[where % PAGE] = self.room[at + index]
            done += counted
            if counted < step:
                break
        return done or (-EFAULT if wanted else 0)

    def pwrite(self, space, _fd, buffer, count, position):
        done = 0
        while done < count:
            at = position + done
            step = min(count - done, PAGE - at % PAGE)
            there = self.there(space, buffer + done, step, write=False)
            counted, _ = copied(self.mode, buffer + done, at % PAGE, step, there, to_user=False)
            for index in range(counted):
                where = buffer + done + index
                self.room[at + index] = space[where // PAGE].data[where % PAGE]
            done += counted
            if not counted:
                break
            self.size = max(self.size, position + done)
        return done or (-EFAULT if count else 0)


class World:
    """A kernel that has booted, one process on it, and a file that it has opened."""

    def __init__(self, mode, content, swap, **options):
        self.kernel = Kernel.boot(mode, 2 << 20, **options)
        self.kernel.swapon(swap)
        self.file = File("file")
        self.data = self.kernel.register_file(self.file, content)
        self.in_calls = 0  # major faults

    def faults(self):
        """Return how many major faults there were."""
        return sum(process.maj_flt for process in self.kernel.processes.values())

    def end(self):
        """End all processes; return the bytes of the file then."""
        self.kernel.check()
        for process in [*self.kernel.processes.values()]:
            self.kernel.exit(process)
        self.kernel.state.page_cache.drop(self.file)
        self.kernel.check()
        return bytes(self.data)


class Golden(World):
    """Loads, stores and copies by the golden walk."""

    def __init__(self, mode, content, swap):
        super().__init__(mode, content, swap)
        self.processes = [self.kernel.spawn("first")]
        self.cpu, self.calls = Cpu(self.kernel), SystemCalls(self.kernel)
        self.kernel.switch(self.processes[0])
        self.calls.open(self.file)

    def load(self, process, address, size):
        self.kernel.switch(self.processes[process])
        return int.from_bytes(self.cpu.load(address, size), "little")

    def store(self, process, address, size, value):
        self.kernel.switch(self.processes[process])
        self.cpu.store(address, value.to_bytes(size, "little"))
        return value

    def call(self, process, name, *arguments):
        self.kernel.switch(self.processes[process])
        before = self.faults()
        result = getattr(self.calls, name)(*arguments)
        self.in_calls += self.faults() - before
        self.processes = [*self.kernel.processes.values()]
        return result


class Hardware(World):
    """Loads, stores and copies through the MMU."""

    def __init__(self, mode, content, swap, engine, **options):
        super().__init__(mode, content, swap, **options)
        self.linux = LinuxKernel(self.kernel, ())
        self.machine = Machine(create(engine, Config(mode=mode, entries=16, ports=("data",))),
                               self.kernel.state.memory, self.linux)
        self.entry = KernelEntry(self.machine, self.linux)
        with self.entry.system_call(0) as calls:
            calls.open(self.file)

    def load(self, process, address, size):
        access = np.array([(process, False, size, address, 0)], DATA_ACCESS)
        return int(self.machine.run(access)[0])

    def store(self, process, address, size, value):
        self.machine.run(np.array([(process, True, size, address, value)], DATA_ACCESS))
        return value

    def call(self, process, name, *arguments):
        before = self.faults()
        with self.entry.system_call(process) as calls:
            result = getattr(calls, name)(*arguments)
        self.in_calls += self.faults() - before
        return result


class Program:
    """Random steps that ``plain`` can take without being killed, and does take.

    The memory of a process is ``pages`` anonymous pages, of which some come and go, and those of
    the file, shared. Half of the steps come back to one of the last pages.
    """

    RECENT = 6

    def __init__(self, plain, pages, seed, longest=6000):
        self.plain, self.pages, self.longest = plain, pages, longest
        self.rng = np.random.default_rng(seed)
        self.file_pages = len(plain.content) // PAGE
        self.steps, self.results, self.recent = [], [], []

    def make(self, count, *, touched=0, sweep=True):
        """Map memory, store to each of the first ``touched`` pages, and take ``count`` steps.

        In the middle there is a fork. At the end, some words of each page are loaded.
        """
        self.add("call", 0, "mmap", BASE, self.pages * PAGE, RW, ANON)
        self.add("call", 0, "mmap", SHARED, self.file_pages * PAGE, RW,
                 MapFlag.SHARED | MapFlag.FIXED, 0, 0)
        for page in range(touched):
            self.add("store", 0, BASE + page * PAGE, 8, page)
        for step in range(count):
            if step == count // 2:
                self.add("call", 0, "fork")
            getattr(self, self.rng.choice(["access"] * 6 + ["transfer"] * 3 + ["change"]))()
        for process, space in enumerate(self.plain.spaces if sweep else ()):
            for vpn in sorted(space):
                for offset in (0, 8, 2048, 4088):
                    self.add("load", process, vpn * PAGE + offset, 8)
        return self

    def add(self, what, *arguments):
        self.steps.append((what, arguments))
        self.results.append(getattr(self.plain, what)(*arguments))

    def number(self, limit):
        return int(self.rng.integers(limit))

    def page(self):
        """A process and the number of an anonymous page."""
        if self.recent and self.number(2):
            return self.recent[self.number(len(self.recent))]
        page = self.number(len(self.plain.spaces)), BASE // PAGE + self.number(self.pages)
        self.recent = [page, *self.recent[: self.RECENT - 1]]
        return page

    def access(self):
        """A load or a store of a page that permits it."""
        process, vpn = self.page()
        if not self.number(4):
            vpn = SHARED // PAGE + self.number(self.file_pages)
        space = self.plain.spaces[process]
        if vpn not in space:
            return
        size = 1 << self.number(4)
        address = vpn * PAGE + self.number(PAGE // size) * size
        if self.number(2) and space[vpn].writable:
            self.add("store", process, address, size, self.number(1 << 8 * size - 1))
        else:
            self.add("load", process, address, size)

    def transfer(self):
        """A read or a write, of which the buffer may lie where nothing is."""
        name = str(self.rng.choice(["read", "write", "pread", "pwrite"]))
        count = self.number(self.longest) if self.number(2) else self.number(200)
        near = self.number(2) * self.number(120)  # often a little before the end of a page
        process, vpn = self.page()
        buffer = (vpn + 1) * PAGE - near
        if not self.number(3):
            buffer &= -8
        arguments = [0, buffer, count]
        if name.startswith("p"):
            arguments.append(self.number(len(self.plain.content)))
        self.add("call", process, name, *arguments)

    def change(self):
        """A page that goes, comes again empty, or changes its rights."""
        process, vpn = self.page()
        address = vpn * PAGE
        if vpn not in self.plain.spaces[process]:
            self.add("call", process, "mmap", address, PAGE, RW, ANON)
            return
        match self.number(5):
            case 0:
                self.add("call", process, "munmap", address, PAGE)
            case 1:
                self.add("call", process, "mprotect", address, PAGE, Prot.READ)
            case 2:
                self.add("call", process, "mprotect", address, PAGE, RW)
            case 3:
                self.add("call", process, "madvise", address, PAGE, Madvise.DONTNEED)
            case 4:
                self.add("call", process, "msync", SHARED, self.file_pages * PAGE, 4)
