"""How the kernel's loads and stores reach user memory: by the golden walk, or through hardware."""

from collections.abc import Iterator
from typing import Protocol

from ...mmu.control import Access
from ...mmu.walk import Fault, walk
from ...x86 import PAGE_BYTES, AccessKind
from ..kernel import Kernel

__all__ = ["UserPort", "WalkedMemory", "by_page", "page_parts"]


class UserPort(Protocol):
    """Accesses to memory of the process that runs, made at CPL 0.

    Moves are of ``width`` bytes, 1, 2, 4 or 8, at any address and one after the other, and each is
    made whole or not at all. They end before the first that faults. ``ac`` is EFLAGS.AC.
    """

    def load(self, address: int, width: int, count: int, *, ac: bool) -> tuple[bytes, Fault | None]:
        """Return what ``count`` loads loaded, and the fault that ended them if one did."""
        ...

    def store(self, address: int, width: int, data: bytes, *, ac: bool) -> tuple[int, Fault | None]:
        """Store ``data``; return how many stores were made, and the fault that ended them."""
        ...


def by_page(address: int, width: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield address and number of moves, so that they lie in one page, or one of them in two."""
    while count > 0:
        moves = min(max((-address % PAGE_BYTES or PAGE_BYTES) // width, 1), count)
        yield address, moves
        address += moves * width
        count -= moves


def page_parts(address: int, size: int) -> list[tuple[int, int]]:
    """Return address and bytes of the parts of a range that lie in a page each."""
    parts, end = [], address + size
    while address < end:
        stop = min(end, (address | PAGE_BYTES - 1) + 1)
        parts.append((address, stop - address))
        address = stop
    return parts


class WalkedMemory:
    """Accesses that are translated by the golden walk.

    Parameters
    ----------
    kernel
        The kernel, whose registers and memory it uses.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def load(self, address: int, width: int, count: int, *, ac: bool) -> tuple[bytes, Fault | None]:
        """Load; see ``UserPort.load``."""
        data, memory = b"", self._kernel.state.memory
        for start, moves in by_page(address, width, count):
            places = self._translate(start, moves * width, AccessKind.READ, ac)
            if isinstance(places, Fault):
                return data, places
            data += b"".join(memory.read_bytes(paddr, size) for paddr, size in places)
        return data, None

    def store(self, address: int, width: int, data: bytes, *, ac: bool) -> tuple[int, Fault | None]:
        """Store; see ``UserPort.store``."""
        done, memory = 0, self._kernel.state.memory
        for start, moves in by_page(address, width, len(data) // width):
            places = self._translate(start, moves * width, AccessKind.WRITE, ac)
            if isinstance(places, Fault):
                return done // width, places
            for paddr, size in places:
                memory.write_bytes(paddr, data[done : done + size])
                done += size
        return done // width, None

    def _translate(self, address: int, size: int, kind: AccessKind,
                   ac: bool) -> list[tuple[int, int]] | Fault:
        """Return where in memory bytes are and how many in each page, or the first fault."""
        kernel, places = self._kernel, []
        for start, count in page_parts(address, size):
            found = walk(kernel.state.memory, kernel.mode, kernel.control,
                         Access(start, kind, ac=ac))
            if found.fault is not None:
                return found.fault
            places.append((found.paddr, count))
        return places
