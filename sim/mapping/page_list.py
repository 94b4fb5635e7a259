"""The pages that page tables map, in order of address, in chunks of bounded size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PagingMode
from .entry_rules import page_addresses
from .table_tree import LevelTables, TableTree

__all__ = ["Pages", "canonical", "chosen", "pages_of"]

MOST_AT_ONCE = 1 << 18

ALL_RIGHTS = 0xFF


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """N pages in ascending order of address, as arrays (N,).

    ``index`` is the linear address without its sign extension, ``word`` the entry of the leaf,
    ``rights`` those combined over all levels, ``level`` the number of the leaf's level.
    """

    mode: PagingMode
    index: NDArray[np.uint64]
    word: NDArray[np.uint64]
    rights: NDArray[np.uint8]
    level: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pages."""
        return len(self.index)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "Pages":
        """Return the pages that ``which`` chooses, a mask or places."""
        return Pages(self.mode, self.index[which], self.word[which], self.rights[which],
                     self.level[which])

    @property
    def vaddr(self) -> NDArray[np.uint64]:
        """The linear addresses, canonical."""
        return canonical(self.mode, self.index)

    @property
    def size(self) -> NDArray[np.uint64]:
        """The bytes of each page."""
        return np.array([level.page_bytes for level in self.mode.levels], np.uint64)[self.level]

    @property
    def paddr(self) -> NDArray[np.uint64]:
        """The physical addresses of the pages."""
        paddr = np.zeros(len(self), np.uint64)
        for number, level in enumerate(self.mode.levels):
            which = self.level == number
            paddr[which] = page_addresses(self.mode, level, self.word[which])
        return paddr


def canonical(mode: PagingMode, index: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return linear addresses with the sign of their translated bits extended."""
    if mode.vaddr_bits == mode.translated_bits:
        return index
    sign = np.uint64(1 << mode.translated_bits - 1)
    return (index ^ sign) - sign


def pages_of(tree: TableTree) -> Iterator[Pages]:
    """Yield all pages that ``tree`` maps, at most about 262,144 at a time."""
    if tree.pages:
        yield from _pages(tree, 0, _Nodes(np.zeros(1, np.uint64), np.zeros(1, np.int64),
                                          np.full(1, ALL_RIGHTS, np.uint8)))


def chosen(chunks: Iterable[Pages], rights: int, start: int, end: int) -> Iterator[Pages]:
    """Yield those of the pages that permit all of ``rights`` and have bytes before ``end``.

    They must have bytes from ``start`` on; both are linear addresses, and ``end`` is not included.
    """
    for pages in chunks:
        first, last = pages.vaddr, pages.vaddr + (pages.size - np.uint64(1))
        kept = (pages.rights & np.uint8(rights) == rights) & (last >= np.uint64(start))
        yield pages.take(kept & (first <= np.uint64(end - 1)))


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    """Places where tables of one level are used: address, number of the table, rights above."""

    index: NDArray[np.uint64]
    table: NDArray[np.int64]
    rights: NDArray[np.uint8]

    def part(self, first: int, last: int) -> "_Nodes":
        return _Nodes(self.index[first:last], self.table[first:last], self.rights[first:last])


@dataclass(frozen=True, slots=True, eq=False)
class _Entries:
    """The entries below nodes, in order: address, place in the level's arrays, rights."""

    index: NDArray[np.uint64]
    place: NDArray[np.int64]
    rights: NDArray[np.uint8]


def _pages(tree: TableTree, number: int, nodes: _Nodes) -> Iterator[Pages]:
    """Yield the pages below ``nodes``, tables of the level ``number``."""
    level = tree.levels[number]
    ends = np.cumsum(level.pages[nodes.table])
    first = done = 0
    while first < len(ends):
        last = int(np.searchsorted(ends, done + MOST_AT_ONCE, "right"))
        if last > first:
            yield _flat(tree, number, nodes.part(first, last))
        else:
            last = first + 1
            yield from _one_by_one(tree, number, nodes.part(first, last))
        first, done = last, int(ends[last - 1])


def _one_by_one(tree: TableTree, number: int, node: _Nodes) -> Iterator[Pages]:
    """Yield the pages below one table that maps many, its entries in turn."""
    level = tree.levels[number]
    entries = _expanded(tree, number, node)
    leaf = level.leaf[entries.place]
    bounds = [0, *(np.flatnonzero(leaf[1:] != leaf[:-1]) + 1).tolist(), len(leaf)]
    for first, last in pairwise(bounds):
        part = _Entries(entries.index[first:last], entries.place[first:last],
                        entries.rights[first:last])
        if leaf[first]:
            yield _leaves(tree, number, part)
        else:
            yield from _pages(tree, number + 1, _below(level, part))


def _flat(tree: TableTree, number: int, nodes: _Nodes) -> Pages:
    """Return all pages below ``nodes`` at once."""
    parts = []
    while len(nodes.index):
        level = tree.levels[number]
        entries = _expanded(tree, number, nodes)
        leaf = level.leaf[entries.place]
        parts.append(_leaves(tree, number, _some(entries, leaf)))
        nodes = _below(level, _some(entries, ~leaf))
        number += 1
    index = np.concatenate([part.index for part in parts])
    order = np.argsort(index, kind="stable")
    return Pages(tree.mode, index[order], np.concatenate([part.word for part in parts])[order],
                 np.concatenate([part.rights for part in parts])[order],
                 np.concatenate([part.level for part in parts])[order])


def _expanded(tree: TableTree, number: int, nodes: _Nodes) -> _Entries:
    """Return the entries of the tables at ``nodes``."""
    level = tree.levels[number]
    counts = level.starts[nodes.table + 1] - level.starts[nodes.table]
    before = np.cumsum(counts) - counts
    place = np.repeat(level.starts[nodes.table] - before, counts) + np.arange(counts.sum())
    shift = np.uint64(tree.mode.levels[number].shift)
    index = np.repeat(nodes.index, counts) | level.slots[place].astype(np.uint64) << shift
    return _Entries(index, place, np.repeat(nodes.rights, counts) & level.rights[place])


def _some(entries: _Entries, which: NDArray[np.bool_]) -> _Entries:
    return _Entries(entries.index[which], entries.place[which], entries.rights[which])


def _below(level: LevelTables, entries: _Entries) -> _Nodes:
    return _Nodes(entries.index, level.child[entries.place], entries.rights)


def _leaves(tree: TableTree, number: int, entries: _Entries) -> Pages:
    return Pages(tree.mode, entries.index, tree.levels[number].words[entries.place],
                 entries.rights, np.full(len(entries.index), number))
