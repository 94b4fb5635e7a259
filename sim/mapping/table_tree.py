"""The page tables that a CR3 leads to, each read once, however often it is used."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_SHIFT, Entry, PagingMode
from ..errors import InputError
from ..memory_file.cpu_state import CpuState
from ..memory_file.file_memory import FileMemory
from ..memory_file.frame_file import FrameFile
from .entry_rules import leaf_mask, reserved_mask, rights_of, table_pfns

__all__ = ["LevelTables", "TableTree", "require_mode"]

Words = NDArray[np.uint64]

MOST_TABLES = 1 << 17  # of one address space: 512 Mbytes
MOST_PAGES = 1 << 26  # 256 Gbytes of small pages; tables that lead to each other map far more


@dataclass(frozen=True, slots=True, eq=False)
class LevelTables:
    """The tables of one level, T of them, and their K entries that map something.

    Members
    -------
    pfns
        Their frame numbers, shape (T,), in ascending order.
    starts
        Where the entries of a table begin, shape (T + 1,).
    slots, words
        The index within its table of each entry, and the entry, shape (K,).
    leaf
        Whether an entry maps a page and no table, shape (K,).
    child
        The place of the table that it points to among those of the next level, -1 for a page.
    rights
        What the entries permit, as bits of ``entry_rules``.
    pages
        How many pages each table maps, with all below it, shape (T,).
    """

    pfns: Words
    starts: NDArray[np.int64]
    slots: NDArray[np.int64]
    words: Words
    leaf: NDArray[np.bool_]
    child: NDArray[np.int64]
    rights: NDArray[np.uint8]
    pages: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The entries that are present at one level, before it is known what they lead to."""

    pfns: Words
    table: NDArray[np.int64]
    slots: NDArray[np.int64]
    words: Words
    leaf: NDArray[np.bool_]


class TableTree:
    """All page tables of ``cpu`` in ``file``; entries that lead nowhere are left out and counted.

    Raise ``InputError`` if the processor's paging mode is not known, if the file does not have the
    root, or for more tables or pages than an address space can sensibly have, as with a wild CR3.

    Members
    -------
    mode
        The paging mode.
    levels
        The tables of each level, the root's first.
    memory
        The frames of all tables, for the golden walk.
    reserved
        How many entries have a reserved bit set, each where it stands.
    absent
        How many entries point to a table that the file does not have.
    """

    def __init__(self, file: FrameFile, cpu: CpuState) -> None:
        self.cpu = cpu
        self.mode = require_mode(file, cpu)
        self.memory = FileMemory(file)
        self.reserved = self.absent = 0
        root = table_pfns(np.array([_root(self.mode, cpu.control.cr3)], np.uint64))
        self.memory.fetch(root)
        if int(root[0]) not in self.memory:
            raise InputError(f"{file.path}: has no memory at {int(root[0]) << PAGE_SHIFT:#x}, "
                             f"where CR3 of {cpu.name} points; expected the root of page tables")
        found, pfns = [], root
        for number in range(len(self.mode.levels)):
            found.append(self._find(number, pfns))
            below = found[-1].words[~found[-1].leaf]
            pfns = self._fetched(np.unique(table_pfns(below)))
            if len(self.memory) > MOST_TABLES:
                raise InputError(f"{file.path}: CR3 {cpu.control.cr3:#x} leads to more than "
                                 f"{MOST_TABLES} frames; expected page tables there")
        self.levels = self._linked(found)
        if self.pages > MOST_PAGES:
            raise InputError(f"{file.path}: CR3 {cpu.control.cr3:#x} maps {self.pages} pages; "
                             f"expected page tables that map at most {MOST_PAGES}")

    @property
    def pages(self) -> int:
        """How many pages are mapped, a table that is used twice counted twice."""
        return int(self.levels[0].pages[0])

    @property
    def table_pfns(self) -> Words:
        """The frame numbers of all tables, in ascending order."""
        return np.unique(np.concatenate([level.pfns for level in self.levels]))

    def _fetched(self, pfns: Words) -> Words:
        self.memory.fetch(pfns[: MOST_TABLES + 1])
        return pfns[[pfn in self.memory for pfn in pfns.tolist()]]

    def _find(self, number: int, pfns: Words) -> _Found:
        """Return the entries of the tables ``pfns`` that are present and not reserved."""
        mode, control, level = self.mode, self.cpu.control, self.mode.levels[number]
        every, rows = self.memory.index()
        frames = self.memory.frames[rows[np.searchsorted(every, pfns)]]
        words = frames.view(f"<u{mode.entry_bytes}")
        table, slots = np.nonzero(words & Entry.P)
        there = words[table, slots].astype(np.uint64)
        bad = reserved_mask(mode, control, level, there)
        self.reserved += int(bad.sum())
        table, slots, there = table[~bad], slots[~bad], there[~bad]
        return _Found(pfns, table, slots, there, leaf_mask(mode, control, level, there))

    def _linked(self, found: list[_Found]) -> list[LevelTables]:
        """Return the levels with their links, without entries that map nothing."""
        levels: list[LevelTables] = []
        for one in reversed(found):
            child = np.full(len(one.words), -1)
            pages = np.ones(len(one.words), np.int64)
            if levels:
                child, pages = self._children(one, levels[-1])
            kept = pages > 0
            count = np.bincount(one.table[kept], minlength=len(one.pfns))
            levels.append(LevelTables(
                one.pfns, np.concatenate([[0], np.cumsum(count)]), one.slots[kept],
                one.words[kept], one.leaf[kept], child[kept],
                rights_of(self.mode, one.words[kept]),
                np.bincount(one.table, pages, len(one.pfns)).astype(np.int64)))
        return levels[::-1]

    def _children(self, one: _Found, below: LevelTables) -> tuple[
            NDArray[np.int64], NDArray[np.int64]]:
        """Return for each entry the place of its table, and how many pages it maps."""
        child, pages = np.full(len(one.words), -1), one.leaf.astype(np.int64)
        wanted = table_pfns(one.words)
        if len(below.pfns):
            at = np.minimum(np.searchsorted(below.pfns, wanted), len(below.pfns) - 1)
            known = ~one.leaf & (below.pfns[at] == wanted)
            child[known], pages[known] = at[known], below.pages[at[known]]
        self.absent += int((~one.leaf & (child < 0)).sum())
        return child, pages


def _root(mode: PagingMode, cr3: int) -> int:
    return cr3 & ((1 << min(52, 8 * mode.entry_bytes)) - 1)


def require_mode(file: FrameFile, cpu: CpuState) -> PagingMode:
    """Return the paging mode of ``cpu``; raise ``InputError`` if it has none that is known."""
    mode = cpu.mode
    if mode is None:
        paging = "PAE paging" if cpu.paging else "no paging"
        raise InputError(f"{file.path}: {cpu.name} has {paging} (CR0 {cpu.control.cr0:#x}, CR4 "
                         f"{cpu.control.cr4:#x}); expected 32-bit, 4-level or 5-level paging")
    return mode
