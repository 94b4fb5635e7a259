"""Calls and accesses on huge pages of both kinds drawn at random, against a plain dictionary."""

from dataclasses import dataclass, field

from numpy.random import default_rng

from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.process import Process
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.x86 import IA32

from .huge_machines import PAGE, PRIVATE_HUGE, SHARED_HUGE, Huge
from .machines import ANON, RW, SHARED, Cpu, Killed, machine

AREA, SHARED_AREA = 0x4000_0000, 0x8000_0000
SHARED_PAGES, PROCESSES = 2, 3
LONGEST = 4  # pages that a call is about
TO = MremapFlag.MAYMOVE | MremapFlag.FIXED


@dataclass
class Held:
    """What a page holds: bytes by offset, all others zero; and whether it can be written."""

    data: dict[int, int] = field(default_factory=dict)
    writable: bool = True

    def copy(self) -> "Held":
        return Held(dict(self.data), self.writable)


class Churn:
    """Processes forked from one, each with ``pages`` places for private memory, beside shared one.

    A page here is what calls are about: ``size`` bytes. ``flags`` are those to map private memory.
    """

    size: int
    pages: int
    flags: int
    cpu: Cpu

    def __init__(self, seed: int, kernel: Kernel, process: Process, shared_flags: int) -> None:
        self.rng = default_rng(seed)
        self.kernel = kernel
        process.mm.mmap(SHARED_AREA, SHARED_PAGES * self.size, RW, shared_flags | MapFlag.FIXED)
        self.private: dict[Process, dict[int, Held]] = {process: {}}
        self.shared = {page: Held() for page in range(SHARED_PAGES)}
        self.killed = 0

    @property
    def copies(self) -> int:
        return [one.cause for one in self.cpu.results].count(FaultCause.COPY_ON_WRITE)

    def has_room(self, _count: int) -> bool:
        """Whether so many pages may be mapped."""
        return True

    def draw(self, bound: int) -> int:
        return int(self.rng.integers(bound))

    def run(self, steps: int = 400) -> None:
        for step in range(steps):
            process = list(self.private)[self.draw(len(self.private))]
            try:
                self.step(process)
            except Killed:
                self.killed += 1
                del self.private[process]
            if not self.private:
                break
            if step % 20 == 0:
                self.kernel.check()
        for process in list(self.kernel.processes.values()):
            self.kernel.exit(process)
        self.kernel.check()

    def step(self, process: Process) -> None:
        for _ in range(3):
            self.access(process)
        if self.draw(2):
            call = (self.map, self.unmap, self.protect, self.discard, self.move)[self.draw(5)]
            with self.kernel.acting(process):
                call(process, self.draw(self.pages))
            self.access(process)
        elif len(self.private) < PROCESSES and self.draw(2):
            self.private[self.kernel.fork(process)] = {
                page: held.copy() for page, held in self.private[process].items()}
        elif len(self.private) > 1 and not self.draw(8):
            self.kernel.exit(process)
            del self.private[process]

    def access(self, process: Process) -> None:
        size, own = self.size, self.private[process]
        places = [(held, AREA + page * size) for page, held in own.items()] + [
            (held, SHARED_AREA + page * size) for page, held in self.shared.items()]
        held, start = places[self.draw(len(places))]
        offset = self.draw(2) * (size // 2 + PAGE)
        self.kernel.switch(process)
        if held.writable and self.draw(2):
            value = self.draw(256)
            self.cpu.store(start + offset, bytes([value]))
            held.data[offset] = value
        else:
            assert self.cpu.load(start + offset) == bytes([held.data.get(offset, 0)])

    # ---- calls: about the pages from ``first`` on, if they are as the call needs them

    def map(self, process: Process, first: int) -> None:
        count, size = 1 + self.draw(self.pages - first), self.size
        if self.has_room(count):
            process.mm.mmap(AREA + first * size, count * size, RW, self.flags | MapFlag.FIXED)
            self.private[process].update({first + at: Held() for at in range(count)})

    def unmap(self, process: Process, first: int) -> None:
        count, size = 1 + self.draw(self.pages - first), self.size
        process.mm.munmap(AREA + first * size, count * size)
        for page in range(first, first + count):
            self.private[process].pop(page, None)

    def _run_of(self, process: Process, first: int) -> list[Held]:
        """Return what is mapped from ``first`` on without a hole, at most ``LONGEST`` pages."""
        own = self.private[process]
        held = []
        while first + len(held) in own and len(held) < LONGEST:
            held.append(own[first + len(held)])
        return held

    def protect(self, process: Process, first: int) -> None:
        run, size, writable = self._run_of(process, first), self.size, bool(self.draw(2))
        if run:
            process.mm.mprotect(AREA + first * size, len(run) * size, Prot.NONE)
            process.mm.mprotect(AREA + first * size, len(run) * size,
                                RW if writable else Prot.READ)
        for held in run:
            held.writable = writable

    def discard(self, process: Process, first: int) -> None:
        run, size = self._run_of(process, first), self.size
        if run:
            process.mm.madvise(AREA + first * size, len(run) * size, Madvise.DONTNEED)
        for held in run:
            held.data.clear()

    def move(self, process: Process, first: int) -> None:
        own, size = self.private[process], self.size
        run, to = self._run_of(process, first), self.draw(self.pages)
        vma = process.mm.tree.lookup(AREA + first * size)
        target = range(to, to + len(run))
        if run and vma.end >= AREA + (first + len(run)) * size and target.stop <= self.pages and (
                not any(page in own for page in target)):
            process.mm.mremap(AREA + first * size, len(run) * size, len(run) * size, TO,
                              AREA + to * size)
            for at in range(len(run)):
                own[to + at] = own.pop(first + at)


class HugeChurn(Churn):
    """On huge pages that were set aside: ``pool`` of them."""

    def __init__(self, mode, seed: int, pool: int) -> None:
        self.huge = Huge(mode, pool, 256 if mode is IA32 else 128)
        self.size, self.pages, self.flags = self.huge.size, 6, PRIVATE_HUGE
        self.cpu = self.huge.cpu
        super().__init__(seed, self.huge.kernel, self.huge.process, SHARED_HUGE)

    def has_room(self, count: int) -> bool:
        return self.huge.pool.free >= count

    def run(self, steps: int = 400) -> None:
        super().run(steps)
        total = self.huge.pool.total
        assert self.huge.counts == (total, total, 0)


class ThpChurn(Churn):
    """On transparent huge pages, of which calls are about halves.

    If they are ``advised``, memory is reclaimed for them.
    """

    def __init__(self, mode, seed: int, megabytes: int, *, advised: bool = False) -> None:
        kernel, self.cpu, process = machine(mode, megabytes)
        self.advised = advised
        kernel.state.thp.enabled = ThpEnabled.ALWAYS
        self.size, self.pages, self.flags = kernel.state.thp.page_bytes // 2, 12, ANON
        super().__init__(seed, kernel, process, SHARED)

    def map(self, process: Process, first: int) -> None:
        super().map(process, first)
        vma = process.mm.tree.lookup(AREA + first * self.size)
        if self.advised and vma is not None:
            process.mm.madvise(vma.start, vma.end - vma.start, Madvise.HUGEPAGE)
