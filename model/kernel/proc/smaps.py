"""``/proc/PID/smaps`` and ``smaps_rollup`` of a process that runs.

[show_smap, show_smaps_rollup in fs/proc/task_mmu.c]

Linux counts the pages of [vdso], too; they are not modelled.
"""

from collections.abc import Collection

from ...address_space.smaps_text import MemSizeStats, rollup_text, smaps_text
from ...address_space.vma import File, Vma
from ..process import Process
from ..reclaim.lru import LruFlag
from ..state import KernelState
from ..swap.cache import SwapEntry
from .smaps_walk import gather_stats

__all__ = ["KernelPages", "smaps", "smaps_rollup"]


class KernelPages:
    """The ``PageFacts`` of a machine."""

    def __init__(self, state: KernelState) -> None:
        self._state = state

    def is_anon(self, pfn: int) -> bool:
        """Return whether a page belongs to no file."""
        return self._state.is_anon(pfn)

    def is_swap_backed(self, pfn: int) -> bool:
        """Return whether a page goes to swap: not one of a file, nor one that MADV_FREE gave up."""
        return not self._state.lruvec.is_file(pfn)

    def is_dirty(self, pfn: int) -> bool:
        """Return whether a page differs from its file or slot.

        An anonymous page that is in no slot differs if it has been in one [folio_free_swap]; of
        others their entries tell.
        """
        state = self._state
        if not state.is_anon(pfn):
            return state.page_cache.is_dirty(pfn)
        if state.swap.cache.entry(pfn) is None:
            return state.swap.is_dirty(pfn)
        return state.swap.cache.is_dirty(pfn)

    def is_referenced(self, pfn: int) -> bool:
        """Return whether reclaim found a page in use when it last looked."""
        return bool(self._state.lruvec.flags(pfn) & LruFlag.REFERENCED)

    def is_huge_zero(self, pfn: int) -> bool:
        """Return whether this is the huge page that reads of untouched memory find."""
        return pfn == self._state.thp.zero_pfn

    def mapcount(self, pfn: int) -> int:
        """Return how many entries map a frame, or the huge page that was set aside there."""
        return self._state.frames.rmap.mapcount(pfn) + sum(
            pool.mapcount.get(pfn, 0) for pool in self._state.hugetlb.values())

    def swapcount(self, slot: SwapEntry) -> int:
        """Return how many entries hold a slot."""
        return self._state.swap.swapcount(slot)

    def swapped_out(self, file: File, first: int, end: int) -> Collection[int]:
        """Return which pages of shared memory, from ``first`` up to ``end``, are in slots."""
        slots = self._state.page_cache.space(file).slots
        return [index for index in slots if first <= index < end]


def smaps(state: KernelState, process: Process) -> str:
    """Return the text of ``/proc/PID/smaps``: every mapping, and what its pages add up to."""
    return smaps_text(process.mm, lambda vma: _stats(state, process, [vma]), state.thp.enabled)


def smaps_rollup(state: KernelState, process: Process) -> str:
    """Return the text of ``/proc/PID/smaps_rollup``: the figures of all mappings together."""
    return rollup_text(process.mm, _stats(state, process, list(process.mm.tree)))


def _stats(state: KernelState, process: Process, vmas: list[Vma]) -> MemSizeStats:
    return gather_stats(vmas, process.space.tables, state.format, KernelPages(state),
                        numa=state.platform.config.numa)
