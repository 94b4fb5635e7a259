"""Transparent huge pages: which mappings get them, and where they come from. [mm/huge_memory.c]

Linux has one compound page until a part of it must go its own way. Here its small pages are known
one by one from the beginning, to counts, the reverse map and the LRU lists; what is huge is the
entry that maps them all, and splitting the page is splitting that. khugepaged is left out, but for
what MADV_COLLAPSE does.
"""

from ..address_space.huge_memory import ThpEnabled, hugepage_vma_check
from ..address_space.vma import Vma, VmFlag
from ..physical.gfp import Gfp
from ..x86 import PAGE_SHIFT, PagingMode
from .frames import Frames

__all__ = ["ThpEnabled", "TransparentHuge"]


class TransparentHuge:
    """The transparent huge pages of a machine: nobody's at first.

    Members
    -------
    enabled
        Which mappings get them.
    page_bytes, page_count
        The size of one, and how many small pages that is. [HPAGE_PMD_SIZE, HPAGE_PMD_NR]
    zero_pfn
        The first frame of the page that reads of untouched memory find, None before the first.
        It stays for good, where Linux frees it when memory is low. [huge_zero_page]
    """

    def __init__(self, mode: PagingMode, frames: Frames) -> None:
        self.enabled = ThpEnabled.NEVER
        self.page_bytes = mode.levels[-2].page_bytes
        self.page_count = self.page_bytes >> PAGE_SHIFT
        self.zero_pfn: int | None = None
        self._frames = frames

    def suits(self, vma: Vma, vaddr: int) -> bool:
        """Return whether a mapping may have a huge page at ``vaddr``, which is aligned.

        [hugepage_vma_check, transhuge_vma_suitable]
        """
        return (hugepage_vma_check(vma, self.enabled)
                and vma.start <= vaddr and vaddr + self.page_bytes <= vma.end)

    def alloc(self, vma: Vma) -> int | None:
        """Allocate a huge page of zeros; return its first frame, or None without memory for it.

        Only for a mapping with MADV_HUGEPAGE is memory reclaimed. [vma_thp_gfp_mask, "madvise"]
        """
        gfp = Gfp.TRANSHUGE if vma.flags & VmFlag.HUGEPAGE else Gfp.TRANSHUGE_LIGHT
        return self._alloc_zeroed(gfp)

    def alloc_to_collapse(self) -> int | None:
        """Do as ``alloc`` for a page that is to take the place of small ones.

        [alloc_charge_hpage]
        """
        return self._alloc_zeroed(Gfp.TRANSHUGE)

    def get_zero(self) -> int | None:
        """Return the first frame of the huge zero page, None without memory for it.

        [get_huge_zero_page]
        """
        if self.zero_pfn is None:
            self.zero_pfn = self._alloc_zeroed(Gfp.TRANSHUGE & ~Gfp.MOVABLE)
        return self.zero_pfn

    def _alloc_zeroed(self, gfp: int) -> int | None:
        pfn = self._frames.alloc_block(gfp, self.page_count.bit_length() - 1)
        if pfn is not None:
            self._frames.memory.write_bytes(pfn << PAGE_SHIFT, bytes(self.page_bytes))
        return pfn

    @property
    def own_frames(self) -> range:
        """The frames that belong to no process."""
        first = self.zero_pfn
        return range(0) if first is None else range(first, first + self.page_count)
