"""Pools of huge pages: frames of the buddy allocator that only mappings of huge pages get.

Such a page is on no LRU list and is never swapped; nor does the reverse map of small pages know
it. Left out are pages that a mapping gets beyond the pool (nr_overcommit_hugepages), and pages of
more than the largest block: their pool stays empty. [mm/hugetlb.c]
"""

import errno
from collections import Counter
from collections.abc import Iterable

from ..address_space.errors import SysError
from ..address_space.hugetlb_mapping import commit_reservation, needs_reservation, unused_reserve
from ..address_space.kernel_files import HugeFile, HugetlbPool
from ..address_space.vma import File, Vma, VmFlag
from ..physical.errors import BrokenInvariant
from ..physical.gfp import Gfp
from ..physical.out_of_memory import OutOfMemory
from ..physical.page import MAX_ORDER
from ..x86 import PAGE_SHIFT, PagingMode
from .frames import Frames
from .platform import Platform

__all__ = ["HugePages", "huge_pools", "set_nr_hugepages"]


class HugePages(HugetlbPool):
    """The huge pages of ``page_bytes`` each, at first none. [struct hstate]

    A page is known by its first frame.

    Members
    -------
    free_list
        The pages in no use; the last one is the next to be taken. [hugepage_freelists]
    mapcount
        By how many entries each page in use is mapped. [page_mapcount]
    surplus
        How many pages go back to the buddy allocator as they come free. [surplus_huge_pages]
    """

    def __init__(self, frames: Frames, page_bytes: int, gfp: int, minor: int) -> None:
        super().__init__(free=0, minor=minor)
        self.page_bytes = page_bytes
        self.order = page_bytes.bit_length() - 1 - PAGE_SHIFT
        self.free_list: list[int] = []
        self.mapcount: dict[int, int] = {}
        self.surplus = 0
        self._frames = frames
        self._gfp = gfp | Gfp.COMP | Gfp.NOWARN | Gfp.RETRY_MAYFAIL
        self._in_file: set[int] = set()

    @property
    def total(self) -> int:
        """All huge pages, in use or not. [nr_huge_pages, HugePages_Total]"""
        return len(self.free_list) + len(self.mapcount)

    @property
    def frame_count(self) -> int:
        """The page frames of all huge pages."""
        return self.total << self.order

    def __contains__(self, pfn: int) -> bool:
        """Return whether a frame is the first of a huge page in use. [PageHuge]"""
        return pfn in self.mapcount

    # ---- the size of the pool

    def resize(self, count: int) -> int:
        """Have ``count`` pages, or as many as can be had; return how many. [set_max_huge_pages]

        Pages in use and reserved ones stay: those too many go as they come free, and do not
        count any more.
        """
        self.surplus -= min(self.surplus, max(0, count - self._persistent))
        while self._persistent < count and self._grow():
            pass
        while self._persistent > max(count, self.reserved + len(self.mapcount)):
            self.free -= 1
            self._free_block(self.free_list.pop())
        self.surplus += max(0, self._persistent - count)
        return self._persistent

    @property
    def _persistent(self) -> int:
        return self.total - self.surplus

    def _grow(self) -> bool:
        """Add a page; return whether there was memory for it. [alloc_pool_huge_page]"""
        if self.order >= MAX_ORDER:
            return False
        try:
            pfn = self._frames.allocator.alloc_pages(self._gfp, self.order)
        except OutOfMemory:
            return False
        self.free_list.append(pfn)
        self.free += 1
        return True

    def _free_block(self, pfn: int) -> None:
        """Give a page back to the buddy allocator. [update_and_free_page]"""
        self._frames.allocator.free_pages(pfn, self.order)

    def release(self, pages: int) -> None:
        """Give reserved pages back, those beyond the pool's size to the buddy allocator.

        [return_unused_surplus_pages]
        """
        super().release(pages)
        for _ in range(min(pages, self.surplus, self.free)):
            self.free -= 1
            self.surplus -= 1
            self._free_block(self.free_list.pop())

    # ---- pages in use

    def alloc(self, vma: Vma, index: int) -> int | None:
        """Return a page for number ``index`` of a file, whatever it holds; None if there is none.

        It comes from the mapping's reserve if that has one left for it. The caller maps it.
        [alloc_huge_page]
        """
        if not needs_reservation(self, vma, index):
            self.reserved -= 1
        elif self.free:
            self.free -= 1
        else:
            return None
        pfn = self.free_list.pop()
        self.mapcount[pfn] = 0
        commit_reservation(self, vma, index)
        return pfn

    def add_to_file(self, inode: HugeFile, index: int, pfn: int) -> None:
        """Make a new page that of a file, which all its mappings share.

        [hugetlb_add_to_page_cache]
        """
        inode.pages[index] = pfn
        self._in_file.add(pfn)

    def remove_from_file(self, inode: HugeFile, index: int) -> None:
        """Free a page of a file that nobody maps any more, and its reserve with it.

        [remove_inode_hugepages, hugetlb_unreserve_pages]
        """
        pfn = inode.pages.pop(index)
        inode.reserved.remove(index)
        self._in_file.remove(pfn)
        self._free(pfn)

    def is_anon(self, pfn: int) -> bool:
        """Return whether a page is one of a private mapping, and of no file. [PageAnon]"""
        return pfn not in self._in_file

    def get(self, pfn: int) -> None:
        """Count one more entry that maps a page. [page_dup_file_rmap, page_dup_anon_rmap]"""
        self.mapcount[pfn] += 1

    def put(self, pfn: int) -> None:
        """Count one entry less; a page that is mapped no more and of no file is free then."""
        self.mapcount[pfn] -= 1
        if not self.mapcount[pfn] and self.is_anon(pfn):
            self._free(pfn)

    def _free(self, pfn: int) -> None:
        """Return a page to the pool, or the allocator if there are too many. [free_huge_page]"""
        del self.mapcount[pfn]
        if self.surplus:
            self.surplus -= 1
            self._free_block(pfn)
        else:
            self.free_list.append(pfn)
            self.free += 1

    def evict(self, file: File) -> None:
        """Forget a file that nobody maps any more, with all its pages. [remove_inode_hugepages]"""
        pages = list(self.files[file].pages.values())
        super().evict(file)
        for pfn in pages:
            self._in_file.remove(pfn)
            self._free(pfn)

    # ---- contents

    def clear(self, pfn: int) -> None:
        """Fill a page with zeros. [clear_huge_page]"""
        self._frames.memory.write_bytes(pfn << PAGE_SHIFT, bytes(self.page_bytes))

    def copy(self, source: int, target: int) -> None:
        """Copy what a page holds to another. [copy_user_huge_page]"""
        memory = self._frames.memory
        memory.write_bytes(target << PAGE_SHIFT,
                           memory.read_bytes(source << PAGE_SHIFT, self.page_bytes))

    # ---- check

    def check(self, mappings: Iterable[Vma], mapped: Counter[int]) -> None:
        """Raise ``BrokenInvariant`` if pages, reserves and files do not add up.

        ``mappings`` are those of all processes, ``mapped`` how many entries map each page.
        """
        used = {pfn: mapped[pfn] for pfn in self.mapcount}
        if used != self.mapcount or not all(
                count or pfn in self._in_file for pfn, count in used.items()):
            raise BrokenInvariant(f"Huge pages are mapped {self.mapcount} times, but by {used} "
                                  "entries")
        if len(self.free_list) != self.free + self.reserved or set(self.free_list) & used.keys():
            raise BrokenInvariant(f"{len(self.free_list)} huge pages are in no use, but "
                                  f"{self.free} free and {self.reserved} reserved")
        cached = [pfn for inode in self.files.values() for pfn in inode.pages.values()]
        if sorted(cached) != sorted(self._in_file):
            raise BrokenInvariant(f"Files have huge pages {cached}, but {self._in_file} know it")
        self._check_reserves([vma for vma in mappings if vma.flags & VmFlag.HUGETLB
                              and vma.page_bytes == self.page_bytes])

    def _check_reserves(self, mappings: list[Vma]) -> None:
        promised = sum(map(unused_reserve, mappings)) + sum(
            len(inode.reserved) - len(inode.pages) for inode in self.files.values())
        if promised != self.reserved:
            raise BrokenInvariant(f"{self.reserved} huge pages are reserved, but mappings may "
                                  f"claim {promised}")
        counted = {file: inode.mappings for file, inode in self.files.items()}
        if counted != Counter(vma.file for vma in mappings):
            raise BrokenInvariant("Files of huge pages miscount their mappings")


def huge_pools(mode: PagingMode, platform: Platform, frames: Frames) -> dict[int, HugePages]:
    """Return an empty pool for each size that a mode has, the default one first.

    [hugetlb_add_hstate]
    """
    return {level.page_bytes: HugePages(frames, level.page_bytes, platform.hugetlb_gfp, minor)
            for minor, level in enumerate(mode.pages[1:], platform.hugetlb_minor)}


def set_nr_hugepages(pools: dict[int, HugePages], count: int, page_bytes: int | None = None) -> int:
    """Have ``count`` pages of a size, by default the default one; return how many there are then.

    As many are made as there is memory for; those in use and reserved stay. Raise
    ``SysError(EINVAL)`` for a size that there is none of. [nr_hugepages_store_common]
    """
    pool = pools.get(page_bytes or next(iter(pools)))
    if pool is None:
        raise SysError(errno.EINVAL)
    return pool.resize(count)
