"""The kernel model as what stands behind a machine: the processes of a workload, and their faults.

It is ``model.kernel`` in the form that ``cosim`` asks for.
"""

from collections.abc import Sequence

from ..model.address_space.uapi import MapFlag, Prot
from ..model.kernel.kernel import Kernel
from ..model.kernel.process import Process
from ..model.kernel.tlb import Invalidation
from ..model.mmu.control import Control
from ..model.x86 import PAGE_SHIFT
from .cosim import Handled
from .workload import Region

__all__ = ["LinuxKernel"]


class LinuxKernel:
    """A kernel that has booted, with processes that have all of ``regions`` mapped.

    Shared regions are mapped by the first process before the others are forked from it, the
    private ones by each for itself. Raise ``SysError`` if a region cannot be mapped.

    Parameters
    ----------
    kernel : Kernel
        Has no process yet.
    regions : sequence of Region
        What each process has.
    processes : int
        How many there are, at least one.

    Members
    -------
    kernel : Kernel
        The kernel.
    processes : list of Process
        The processes, by their number in the workload.
    """

    def __init__(self, kernel: Kernel, regions: Sequence[Region], processes: int = 1) -> None:
        self.kernel = kernel
        first = kernel.spawn("process0")
        for region in regions:
            if region.shared:
                _map(first, region)
        self.processes = [first, *(kernel.fork(first) for _ in range(1, processes))]
        for process in self.processes:
            for region in regions:
                if not region.shared:
                    _map(process, region)

    @property
    def control(self) -> Control:
        """The registers as the kernel last wrote them."""
        return self.kernel.control

    def page_fault(self, vaddr: int, error_code: int, user: bool) -> Handled:
        """Handle a page fault of the running process."""
        result = self.kernel.handle_page_fault(vaddr, error_code)
        signal = None if result.signal is None else int(result.signal.number)
        return Handled(result.major, signal, self.kernel.state.tlb.take())

    def switch(self, process: int) -> Sequence[Invalidation]:
        """Let another process run."""
        self.kernel.switch(self.processes[process])
        return self.kernel.state.tlb.take()

    def exit(self) -> Sequence[Invalidation]:
        """End all processes; return what is to be invalidated then."""
        for process in self.processes:
            self.kernel.exit(process)
        self.processes.clear()
        return self.kernel.state.tlb.take()


def _map(process: Process, region: Region) -> None:
    """Map a region, of a stack only the uppermost page."""
    flags = MapFlag.ANONYMOUS | MapFlag.FIXED_NOREPLACE
    flags |= MapFlag.SHARED if region.shared else MapFlag.PRIVATE
    start = region.start
    if region.grows_down:
        flags |= MapFlag.GROWSDOWN | MapFlag.STACK
        start = region.end - (1 << PAGE_SHIFT)
    process.mm.mmap(start, region.end - start, Prot.READ | Prot.WRITE, flags)
