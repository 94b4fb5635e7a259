"""What page tables need, frames and a kernel half, and what they return: entries and errors."""

from dataclasses import dataclass
from typing import Protocol

from ...x86 import Level

__all__ = ["KernelHalf", "LeafEntry", "TableFrames", "TableInTheWay"]


class TableFrames(Protocol):
    """Where page tables get their frames. [pte_alloc_one]"""

    def alloc_table(self) -> int:
        """Return the number of a new frame, filled with zeros."""
        ...

    def free_table(self, pfn: int) -> None:
        """Take back a frame that no table points to any more."""
        ...


class KernelHalf(Protocol):
    """The kernel's tables, whose root's upper entries every other root has a copy of."""

    root: int

    def attach(self, root: int) -> None:
        """Give the root of an address space its kernel half. [pgd_ctor]"""
        ...

    def detach(self, root: int) -> None:
        """Forget the root of an address space that ends. [pgd_dtor]"""
        ...

    def root_entries(self, root: int) -> bytes:
        """Return the kernel half of the root in frame ``root``, with A and D set in all."""
        ...


class TableInTheWay(Exception):
    """A page that cannot be mapped, as a page of another size or a table is in its place.

    Parameters
    ----------
    vaddr, level
        The linear address, and the name of the level whose entry is taken.
    """

    def __init__(self, vaddr: int, level: str) -> None:
        super().__init__(f"The {level} of address {vaddr:#x} is in use at another size")
        self.vaddr = vaddr
        self.level = level


@dataclass(frozen=True, slots=True)
class LeafEntry:
    """An entry that maps a page, or a software entry; where asked for, one that points to a table.

    ``vaddr`` is the first address that it maps, ``level`` the level that it is on, ``paddr`` where
    the entry lies in memory, and ``entry`` what it was when it was read.
    """

    vaddr: int
    level: Level
    paddr: int
    entry: int
