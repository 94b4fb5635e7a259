"""What tours of processes share: a machine, loads and stores, system calls, files of ``/proc``."""

from ...model.address_space.maps_text import maps_text
from ...model.kernel.calls.syscalls import SystemCalls
from ...model.kernel.kernel import Kernel
from ...model.kernel.proc.meminfo import meminfo
from ...model.kernel.proc.smaps import smaps
from ...model.kernel.process import Process
from ...model.mmu.walk import Access, walk
from ...model.x86 import X86_64, AccessKind, PagingMode
from ..follow.call_text import CallText
from ..follow.fault_text import FaultReport, fault_text
from ..follow.followed_kernel import FollowedKernel
from .tour_step import Block, Tour, chosen_lines

__all__ = ["ProcessTour"]

REGISTERS = 6
SMALL_MACHINE = 16 << 20
HEX = "0123456789abcdef"


class ProcessTour(Tour):
    """A machine without hardware: the golden walk translates, and the kernel handles its faults.

    Parameters
    ----------
    mode, memory_bytes
        Its paging, and its memory.

    Members
    -------
    kernel
        The kernel, which tells of its faults.
    calls
        The system calls of the process that runs.
    """

    def __init__(self, mode: PagingMode = X86_64, memory_bytes: int = SMALL_MACHINE) -> None:
        super().__init__()
        kernel = FollowedKernel.boot(mode, memory_bytes)
        assert isinstance(kernel, FollowedKernel)
        kernel.on_fault = self._fault
        self.kernel: Kernel = kernel
        self.calls = SystemCalls(kernel)

    def _fault(self, report: FaultReport) -> None:
        self.events.append(self._of(report.process) + fault_text(report))

    def _of(self, process: Process) -> str:
        """Return what a line begins with that is of one process among several."""
        return f"[task {process.pid}] " if len(self.kernel.processes) > 1 else ""

    def store(self, process: Process, vaddr: int, value: int) -> None:
        """Have a process store a byte; raise ``SegmentationFault``."""
        paddr = self._translate(process, Access(vaddr, AccessKind.WRITE, user=True))
        if paddr is not None:
            self.kernel.state.memory.write(paddr, 1, value)

    def load(self, process: Process, vaddr: int) -> int | None:
        """Have a process load a byte; return it, None if the process gets a signal instead."""
        paddr = self._translate(process, Access(vaddr, user=True))
        return None if paddr is None else self.kernel.state.memory.read(paddr, 1)

    def _translate(self, process: Process, access: Access) -> int | None:
        """Return the physical address of an access, after its faults, None after a signal."""
        kernel = self.kernel
        kernel.switch(process)
        while True:
            done = walk(kernel.state.memory, kernel.mode, kernel.control, access)
            if done.fault is None:
                return done.paddr
            result = kernel.handle_page_fault(done.fault.vaddr, done.fault.error_code)
            if result.signal is not None:
                return None

    def call(self, process: Process, name: str, *arguments: int) -> int:
        """Have a process make a system call, which becomes a line; return its result."""
        self.kernel.switch(process)
        registers = (*arguments, *(0,) * REGISTERS)[:REGISTERS]
        text = CallText(process, name, registers, self.kernel.space.word_bytes)
        begun = text.begin()
        result: int = getattr(self.calls, name)(*arguments)
        self.events.append(self._of(process) + begun + text.end(result))
        return result

    # ---- files of /proc

    def maps(self, process: Process) -> Block:
        """Return ``/proc/PID/maps``."""
        return Block(f"/proc/{process.pid}/maps", maps_text(process.mm))

    def smaps(self, process: Process, *names: str) -> Block:
        """Return ``/proc/PID/smaps``, of which only some lines of each mapping."""
        return Block(f"/proc/{process.pid}/smaps", chosen_lines(
            smaps(self.kernel.state, process), *HEX, *(f"{name}:" for name in names)))

    def meminfo(self, *names: str) -> Block:
        """Return some lines of ``/proc/meminfo``."""
        return Block("/proc/meminfo",
                     chosen_lines(meminfo(self.kernel), *(f"{name}:" for name in names)))
