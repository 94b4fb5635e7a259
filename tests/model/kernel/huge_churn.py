"""Calls and accesses on huge pages drawn at random, against a plain dictionary."""

from dataclasses import dataclass, field

from numpy.random import default_rng

from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.kernel.process import Process
from pagewalk.model.kernel.vm_fault import FaultCause
from pagewalk.model.x86 import IA32

from .huge_machines import PAGE, PRIVATE_HUGE, SHARED_HUGE, Huge
from .machines import RW, Killed

AREA, SHARED_AREA = 0x4000_0000, 0x8000_0000
PAGES, SHARED_PAGES, PROCESSES = 6, 2, 3
TO = MremapFlag.MAYMOVE | MremapFlag.FIXED


@dataclass
class Held:
    """What a huge page holds: bytes by offset, all others zero; and whether it can be written."""

    data: dict[int, int] = field(default_factory=dict)
    writable: bool = True

    def copy(self) -> "Held":
        return Held(dict(self.data), self.writable)


class Churn:
    """Processes forked from one, each with ``PAGES`` places for huge pages beside shared ones."""

    def __init__(self, mode, seed: int, pool: int) -> None:
        self.rng = default_rng(seed)
        self.huge = Huge(mode, pool, 256 if mode is IA32 else 128)
        self.huge.process.mm.mmap(SHARED_AREA, SHARED_PAGES * self.huge.size, RW,
                                  SHARED_HUGE | MapFlag.FIXED)
        self.private: dict[Process, dict[int, Held]] = {self.huge.process: {}}
        self.shared = {page: Held() for page in range(SHARED_PAGES)}
        self.killed = 0

    @property
    def copies(self) -> int:
        return [one.cause for one in self.huge.cpu.results].count(FaultCause.COPY_ON_WRITE)

    def draw(self, bound: int) -> int:
        return int(self.rng.integers(bound))

    def run(self, steps: int = 400) -> None:
        kernel = self.huge.kernel
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
                kernel.check()
        for process in list(kernel.processes.values()):
            kernel.exit(process)
        total = self.huge.pool.total
        assert self.huge.counts == (total, total, 0)

    def step(self, process: Process) -> None:
        kernel = self.huge.kernel
        for _ in range(3):
            self.access(process)
        if self.draw(2):
            call = (self.map, self.unmap, self.protect, self.discard, self.move)[self.draw(5)]
            with kernel.acting(process):
                call(process, self.draw(PAGES))
            self.access(process)
        elif len(self.private) < PROCESSES and self.draw(2):
            self.private[kernel.fork(process)] = {
                page: held.copy() for page, held in self.private[process].items()}
        elif len(self.private) > 1 and not self.draw(8):
            kernel.exit(process)
            del self.private[process]

    def access(self, process: Process) -> None:
        size, own = self.huge.size, self.private[process]
        places = [(held, AREA + page * size) for page, held in own.items()] + [
            (held, SHARED_AREA + page * size) for page, held in self.shared.items()]
        held, start = places[self.draw(len(places))]
        offset = self.draw(2) * (size // 2 + PAGE)
        cpu = self.huge.run(process)
        if held.writable and self.draw(2):
            value = self.draw(256)
            cpu.store(start + offset, bytes([value]))
            held.data[offset] = value
        else:
            assert cpu.load(start + offset) == bytes([held.data.get(offset, 0)])

    # ---- calls: about the pages from ``first`` on, if they are as the call needs them

    def map(self, process: Process, first: int) -> None:
        count = 1 + self.draw(PAGES - first)
        if self.huge.pool.free >= count:
            size = self.huge.size
            process.mm.mmap(AREA + first * size, count * size, RW, PRIVATE_HUGE | MapFlag.FIXED)
            self.private[process].update({first + at: Held() for at in range(count)})

    def unmap(self, process: Process, first: int) -> None:
        count, size = 1 + self.draw(PAGES - first), self.huge.size
        process.mm.munmap(AREA + first * size, count * size)
        for page in range(first, first + count):
            self.private[process].pop(page, None)

    def protect(self, process: Process, first: int) -> None:
        held, size = self.private[process].get(first), self.huge.size
        if held is not None:
            held.writable = bool(self.draw(2))
            process.mm.mprotect(AREA + first * size, size, Prot.NONE)
            process.mm.mprotect(AREA + first * size, size, RW if held.writable else Prot.READ)

    def discard(self, process: Process, first: int) -> None:
        held, size = self.private[process].get(first), self.huge.size
        if held is not None:
            process.mm.madvise(AREA + first * size, size, Madvise.DONTNEED)
            held.data.clear()

    def move(self, process: Process, first: int) -> None:
        own, to, size = self.private[process], self.draw(PAGES), self.huge.size
        if first in own and to not in own:
            process.mm.mremap(AREA + first * size, size, size, TO, AREA + to * size)
            own[to] = own.pop(first)
