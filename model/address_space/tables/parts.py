"""What page tables take and give: frames, the kernel half, and the entries that are found."""

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
    """The kernel's tables, of which every root has the upper entries."""

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
    """A page that cannot be mapped, as a page or a table of another size has its place.

    Parameters
    ----------
    vaddr, level
        Where, and the name of the entry that is taken.
    """

    def __init__(self, vaddr: int, level: str) -> None:
        super().__init__(f"The {level} of address {vaddr:#x} is in use at another size")
        self.vaddr = vaddr
        self.level = level


@dataclass(frozen=True, slots=True)
class LeafEntry:
    """An entry that maps a page, or a software entry: ``vaddr`` is the first that it maps.

    ``paddr`` is where the entry is, ``entry`` what it was when it was read.
    """

    vaddr: int
    level: Level
    paddr: int
    entry: int
