import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pagewalk.model.kernel.reclaim.lru import EVICTABLE, LruFlag, LruList, Lruvec
from pagewalk.model.physical.errors import BrokenInvariant

PFNS = range(0x200, 0x210)
pfns = st.integers(PFNS.start, PFNS.stop - 1)


class LruMachine(RuleBasedStateMachine):
    """Random steps beside plain Python lists, the head first."""

    def __init__(self):
        super().__init__()
        self.lruvec = Lruvec(PFNS.start, PFNS.stop)
        self.lists = {lru: [] for lru in LruList}
        self.flags = {}  # of pages on a list or isolated
        self.isolated = []

    def listed(self, pfn):
        return any(pfn in pages for pages in self.lists.values())

    def right_list(self, pfn):
        if self.flags[pfn] & LruFlag.UNEVICTABLE:
            return self.lists[LruList.UNEVICTABLE]
        file = bool(self.flags[pfn] & LruFlag.FILE)
        active = bool(self.flags[pfn] & LruFlag.ACTIVE)
        return self.lists[LruList(2 * file + active)]

    def change(self, pfn, set_flags=0, clear_flags=0):
        """Change flags; a page on a list comes to the head of its new one."""
        listed = self.listed(pfn)
        if listed:
            self.right_list(pfn).remove(pfn)
        self.flags[pfn] = self.flags[pfn] & ~clear_flags | set_flags
        if listed:
            self.right_list(pfn).insert(0, pfn)

    @rule(pfn=pfns, flags=st.sampled_from([0, 1, 2, 3, 4, 16, 17]))
    def add(self, pfn, flags):
        if self.listed(pfn):
            with pytest.raises(ValueError, match=f"^Page {pfn:#x} is on an LRU list already$"):
                self.lruvec.add(pfn, flags)
        elif pfn not in self.isolated:
            self.lruvec.add(pfn, flags)
            self.flags[pfn] = LruFlag(flags)
            self.right_list(pfn).insert(0, pfn)

    @rule(pfn=pfns)
    def delete(self, pfn):
        self.lruvec.delete(pfn)
        for pages in (*self.lists.values(), self.isolated):
            if pfn in pages:
                pages.remove(pfn)
        self.flags.pop(pfn, None)

    @rule(lru=st.sampled_from(EVICTABLE), count=st.integers(1, 5), odd=st.booleans())
    def isolate(self, lru, count, odd):
        taken = self.lruvec.isolate(lru, count, (lambda pfn: pfn % 2) if odd else None)
        pages = self.lists[lru]
        expected, skipped = [], []
        while pages and len(expected) < count:
            pfn = pages.pop()
            (skipped if odd and not pfn % 2 else expected).append(pfn)
        pages[:0] = skipped[::-1]
        assert taken == expected
        self.isolated += taken

    @precondition(lambda self: self.isolated)
    @rule(number=st.integers(0), tail=st.booleans(), active=st.sampled_from([None, False, True]))
    def putback(self, number, tail, active):
        pfn = self.isolated.pop(number % len(self.isolated))
        set_flags = LruFlag.ACTIVE if active else 0
        clear_flags = LruFlag.ACTIVE if active is False else 0
        self.lruvec.putback(pfn, set_flags=set_flags, clear_flags=clear_flags, tail=tail)
        self.flags[pfn] = self.flags[pfn] & ~clear_flags | set_flags
        pages = self.right_list(pfn)
        pages.insert(len(pages) if tail else 0, pfn)

    @precondition(lambda self: self.flags)
    @rule(number=st.integers(0))
    def activate(self, number):
        pfn = sorted(self.flags)[number % len(self.flags)]
        self.lruvec.activate(pfn)
        if not self.flags[pfn] & (LruFlag.UNEVICTABLE | LruFlag.ACTIVE):
            self.change(pfn, LruFlag.ACTIVE)

    @precondition(lambda self: self.flags)
    @rule(number=st.integers(0))
    def deactivate(self, number):
        pfn = sorted(self.flags)[number % len(self.flags)]
        self.lruvec.deactivate(pfn)
        if self.flags[pfn] & LruFlag.ACTIVE and not self.flags[pfn] & LruFlag.UNEVICTABLE:
            self.change(pfn, 0, LruFlag.ACTIVE | LruFlag.REFERENCED)

    @precondition(lambda self: self.flags)
    @rule(number=st.integers(0))
    def mark_accessed(self, number):
        pfn = sorted(self.flags)[number % len(self.flags)]
        self.lruvec.mark_accessed(pfn)
        flags = self.flags[pfn]
        if not flags & LruFlag.REFERENCED:
            self.flags[pfn] |= LruFlag.REFERENCED
        elif not flags & (LruFlag.UNEVICTABLE | LruFlag.ACTIVE):
            self.change(pfn, LruFlag.ACTIVE, LruFlag.REFERENCED)

    @precondition(lambda self: self.flags)
    @rule(number=st.integers(0), unevictable=st.booleans())
    def set_unevictable(self, number, unevictable):
        pfn = sorted(self.flags)[number % len(self.flags)]
        self.lruvec.set_unevictable(pfn, unevictable)
        if bool(self.flags[pfn] & LruFlag.UNEVICTABLE) != unevictable:
            if unevictable:
                self.change(pfn, LruFlag.UNEVICTABLE, LruFlag.ACTIVE)
            else:
                self.change(pfn, 0, LruFlag.UNEVICTABLE)

    @invariant()
    def lists_are_the_same(self):
        self.lruvec.check()
        for lru, pages in self.lists.items():
            assert list(self.lruvec.pages(lru)) == pages
            assert self.lruvec.size(lru) == len(pages)
        for pfn in PFNS:
            assert (pfn in self.lruvec) == self.listed(pfn)
            assert self.lruvec.flags(pfn) == self.flags.get(pfn, 0)
            on = [lru for lru, pages in self.lists.items() if pfn in pages]
            assert self.lruvec.list_of(pfn) == (on[0] if on else None)


TestLruMachine = pytest.mark.slow(LruMachine.TestCase)
TestLruMachine.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


def test_new_page_comes_to_the_head_and_the_oldest_is_taken_first():
    lruvec = Lruvec(0, 10)
    for pfn in (3, 1, 2):
        lruvec.add(pfn, LruFlag.FILE)
    assert list(lruvec.pages(LruList.INACTIVE_FILE)) == [2, 1, 3]
    assert lruvec.isolate(LruList.INACTIVE_FILE, 2) == [3, 1]
    assert len(lruvec) == 1


def test_second_use_of_a_file_page_activates_it():
    lruvec = Lruvec(0, 10)
    lruvec.add(5, LruFlag.FILE)
    lruvec.mark_accessed(5)
    assert lruvec.flags(5) == LruFlag.FILE | LruFlag.REFERENCED
    lruvec.mark_accessed(5)
    assert lruvec.flags(5) == LruFlag.FILE | LruFlag.ACTIVE
    assert (lruvec.vmstat["pgactivate"], lruvec.nonresident_age) == (1, 1)


def test_page_put_back_active_makes_the_others_older():
    lruvec = Lruvec(0, 10)
    lruvec.add(5)
    lruvec.isolate(LruList.INACTIVE_ANON, 1)
    lruvec.putback(5)
    assert lruvec.nonresident_age == 0
    lruvec.isolate(LruList.INACTIVE_ANON, 1)
    lruvec.putback(5, set_flags=LruFlag.ACTIVE)
    assert lruvec.nonresident_age == 1
    with pytest.raises(ValueError, match=r"^Page 0x5 is not isolated$"):
        lruvec.putback(5)


def test_cost_fades_when_it_is_a_quarter_of_the_pages():
    lruvec = Lruvec(0, 100)
    for pfn in range(40):
        lruvec.add(pfn)
    lruvec.note_cost(True, 7)
    lruvec.note_cost(False, 3)
    assert lruvec.cost == [3, 7]
    lruvec.note_cost(False, 1)
    assert lruvec.cost == [2, 3]


@pytest.mark.parametrize("pfn", [0, 0x1FF, 0x210])
def test_page_of_another_node_is_refused(pfn):
    with pytest.raises(ValueError, match=f"^Page {pfn:#x} is of another node$"):
        Lruvec(0x200, 0x210).add(pfn)


def test_range_must_not_be_empty():
    with pytest.raises(ValueError, match=r"^Page range must not be empty, not 0x5 to 0x5$"):
        Lruvec(5, 5)


def test_check_finds_a_broken_link_a_wrong_list_and_a_wrong_count():
    for spoil in (lambda lruvec: lruvec._next.__setitem__(2, 0),
                  lambda lruvec: lruvec._prev.__setitem__(2, 0),
                  lambda lruvec: lruvec._flags.__setitem__(2, LruFlag.ACTIVE),
                  lambda lruvec: lruvec._list.__setitem__(7, LruList.ACTIVE_FILE),
                  lambda lruvec: lruvec._count.__setitem__(LruList.INACTIVE_ANON, 4)):
        lruvec = Lruvec(0, 10)
        for pfn in range(5):
            lruvec.add(pfn)
        lruvec.check()
        spoil(lruvec)
        with pytest.raises(BrokenInvariant):
            lruvec.check()
