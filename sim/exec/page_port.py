"""The kernel's copies from and to programs: one translation by the engine for each page."""

from ...model.kernel.calls.user_port import page_parts
from ...model.kernel.kernel import Kernel
from ...model.mmu.walk import Fault
from ...model.x86 import AccessKind
from ..cosim.hardware_port import HardwarePort, first_fault
from ..cosim.machine import Machine
from ..engine.command import accesses

__all__ = ["PagePort"]


class PagePort(HardwarePort):
    """Accesses at CPL 0 of which the engine translates one for each page that a copy touches.

    A ``HardwarePort`` has it translate each of up to 8 bytes, which takes minutes for what a
    program reads. The bytes are moved by ``PhysicalMemory``, which notices what it is watching.

    Parameters
    ----------
    machine, kernel
        The machine, and the kernel that runs on it.
    """

    def __init__(self, machine: Machine, kernel: Kernel) -> None:
        super().__init__(machine, kernel)
        self._user = machine
        self._frames = kernel.state.memory

    def move(self, address: int, width: int, count: int, data: bytes | None,
             ac: bool) -> tuple[bytes, Fault | None]:
        """Make moves in one page, or one move in two; see ``HardwarePort.move``."""
        machine = self._user
        self.carry_out()
        kind = AccessKind.READ if data is None else AccessKind.WRITE
        parts = page_parts(address, width * count)
        commands = accesses(machine.control, [start for start, _ in parts], kind, ac=ac,
                            port=machine.port)
        run = machine.run_supervisor(commands)
        if run.stopped:
            return b"", first_fault(run, commands)
        found, done = b"", 0
        for paddr, (_, size) in zip(run.answers["paddr"].tolist(), parts, strict=True):
            found += self._frames.read_bytes(paddr, size)
            if data is not None:
                self._frames.write_bytes(paddr, data[done : done + size])
            done += size
        return found, None
