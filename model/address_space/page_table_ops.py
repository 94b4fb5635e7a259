"""What an address space asks of its page tables, whoever keeps them."""

from collections.abc import Sequence
from typing import Protocol

from .kernel_files import Inode
from .vma import File, Vma

__all__ = ["NoPageTables", "PageTableOps"]


class PageTableOps(Protocol):
    """What an address space calls when its mappings change.

    Ranges are bytes, page-aligned but for those of ``store``. ``unmap`` is called when the mappings
    have left the tree, ``move`` while source and target are both in it, ``cut`` before a mapping is
    cut, the others when the mapping has its new flags. No method may change the mappings.
    """

    def unmap(self, gone: Sequence[Vma], start: int, end: int) -> None:
        """Forget the pages of a range; ``gone`` are the mappings that were there. [unmap_region]"""

    def cut(self, address: int) -> None:
        """Split a large page that reaches over an address where a mapping will end or begin.

        [vma_adjust_trans_huge]
        """

    def protect(self, vma: Vma, start: int, end: int) -> None:
        """Give the pages of a range the rights of ``vma``, which holds it. [change_protection]"""

    def move(self, source: Vma, old: int, target: Vma, new: int, length: int) -> None:
        """Take the pages of ``length`` bytes from ``old`` to ``new``, or raise and take none.

        [move_page_tables]
        """

    def discard(self, vma: Vma, start: int, end: int) -> None:
        """Forget the pages of a range whose mapping ``vma`` stays. [zap_page_range_single]"""

    def advise(self, vma: Vma, start: int, end: int, advice: int) -> None:
        """Take an advice that touches pages only: WILLNEED, FREE, COLD, PAGEOUT and such."""

    def mlock(self, vma: Vma, start: int, end: int) -> None:
        """Keep the pages of a range in memory, or no longer. [mlock_vma_pages_range]"""

    def populate(self, vma: Vma, start: int, end: int, write: bool) -> None:
        """Fault in the pages of a range that ``vma`` holds, as by writes or by reads.

        Raise ``SysError(EFAULT)`` at a page that cannot be had, or at once if the mapping does not
        permit such accesses. [__get_user_pages]
        """

    def store(self, start: int, data: bytes) -> None:
        """Store bytes in a mapping that may be written. [copy_to_user, clear_user]

        Raise ``SysError(EFAULT)`` at a page that cannot be had.
        """

    def evict(self, file: File, inode: Inode) -> None:
        """Free the pages of a file that nobody maps or has open any more. [evict_inode]"""


class NoPageTables:
    """No page tables, for an address space of which only the mappings matter."""

    def unmap(self, gone: Sequence[Vma], start: int, end: int) -> None:
        """Do nothing."""

    def cut(self, address: int) -> None:
        """Do nothing."""

    def protect(self, vma: Vma, start: int, end: int) -> None:
        """Do nothing."""

    def move(self, source: Vma, old: int, target: Vma, new: int, length: int) -> None:
        """Do nothing."""

    def discard(self, vma: Vma, start: int, end: int) -> None:
        """Do nothing."""

    def advise(self, vma: Vma, start: int, end: int, advice: int) -> None:
        """Do nothing."""

    def mlock(self, vma: Vma, start: int, end: int) -> None:
        """Do nothing."""

    def populate(self, vma: Vma, start: int, end: int, write: bool) -> None:
        """Do nothing."""

    def store(self, start: int, data: bytes) -> None:
        """Do nothing."""

    def evict(self, file: File, inode: Inode) -> None:
        """Do nothing."""
