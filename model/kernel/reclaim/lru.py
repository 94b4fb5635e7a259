"""The LRU lists of a node: which pages were used lately, and which were not.

Each page that reclaim may take is on one of four lists: active or inactive, anonymous or of a
file. Pages enter at the head and are looked at from the tail. Lists are linked through columns of
numbers, so that each step is one of constant time and no page is a Python object. What stands on
the per-CPU batches of Linux is on the lists at once here. [struct lruvec, mm/swap.c]
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from enum import IntEnum, IntFlag

from ...physical.errors import BrokenInvariant

__all__ = ["EVICTABLE", "LruFlag", "LruList", "Lruvec"]


class LruList(IntEnum):
    """A list of a ``Lruvec``. [enum lru_list]"""

    INACTIVE_ANON = 0
    ACTIVE_ANON = 1
    INACTIVE_FILE = 2
    ACTIVE_FILE = 3
    UNEVICTABLE = 4


EVICTABLE = (LruList.INACTIVE_ANON, LruList.ACTIVE_ANON, LruList.INACTIVE_FILE,
             LruList.ACTIVE_FILE)
NO_LIST = 0xFF
UNEVICTABLE_LIST = int(LruList.UNEVICTABLE)


class LruFlag(IntFlag):
    """What is known of a page besides its place. [enum pageflags]

    ``ACTIVE`` and ``FILE`` together are the number of the list.
    """

    ACTIVE = 1
    """Belongs on an active list."""
    FILE = 2
    """Is not for swap: of a file, or lazily free; not of shared memory. [not PG_swapbacked]"""
    UNEVICTABLE = 4
    """Must not be taken: locked, for example."""
    REFERENCED = 8
    """Was used once since it was looked at."""
    WORKINGSET = 16
    """Has been active."""


# The same as plain numbers: arithmetic with flags takes ten times as long.
ACTIVE, FILE, UNEVICTABLE, REFERENCED = (
    int(flag) for flag in (LruFlag.ACTIVE, LruFlag.FILE, LruFlag.UNEVICTABLE, LruFlag.REFERENCED))


class Lruvec:
    """The LRU lists of the pages from ``start_pfn`` up to ``end_pfn``, all on none at first.

    A page that was isolated is on no list but keeps its flags; one that is deleted forgets them.

    Members
    -------
    vmstat
        Counts of what has happened, by their names in ``/proc/vmstat``.
    nonresident_age
        How many pages were evicted or activated: the clock of refault distances.
    cost
        What reclaim has cost lately, of anonymous pages and of files. [anon_cost, file_cost]
    refaults
        How many refaulting pages were activated, of either kind, when reclaim last ended.

    Raises
    ------
    ValueError
        If the range is empty or negative.
    """

    def __init__(self, start_pfn: int, end_pfn: int) -> None:
        if not 0 <= start_pfn < end_pfn:
            raise ValueError(f"Page range must not be empty, not {start_pfn:#x} to {end_pfn:#x}")
        size = end_pfn - start_pfn
        self._base = start_pfn
        self._flags = bytearray(size)
        self._list = bytearray([NO_LIST]) * size
        # Links are indices; those from `size` on are the heads of the lists.
        self._size = size
        self._next = array("i", range(size + len(LruList)))
        self._prev = array("i", self._next)
        self._count = [0] * len(LruList)
        self.vmstat: Counter[str] = Counter()
        self.nonresident_age = 0
        self.cost = [0, 0]
        self.refaults = [0, 0]

    def __contains__(self, pfn: int) -> bool:
        """Return whether a page is on a list. [PG_lru]"""
        return self._list[self._index(pfn)] != NO_LIST

    def __len__(self) -> int:
        """Return the number of pages on lists."""
        return sum(self._count)

    def size(self, lru: LruList) -> int:
        """Return the number of pages on a list. [lruvec_page_state]"""
        return self._count[lru]

    def snapshot_refaults(self) -> None:
        """Remember how many pages came back to be active at once, as reclaim ends.

        [snapshot_refaults]
        """
        self.refaults = [self.vmstat[f"workingset_activate_{kind}"] for kind in ("anon", "file")]

    def pages(self, lru: LruList) -> Iterator[int]:
        """Yield the pages of a list, from the head to the tail."""
        at = self._next[self._size + lru]
        while at < self._size:
            yield at + self._base
            at = self._next[at]

    def flags(self, pfn: int) -> LruFlag:
        """Return the flags of a page."""
        return LruFlag(self._flags[self._index(pfn)])

    def is_file(self, pfn: int) -> bool:
        """Return whether a page is one of a file. [folio_is_file_lru]"""
        return bool(self._flags[self._index(pfn)] & FILE)

    def list_of(self, pfn: int) -> LruList | None:
        """Return the list that a page is on, or None."""
        at = self._list[self._index(pfn)]
        return None if at == NO_LIST else LruList(at)

    def add(self, pfn: int, flags: int = 0) -> None:
        """Put a new page at the head of the list that ``flags`` (``LruFlag``) name.

        Raise ``ValueError`` if it is on a list already. [folio_add_lru]
        """
        index = self._index(pfn)
        if self._list[index] != NO_LIST:
            raise ValueError(f"Page {pfn:#x} is on an LRU list already")
        self._flags[index] = flags
        self._link(index)

    def delete(self, pfn: int) -> None:
        """Take a page that is freed from its list, if it is on one. [__page_cache_release]"""
        index = self._index(pfn)
        if self._list[index] != NO_LIST:
            self._unlink(index)
        self._flags[index] = 0

    def isolate(self, lru: LruList, count: int,
                eligible: Callable[[int], bool] | None = None) -> list[int]:
        """Take up to ``count`` pages from the tail of a list; return them, the oldest first.

        Those that are not ``eligible``, being of a zone that is of no use, go to the head and do
        not count. [isolate_lru_folios]
        """
        taken: list[int] = []
        skipped: list[int] = []
        head = self._size + lru
        while len(taken) < count and self._count[lru]:
            index = self._prev[head]
            self._unlink(index)
            pfn = index + self._base
            (taken if eligible is None or eligible(pfn) else skipped).append(pfn)
        for pfn in skipped:
            self._link(self._index(pfn))
        return taken

    def isolate_page(self, pfn: int) -> bool:
        """Take a page from its list, unless that is of no use; return whether it was taken.

        [folio_isolate_lru]
        """
        index = self._index(pfn)
        if self._list[index] in (NO_LIST, UNEVICTABLE_LIST):
            return False
        self._unlink(index)
        return True

    def putback(self, pfn: int, *, set_flags: int = 0, clear_flags: int = 0,
                tail: bool = False) -> None:
        """Put an isolated page on the list of its flags, after changing them. [move_folios_to_lru]

        Raise ``ValueError`` if it is on a list.
        """
        index = self._index(pfn)
        if self._list[index] != NO_LIST:
            raise ValueError(f"Page {pfn:#x} is not isolated")
        self._flags[index] = self._flags[index] & ~clear_flags | set_flags
        self._link(index, tail=tail)
        self.nonresident_age += self._flags[index] & (ACTIVE | UNEVICTABLE) == ACTIVE

    def test_clear_referenced(self, pfn: int) -> bool:
        """Return whether a page has ``REFERENCED``, and clear it. [folio_test_clear_referenced]"""
        index = self._index(pfn)
        referenced = bool(self._flags[index] & REFERENCED)
        self._flags[index] &= ~REFERENCED
        return referenced

    def set_referenced(self, pfn: int) -> None:
        """Give a page ``REFERENCED``. [folio_set_referenced]"""
        self._flags[self._index(pfn)] |= REFERENCED

    def mark_accessed(self, pfn: int) -> None:
        """Note a use that no page table shows, a read of a file for example.

        The first sets ``REFERENCED``, the next activates the page. [folio_mark_accessed]
        """
        flags = self._flags[self._index(pfn)]
        if not flags & REFERENCED:
            self.set_referenced(pfn)
        elif not flags & (UNEVICTABLE | ACTIVE):
            self.activate(pfn)
            self.test_clear_referenced(pfn)

    def activate(self, pfn: int) -> None:
        """Move a page to the head of its active list, if it is inactive. [folio_activate]"""
        if not self._flags[self._index(pfn)] & (ACTIVE | UNEVICTABLE):
            self._move(pfn, set_flags=ACTIVE)
            self.vmstat["pgactivate"] += 1
            self.nonresident_age += 1

    def deactivate(self, pfn: int) -> None:
        """Move a page to the head of its inactive list, if it is active. [lru_deactivate_fn]"""
        if self._flags[self._index(pfn)] & (ACTIVE | UNEVICTABLE) == ACTIVE:
            self._move(pfn, clear_flags=ACTIVE | REFERENCED)
            self.vmstat["pgdeactivate"] += 1

    def set_unevictable(self, pfn: int, unevictable: bool) -> None:
        """Keep a page from reclaim, or give it back to it. [mlock_folio, munlock_folio]"""
        if bool(self._flags[self._index(pfn)] & UNEVICTABLE) != unevictable:
            if unevictable:
                self._move(pfn, set_flags=UNEVICTABLE, clear_flags=ACTIVE)
            else:
                self._move(pfn, clear_flags=UNEVICTABLE)

    def is_unevictable(self, pfn: int) -> bool:
        """Return whether a page is kept from reclaim."""
        return bool(self._flags[self._index(pfn)] & UNEVICTABLE)

    def make_lazyfree(self, pfn: int) -> None:
        """Let an anonymous page go without being written, if nobody writes to it before.

        It is counted among the pages of files. [lru_lazyfree_fn]
        """
        if not self._flags[self._index(pfn)] & (FILE | UNEVICTABLE):
            self._move(pfn, set_flags=FILE, clear_flags=ACTIVE | REFERENCED)
            self.vmstat["pglazyfree"] += 1

    def make_swapbacked(self, pfn: int) -> None:
        """Undo ``make_lazyfree``, as the page was written to. [folio_set_swapbacked]"""
        self._move(pfn, clear_flags=FILE)

    def note_cost(self, file: bool, pages: int) -> None:
        """Count I/O that reclaim has led to; old cost fades. [lru_note_cost]"""
        self.cost[file] += pages
        if sum(self.cost) > sum(map(self.size, EVICTABLE)) // 4:
            self.cost[0] //= 2
            self.cost[1] //= 2

    def _index(self, pfn: int) -> int:
        index = pfn - self._base
        if not 0 <= index < self._size:
            raise ValueError(f"Page {pfn:#x} is of another node")
        return index

    def _right_list(self, index: int) -> int:
        """Return the list that the flags of a page name. [folio_lru_list]"""
        flags = self._flags[index]
        if flags & UNEVICTABLE:
            return UNEVICTABLE_LIST
        return flags & (ACTIVE | FILE)

    def _link(self, index: int, *, tail: bool = False) -> None:
        """Put a page on the list of its flags. [lruvec_add_folio]"""
        lru = self._right_list(index)
        head = self._size + lru
        before = self._prev[head] if tail else head
        after = self._next[before]
        self._prev[index], self._next[index] = before, after
        self._next[before] = self._prev[after] = index
        self._list[index] = lru
        self._count[lru] += 1

    def _unlink(self, index: int) -> None:
        before, after = self._prev[index], self._next[index]
        self._next[before], self._prev[after] = after, before
        self._count[self._list[index]] -= 1
        self._list[index] = NO_LIST

    def _move(self, pfn: int, *, set_flags: int = 0, clear_flags: int = 0) -> None:
        """Change flags, and the list with them if the page is on one."""
        index = self._index(pfn)
        listed = self._list[index] != NO_LIST
        if listed:
            self._unlink(index)
        self._flags[index] = self._flags[index] & ~clear_flags | set_flags
        if listed:
            self._link(index)

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if a list is not linked both ways, or a page on a wrong one."""
        seen = 0
        for lru in LruList:
            before = head = self._size + lru
            count = 0
            while (at := self._next[before]) != head:
                right = self._right_list(at) if at < self._size else None
                if not (at < self._size and self._prev[at] == before
                        and self._list[at] == lru == right):
                    raise BrokenInvariant(f"{lru.name} is broken at page {at + self._base:#x}")
                before, count = at, count + 1
                if count > self._count[lru]:
                    break
            if self._prev[head] != before or count != self._count[lru]:
                raise BrokenInvariant(f"{lru.name} counts {self._count[lru]} pages, not {count}")
            seen += count
        listed = self._size - self._list.count(NO_LIST)
        if listed != seen:
            raise BrokenInvariant(f"{listed} pages say they are on LRU lists, but {seen} are")
