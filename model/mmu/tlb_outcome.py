"""What an access may be answered where TLBs hold what memory held before, and by way of what."""

from dataclasses import dataclass

from ..x86 import Cr3, Cr4, Level, PagingMode, Vector
from .control import Control
from .rights import Rights

__all__ = ["NOTHING", "EntryValue", "Explanation", "Outcome", "PageRights", "pcid_of"]

@dataclass(frozen=True, slots=True)
class PageRights:
    """What a page permits, and whether it is dirty and global, as ``walk.Walk`` has them."""

    rights: Rights
    dirty: bool
    global_page: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to an access: a physical address, or a fault (``vector`` is not None).

    ``page`` is the level that mapped the page, None on a fault or without paging; ``error_code``
    is 0 unless a page fault. ``page_rights`` is None on a fault, and where nobody asks for it.
    Without ``found`` it is the answer to a probe that there is nothing.
    """

    paddr: int = 0
    page: Level | None = None
    memory_type: int = 0
    vector: Vector | None = None
    error_code: int = 0
    page_rights: PageRights | None = None
    found: bool = True


NOTHING = Outcome(found=False)
"""The answer to a probe of what is not there, or may not be accessed."""


@dataclass(slots=True, eq=False)
class EntryValue:
    """A value that software wrote to an entry, which was read from ``first`` to ``last``.

    ``dirty`` is the earliest time at which its D may have been set, by software or by an access.
    ``used`` and ``written`` are the times by which A and D had been set at the latest, as an access
    needed them. None stands for never.
    """

    entry: int
    first: int
    last: int
    dirty: int | None
    used: int | None = None
    written: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One way to an outcome: the entries used, from the root down.

    ``fresh`` tells whether the last of them may have been read during the access.
    """

    outcome: Outcome
    values: tuple[EntryValue, ...]
    fresh: bool = True


def pcid_of(mode: PagingMode, control: Control) -> int:
    """Return the PCID in force: 0 unless CR4.PCIDE is set. [SDM 4.10.1]"""
    enabled = mode.has_pcids and control.cr4 & Cr4.PCIDE
    return control.cr3 & Cr3.PCID if enabled else 0
