"""The kernel's accesses to user memory through the MMU hardware: every load and store is one."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from ...model.kernel.calls.user_port import by_page, page_parts
from ...model.kernel.kernel import Kernel
from ...model.kernel.tlb_flush import Invalidation
from ...model.mmu.walk import Fault
from ...model.x86 import AccessKind, ErrorCode, Vector
from ..engine.base import Run
from ..engine.command import accesses, data_accesses
from .machine import Machine

__all__ = ["HardwarePort", "first_fault"]


class HardwarePort:
    """Accesses at CPL 0 that a machine makes; see ``model.kernel.calls.user_port.UserPort``.

    A move that is not aligned is made of several aligned accesses, as an engine has no others; of
    one that lies in two pages, both are translated before anything is moved.

    Before each access the machine carries out what the kernel owes the TLB. Within ``entered`` that
    is all that came up since the call began; outside of it, what nobody has collected yet.

    Parameters
    ----------
    machine, kernel
        The machine, and the kernel that runs on it.
    """

    def __init__(self, machine: Machine, kernel: Kernel) -> None:
        self._machine = machine
        self._kernel = kernel
        self._owed: list[Invalidation] | None = None  # by the call that the kernel works on

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have the machine carry out what the kernel owes the TLB while it works on a call.

        The hardware must be up to date before each access of a copy, and when the call ends. A call
        within a call goes back to the outer one.
        """
        self.carry_out()
        outer = self._owed
        with self._kernel.invalidations() as self._owed:
            try:
                yield
            finally:
                self.carry_out()
                self._owed = outer

    def carry_out(self) -> None:
        """Have the machine carry out what the kernel owes the TLB until now."""
        if self._owed is None:
            with self._kernel.invalidations() as owed:
                self._machine.invalidate(owed)
            return
        owed, self._owed[:] = self._owed[:], []
        self._machine.invalidate(owed)

    def load(self, address: int, width: int, count: int, *, ac: bool) -> tuple[bytes, Fault | None]:
        """Load; see ``UserPort.load``."""
        data = b""
        for start, moves in by_page(address, width, count):
            loaded, fault = self.move(start, width, moves, None, ac)
            data += loaded
            if fault is not None:
                return data, fault
        return data, None

    def store(self, address: int, width: int, data: bytes, *, ac: bool) -> tuple[int, Fault | None]:
        """Store; see ``UserPort.store``."""
        done = 0
        for start, moves in by_page(address, width, len(data) // width):
            before, fault = self.move(start, width, moves, data[done : done + moves * width], ac)
            done += len(before)
            if fault is not None:
                return done // width, fault
        return done // width, None

    def move(self, address: int, width: int, count: int, data: bytes | None,
             ac: bool) -> tuple[bytes, Fault | None]:
        """Make moves that lie in one page, or one move that lies in two: loads without ``data``.

        Return what those that were made found in memory, and the fault.
        """
        machine = self._machine
        self.carry_out()
        kind = AccessKind.READ if data is None else AccessKind.WRITE
        sizes = _aligned(address, width) * count
        bounds = np.cumsum([0, *sizes], dtype=np.uint64)
        moves = data_accesses(
            machine.control, np.uint64(address) + bounds[:-1], kind, _values(data, sizes),
            size=sizes, ac=ac, port=machine.port)
        parts = page_parts(address, width * count)
        probes = accesses(machine.control, [start for start, _ in parts], kind, ac=ac,
                          port=machine.port)[: len(parts) if len(parts) > 1 else 0]
        commands = np.concatenate([probes, moves])
        run = machine.run_supervisor(commands)
        found = run.answers["value"][len(probes) : run.done].tolist()
        before = b"".join(value.to_bytes(size, "little")
                          for value, size in zip(found, sizes, strict=False))
        return before, first_fault(run, commands)


def _aligned(address: int, width: int) -> list[int]:
    """Return the bytes of the aligned accesses, one after the other, that a move is made of."""
    sizes, end = [], address + width
    while address < end:
        size = min(address & -address or width, width)
        while size > end - address:
            size //= 2
        sizes.append(size)
        address += size
    return sizes


def _values(data: bytes | None, sizes: list[int]) -> list[int]:
    """Return what is stored by accesses of ``sizes`` bytes, zeros for loads."""
    if data is None:
        return [0] * len(sizes)
    bounds = pairwise(accumulate(sizes, initial=0))
    return [int.from_bytes(data[start:stop], "little") for start, stop in bounds]


def first_fault(run: Run, commands: NDArray[np.void]) -> Fault | None:
    """Return the fault at which a run of ``commands`` stopped, if it did."""
    if not run.stopped:
        return None
    answer = run.answers[-1]
    return Fault(Vector(int(answer["vector"])), ErrorCode(int(answer["error"])),
                 int(commands["vaddr"][run.done]))
