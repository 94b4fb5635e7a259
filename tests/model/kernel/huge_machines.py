"""Machines with huge pages set aside."""

from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.kernel.hugetlb_pool import HugePages
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.process import Process
from pagewalk.model.x86 import IA32, X86_64

from .machines import ANON, PAGE, RW, SHARED, Cpu, machine

HUGE = {IA32: 4 << 20, X86_64: 2 << 20}
PRIVATE_HUGE = ANON | MapFlag.HUGETLB
SHARED_HUGE = SHARED | MapFlag.HUGETLB


class Huge:
    """A machine with ``pages`` huge pages, and a process on it."""

    def __init__(self, mode, pages: int, megabytes: int = 64) -> None:
        self.kernel: Kernel
        self.cpu: Cpu
        self.process: Process
        self.kernel, self.cpu, self.process = machine(mode, megabytes)
        self.size = HUGE[mode]
        self.pool: HugePages = self.kernel.state.hugetlb[self.size]
        assert self.kernel.set_nr_hugepages(pages) == pages

    def map(self, pages: int, flags: int = PRIVATE_HUGE, prot: int = RW) -> int:
        return self.process.mm.mmap(0, pages * self.size, prot, flags)

    @property
    def counts(self) -> tuple[int, int, int]:
        """HugePages_Total, _Free and _Rsvd of /proc/meminfo, the machine found sound."""
        self.kernel.check()
        return self.pool.total, len(self.pool.free_list), self.pool.reserved

    def fork(self) -> Process:
        return self.kernel.fork(self.process)

    def run(self, process: Process) -> Cpu:
        """Let a process run, and return the processor."""
        self.kernel.switch(process)
        return self.cpu


__all__ = ["HUGE", "PAGE", "PRIVATE_HUGE", "SHARED_HUGE", "Huge"]
