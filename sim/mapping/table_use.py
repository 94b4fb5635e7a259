"""The page tables themselves, and what uses a frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_SHIFT
from .page_list import canonical, pages_of
from .table_tree import TableTree

__all__ = ["FrameUse", "TableUse", "frame_uses", "table_uses"]


@dataclass(frozen=True, slots=True)
class TableUse:
    """A page table: its frame, and how it is used.

    ``first`` is the lowest address translated by it, ``entries`` how many of its entries lead to
    pages, ``uses`` how many entries point to it (of the root: how many of ``cpus``), ``cpus`` the
    names of the processors whose CR3 leads to it. A frame used at two levels is there twice.
    """

    table: str
    pfn: int
    first: int
    entries: int
    uses: int
    cpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FrameUse:
    """A mapping of a frame: the address of its first byte, and of what page it is a part."""

    vaddr: int
    page_bytes: int
    rights: int


def table_uses(trees: Sequence[TableTree]) -> list[TableUse]:
    """Return all tables of all address spaces, the roots first, each level in order of address.

    A table that several share is there once; uses by entries are counted once, too.
    """
    found: dict[tuple[int, str, int], TableUse] = {}
    for tree in trees:
        for depth, one in _uses(tree):
            key = (depth - len(tree.mode.levels), one.table, one.pfn)
            known = found.get(key)
            if known is not None:
                uses = max(known.uses, one.uses) if depth else known.uses + 1
                one = TableUse(one.table, one.pfn, min(known.first, one.first), one.entries, uses,
                               known.cpus + one.cpus)
            found[key] = one
    return [found[key] for key in sorted(found, key=lambda key: (key[0], found[key].first))]


def _uses(tree: TableTree) -> list[tuple[int, TableUse]]:
    """Return the tables of one address space with their depths."""
    listed: list[tuple[int, TableUse]] = []
    first, uses = np.zeros(1, np.uint64), np.ones(1, np.int64)
    for depth, (level, facts) in enumerate(zip(tree.levels, tree.mode.levels, strict=True)):
        counts = np.diff(level.starts)
        starts = canonical(tree.mode, first)
        listed += [(depth, TableUse(facts.table, int(level.pfns[place]), int(starts[place]),
                                    int(counts[place]), int(uses[place]), (tree.cpu.name,)))
                   for place in np.flatnonzero(counts).tolist()]
        if depth + 1 < len(tree.levels):
            first, uses = _below(tree, depth, first)
    return listed


def _below(tree: TableTree, depth: int, first: NDArray[np.uint64]) -> tuple[
        NDArray[np.uint64], NDArray[np.int64]]:
    """Return the lowest address and the uses of each table of the next level."""
    level, count = tree.levels[depth], len(tree.levels[depth + 1].pfns)
    tables = ~level.leaf
    parent = np.repeat(np.arange(len(level.pfns)), np.diff(level.starts))[tables]
    shift = np.uint64(tree.mode.levels[depth].shift)
    address = first[parent] | level.slots[tables].astype(np.uint64) << shift
    lowest = np.full(count, (1 << 64) - 1, np.uint64)
    np.minimum.at(lowest, level.child[tables], address)
    return lowest, np.bincount(level.child[tables], minlength=count)


def frame_uses(tree: TableTree, pfn: int) -> list[FrameUse]:
    """Return all mappings of the frame ``pfn``, in order of address."""
    paddr = np.uint64(pfn << PAGE_SHIFT)
    uses = []
    for pages in pages_of(tree):
        start = pages.paddr
        hit = (start <= paddr) & (paddr - start < pages.size)
        some = pages.take(hit)
        offsets = paddr - start[hit]
        uses += [FrameUse(vaddr, size, rights) for vaddr, size, rights in
                 zip((some.vaddr + offsets).tolist(), some.size.tolist(), some.rights.tolist(),
                     strict=True)]
    return uses
