"""What looks wrong in page tables: pages that are writable and executable, and others."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...model.address_space.kernel_half.layout import AreaKind, Layout
from ...model.x86 import PAGE_SHIFT, Efer, PagingMode
from .entry_rules import EXECUTE, USER, WRITE
from .page_list import Pages
from .rights_range import RightsRange
from .table_tree import TableTree

__all__ = ["Oddity", "oddities", "range_marks"]

WX, OPEN, TABLE, ZERO, RESERVED, ABSENT = (
    "W+X", "kernel half open to user", "page table open to user", "page 0 mapped",
    "reserved bit set", "table not in the file")

UNITS = {
    WX: "page",
    OPEN: "page",
    TABLE: "page",
    ZERO: "range",
    RESERVED: "entry",
    ABSENT: "entry",
}
"""What is counted of each kind."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """A kind of finding: how many there are, and the address of the first, None if none is known.

    Writable and executable; of the kernel's half but open to user mode; a page table that user mode
    may use; a page at address 0, where null pointers should fault; an entry with a reserved bit, by
    which every access faults; an entry that leads to a table that the file does not have.
    """

    kind: str
    count: int
    vaddr: int | None

    @property
    def text(self) -> str:
        """The finding in words."""
        where = "" if self.vaddr is None else f", the first at {self.vaddr:#x}"
        unit = UNITS[self.kind]
        if self.count != 1:
            unit = "entries" if unit == "entry" else f"{unit}s"
        return f"{self.kind}: {self.count:,} {unit}{where}"


def range_marks(mode: PagingMode, layout: Layout, one: RightsRange, no_execute: bool) -> list[str]:
    """Return the kinds of findings that all pages of a range have."""
    marks = []
    if no_execute and one.rights & WRITE and one.rights & EXECUTE:
        marks.append(WX)
    if one.rights & USER and one.start >= layout.task_size and not _is_vsyscall(layout, one):
        marks.append(OPEN)
    if one.start == 0 and mode.vaddr_bits:
        marks.append(ZERO)
    return marks


def _is_vsyscall(layout: Layout, one: RightsRange) -> bool:
    """Return whether a range is the page of old system calls, which user mode may run."""
    return (layout.area_of(one.start).kind is AreaKind.VSYSCALL and one.pages == 1
            and not one.rights & WRITE)


def oddities(tree: TableTree, layout: Layout, ranges: Iterable[RightsRange],
             chunks: Iterable[Pages]) -> Iterator[Oddity]:
    """Yield the findings in an address space, of which these are all ranges and all pages."""
    counts: dict[str, int] = {}
    firsts: dict[str, int] = {}
    no_execute = bool(tree.mode.has_execute_disable and tree.cpu.control.efer & Efer.NXE)
    for one in ranges:
        for kind in range_marks(tree.mode, layout, one, no_execute):
            counts[kind] = counts.get(kind, 0) + (1 if kind == ZERO else one.pages)
            firsts.setdefault(kind, one.start)
    tables = tree.table_pfns
    for pages in chunks:
        user = pages.take(pages.rights & USER != 0)
        holds = user.vaddr[_holds(tables, user)].tolist()
        if holds:
            counts[TABLE] = counts.get(TABLE, 0) + len(holds)
            firsts.setdefault(TABLE, holds[0])
    counts.update({kind: count for kind, count in
                   ((RESERVED, tree.reserved), (ABSENT, tree.absent)) if count})
    for kind in UNITS:
        if kind in counts:
            yield Oddity(kind, counts[kind], firsts.get(kind))


def _holds(tables: NDArray[np.uint64], pages: Pages) -> NDArray[np.bool_]:
    """Return which of the pages hold any of the frames ``tables``."""
    first = pages.paddr >> np.uint64(PAGE_SHIFT)
    after = first + (pages.size >> np.uint64(PAGE_SHIFT))
    held: NDArray[np.bool_] = np.searchsorted(tables, first) < np.searchsorted(tables, after)
    return held
