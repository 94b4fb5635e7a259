"""What an address space asks of its page tables, whoever keeps them."""

from typing import Protocol

from .vma import Vma

__all__ = ["NoPageTables", "PageTableOps"]


class PageTableOps(Protocol):
    """Calls of an address space when its mappings change.

    Ranges are bytes, page-aligned but for those of ``clear``. ``unmap`` comes when the mappings
    have left the tree, ``move`` while source and target are both in it, ``cut`` before it is, the
    others when the mapping has its new flags. None of them may change the mappings.
    """

    def unmap(self, start: int, end: int) -> None:
        """Forget the pages of a range; no mapping is left there. [unmap_region]"""

    def cut(self, address: int) -> None:
        """Let no entry lie on both sides of an address, where a mapping is to end or to begin.

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

        Raise ``SysError(EFAULT)`` at a page that the mapping cannot have, or at once if it does not
        permit that. [__get_user_pages]
        """

    def clear(self, start: int, end: int) -> None:
        """Store zeros in a range of bytes of a mapping that may be written. [clear_user]

        Raise ``SysError(EFAULT)`` at a page that it cannot have.
        """


class NoPageTables:
    """Page tables of an address space that nothing runs in."""

    def unmap(self, start: int, end: int) -> None:
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

    def clear(self, start: int, end: int) -> None:
        """Do nothing."""
