"""A search for page-table roots in physical memory whose registers nobody knows.

A root is a frame whose entries, down to pages, are those of page tables: pointers lead into memory,
no reserved bit is set, something is mapped in the upper half. Kernels map their page tables, so the
root itself among what it maps is a strong sign; page tables of user mode under PTI lack it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import IA32, LA57, PAGE_SHIFT, X86_64, Entry, PagingMode
from ..errors import InputError
from ..memory_file.cpu_state import CpuState
from ..memory_file.frame_file import FrameFile, Pfns
from .entry_rules import leaf_mask, reserved_mask, table_pfns
from .page_list import pages_of
from .table_tree import TableTree

__all__ = ["Candidate", "find_roots", "mode_of_root"]

MODES_TRIED = (LA57, X86_64, IA32)
"""The order matters: tables of fewer levels can be read as the lower part of more, not the reverse,
and entries of 8 bytes as pairs of 4."""

MADE_AHEAD = 64  # empty tables of vmalloc, which Linux makes at the start

MOST_ROOTS = 1024  # looked at closely

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plausible root: its mode and CR3, how many pages it maps, whether itself among them."""

    mode: PagingMode
    cr3: int
    pages: int
    maps_itself: bool


def find_roots(file: FrameFile) -> list[Candidate]:
    """Return plausible roots in ``file``, those first that map themselves, then by pages.

    All are of the first mode that has roots that map themselves, or else of the first with entries
    of 8 bytes that has roots at all. At most 1,024 frames of a mode are looked at closely.
    """
    fallback: list[Candidate] = []
    for mode in MODES_TRIED:
        found = _roots(file, mode)
        if any(one.maps_itself for one in found):
            return found
        if mode is not IA32:  # any text can be read as entries of 4 bytes
            fallback = fallback or found
    return fallback


def mode_of_root(file: FrameFile, cr3: int) -> PagingMode | None:
    """Return the mode in which ``cr3`` is the root of sound page tables, None if in none."""
    for mode in MODES_TRIED:
        try:
            tree = TableTree(file, CpuState.in_mode("CR3", mode, cr3))
        except InputError:
            continue
        if _is_sound(tree):
            return mode
    return None


def _is_sound(tree: TableTree) -> bool:
    """Return whether all entries are those of page tables.

    Tables may lack in the file, as those that are all zeros and were left out, but not most.
    """
    few = tree.absent < len(tree.memory) + MADE_AHEAD
    return bool(tree.pages) and not tree.reserved and few


def _roots(file: FrameFile, mode: PagingMode) -> list[Candidate]:
    """Return the roots of one mode in their order, without tables that a larger one leads to."""
    trees: list[TableTree] = []
    for pfn in _suspects(file, mode):
        try:
            tree = TableTree(file, CpuState.in_mode("CR3", mode, pfn << PAGE_SHIFT))
        except InputError:
            continue
        if _is_sound(tree):
            trees.append(tree)
        if len(trees) == MOST_ROOTS:
            break
    mapped: dict[bytes, Words] = {}
    below: set[int] = set()
    roots = []
    for tree in sorted(trees, key=lambda tree: -tree.pages):
        if int(tree.levels[0].pfns[0]) not in below:
            below.update(pfn for level in tree.levels[1:] for pfn in level.pfns.tolist())
            roots.append(_candidate(tree, mapped))
    return sorted(roots, key=lambda one: (not one.maps_itself, -one.pages, one.cr3))


def _suspects(file: FrameFile, mode: PagingMode) -> Iterator[int]:
    """Yield the frames whose entries look like those of a root, and those below them, too."""
    for pfns in file.occupied():
        for pfn in _sound_roots(file, mode, pfns).tolist():
            if _leads_to_page(file, mode, pfn):
                yield pfn


def _sound_roots(file: FrameFile, mode: PagingMode, pfns: Pfns) -> Pfns:
    data, _ = file.frames(pfns)
    words = data.view(f"<u{mode.entry_bytes}")
    half = words.shape[1] // 2
    likely = ((words[:, half:] & Entry.P) != 0).any(axis=1)
    pfns, words = pfns[likely], words[likely].astype(np.uint64)
    sound: Pfns = pfns[_sound(file, mode, 0, words)]
    return sound


def _sound(file: FrameFile, mode: PagingMode, depth: int, words: Words) -> NDArray[np.bool_]:
    """Return which tables (N, entries) of a level have present entries, and only sound ones."""
    level, control = mode.levels[depth], CpuState.in_mode("CR3", mode, 0).control
    present = words & Entry.P != 0
    bad = reserved_mask(mode, control, level, words)
    bad |= ~leaf_mask(mode, control, level, words) & (table_pfns(words) >= file.end >> PAGE_SHIFT)
    found: NDArray[np.bool_] = present.any(axis=1) & ~(present & bad).any(axis=1)
    return found


def _leads_to_page(file: FrameFile, mode: PagingMode, pfn: int) -> bool:
    """Return whether the first or the last entries of each level lead to a page.

    Tables on the way may be empty, as those that kernels keep for later, or lack in the file as
    such, but not be unsound.
    """
    ways = [_way(file, mode, pfn, pick) for pick in (0, -1)]
    return None not in ways and any(ways)


def _way(file: FrameFile, mode: PagingMode, pfn: int, pick: int) -> bool | None:
    """Return whether the entries ``pick`` of those present lead to a page, None if unsound."""
    control = CpuState.in_mode("CR3", mode, 0).control
    for depth, level in enumerate(mode.levels):
        data, there = file.frames(np.array([pfn], np.uint64))
        words = data.view(f"<u{mode.entry_bytes}").astype(np.uint64)
        present = words[0][words[0] & Entry.P != 0]
        if not there[0] or not len(present):
            return False
        if not _sound(file, mode, depth, words)[0]:
            return None
        one = present[pick : pick + 1 or None]
        if leaf_mask(mode, control, level, one)[0]:
            return True
        pfn = int(table_pfns(one)[0])
    return True


def _candidate(tree: TableTree, mapped: dict[bytes, Words]) -> Candidate:
    """Return what is known of a root.

    Roots whose upper halves are the same, as those of all processes, share ``mapped``: the frames
    that are mapped there.
    """
    root = tree.levels[0]
    half = root.slots >= 1 << tree.mode.levels[0].index_bits - 1
    key = (root.words[half] & ~np.uint64(Entry.A)).tobytes()
    if key not in mapped:
        mapped[key] = _upper_frames(tree)
    starts, ends = mapped[key]
    pfn = int(root.pfns[0])
    itself = bool(((starts <= pfn) & (pfn < ends)).any())
    return Candidate(tree.mode, tree.cpu.control.cr3, tree.pages, itself)


def _upper_frames(tree: TableTree) -> Words:
    """Return first and last frame number, the last not included, of each page of the upper half."""
    half = np.uint64(1 << tree.mode.translated_bits - 1)
    parts = [np.zeros((2, 0), np.uint64)]
    for pages in pages_of(tree):
        upper = pages.take(pages.index >= half)
        first = upper.paddr >> np.uint64(PAGE_SHIFT)
        parts.append(np.array([first, first + (upper.size >> np.uint64(PAGE_SHIFT))]))
    return np.unique(np.concatenate(parts, axis=1), axis=1)
