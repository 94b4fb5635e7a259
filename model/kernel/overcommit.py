"""How much memory a machine may promise: its pages, its swap, and what it keeps back.

[mm/util.c, the reserves of mm/mmap.c]
"""

from collections.abc import Collection

from ..address_space.limits import Commit
from ..physical.page_alloc import PageAllocator
from .hugetlb_pool import HugePages
from .swap.swap import Swap

__all__ = ["MachineCommit"]

PAGE_KBYTES = 4
ADMIN_RESERVE_KBYTES = 1 << 13
USER_RESERVE_KBYTES = 1 << 17
RESERVED_PART = 32  # of what is free at boot, or of an address space


class MachineCommit(Commit):
    """The account of a machine that has just booted.

    Promises are counted exactly; on a real machine each processor keeps some of them to itself.

    Parameters
    ----------
    allocator, swap, pools
        The page allocator, the swap areas, and the huge pages that are set aside.

    Members
    -------
    overcommit_ratio, overcommit_kbytes
        Per cent of RAM that may be promised in mode NEVER, or if not 0 how many kbytes.
    admin_reserve_kbytes, user_reserve_kbytes
        What is kept back in that mode from all but the administrator, and from any one process.
    """

    def __init__(self, allocator: PageAllocator, swap: Swap,
                 pools: Collection[HugePages]) -> None:
        super().__init__()
        self._allocator = allocator
        self._swap = swap
        self._pools = pools
        self.overcommit_ratio = 50
        self.overcommit_kbytes = 0
        free = sum(zone.free_pages for zone in allocator.populated) * PAGE_KBYTES
        self.admin_reserve_kbytes = min(free // RESERVED_PART, ADMIN_RESERVE_KBYTES)
        self.user_reserve_kbytes = min(free // RESERVED_PART, USER_RESERVE_KBYTES)

    @property
    def limit(self) -> int:
        """RAM and swap together, in pages."""
        return self._allocator.totalram_pages + self._swap.total_swap_pages

    @property
    def commit_limit(self) -> int:
        """CommitLimit of ``/proc/meminfo``, in pages. [vm_commit_limit]"""
        if self.overcommit_kbytes:
            return self.overcommit_kbytes // PAGE_KBYTES + self._swap.total_swap_pages
        set_aside = sum(pool.frame_count for pool in self._pools)  # [hugetlb_total_pages]
        ram = (self._allocator.totalram_pages - set_aside) * self.overcommit_ratio // 100
        return ram + self._swap.total_swap_pages

    def allowed(self, total_vm: int, privileged: bool) -> int:
        """Return what all promises together must stay below in mode NEVER, in pages."""
        reserve = min(total_vm // RESERVED_PART, self.user_reserve_kbytes // PAGE_KBYTES)
        if not privileged:
            reserve += self.admin_reserve_kbytes // PAGE_KBYTES
        return self.commit_limit - reserve
