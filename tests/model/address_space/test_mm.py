"""Random calls on an address space, beside a dict of pages."""

import os
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pagewalk.model.address_space.errors import BrokenMm, SysError
from pagewalk.model.address_space.limits import Commit, UserSpace
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .naive_mm import NaiveMm, Page, could_merge, page_range
from .small_mm import Recorder, forked

PAGE = 0x1000
BASE, PAGES = 0x100000, 48
TOP = BASE + PAGES * PAGE
SPACE = UserSpace(word_bytes=8, task_size=TOP + 64 * PAGE, huge_page_bytes=2 << 20,
                  mmap_min_addr=BASE, soft_dirty=True, stack_guard_gap=4 * PAGE)
ANON = MapFlag.PRIVATE | MapFlag.ANONYMOUS
FILES = (File("/one", inode=1), File("/two", inode=2))
MAY = VmFlag.MAY_ACCESS
RIGHTS = st.sampled_from([Prot.NONE, Prot.READ, Prot.READ | Prot.WRITE, Prot.READ | Prot.EXEC])
ADVICE = {Madvise.SEQUENTIAL: (VmFlag.RAND_READ, VmFlag.SEQ_READ),
          Madvise.RANDOM: (VmFlag.SEQ_READ, VmFlag.RAND_READ),
          Madvise.NORMAL: (VmFlag.SEQ_READ | VmFlag.RAND_READ, 0),
          Madvise.DONTFORK: (0, VmFlag.DONTCOPY), Madvise.DOFORK: (VmFlag.DONTCOPY, 0)}


@st.composite
def places(draw):
    first = draw(st.integers(0, PAGES - 1))
    length = draw(st.integers(1, min(12, PAGES - first)))
    return BASE + first * PAGE, length * PAGE


class NoTables(Exception):
    """No memory is left for page tables."""


class Calls(RuleBasedStateMachine):
    """The calls that change mappings, in a few dozen pages where they often meet."""

    merges_all = False

    @initialize()
    def start(self):
        self.commit = Commit()
        self.tables = Recorder()
        self.mm = Mm(SPACE, TOP, privileged=False, page_tables=self.tables, commit=self.commit)
        self.naive = NaiveMm()

    @rule(place=places(), prot=RIGHTS, shared=st.booleans(),
          file=st.sampled_from([None, *FILES]), offset=st.integers(0, 60))
    def map_fixed(self, place, prot, shared, file, offset):
        shared = shared and file is not None
        kind = MapFlag.SHARED if shared else MapFlag.PRIVATE
        flags = MapFlag.FIXED | kind | (MapFlag.ANONYMOUS if file is None else 0)
        # Offsets that often continue from one mapping to the next.
        page = (place[0] - BASE) // PAGE + offset // 20 if file is not None else 0
        assert self.mm.mmap(*place, prot, flags, file, page * PAGE) == place[0]
        self._mapped(*place, prot, shared, file, page)

    def _mapped(self, start, length, prot, shared, file, page=0):
        vm_flags = prot | MAY | (VmFlag.SHARED | VmFlag.MAYSHARE if shared else 0)
        self.naive.map(start, length, vm_flags, file, page if file else start // PAGE)

    @rule(pages=st.integers(1, 12), prot=RIGHTS)
    def map_anywhere(self, pages, prot):
        length = pages * PAGE
        if self.mm.total_vm + pages > PAGES:
            return
        try:
            expected = self.naive.free_below(TOP, length) * PAGE
        except AssertionError:
            return
        if expected < BASE:
            return
        assert self.mm.mmap(0, length, prot, ANON) == expected
        self._mapped(expected, length, prot, False, None)

    @rule(place=places())
    def map_without_replacing(self, place):
        taken = any(number in self.naive.pages
                    for number in range(place[0] // PAGE, sum(place) // PAGE))
        if taken:
            with pytest.raises(SysError, match="EEXIST"):
                self.mm.mmap(*place, Prot.READ, ANON | MapFlag.FIXED_NOREPLACE)
        else:
            self.mm.mmap(*place, Prot.READ, ANON | MapFlag.FIXED_NOREPLACE)
            self._mapped(*place, Prot.READ, False, None)

    @rule(place=places())
    def unmap(self, place):
        self.mm.munmap(*place)
        self.naive.unmap(*place)

    @rule(place=places(), prot=RIGHTS)
    def protect(self, place, prot):
        start, length = place
        whole = self.naive.is_mapped(start, length)
        if not whole:
            with pytest.raises(SysError, match="ENOMEM"):
                self.mm.mprotect(start, length, prot)
            holes = [n for n in range(start // PAGE, (start + length) // PAGE)
                     if n not in self.naive.pages]
            length = holes[0] * PAGE - start
        else:
            self.mm.mprotect(start, length, prot)
        if length:
            self.naive.change(start, length, VmFlag.ACCESS, prot)

    @rule(place=places(), advice=st.sampled_from(sorted(ADVICE)))
    def advise(self, place, advice):
        if self.naive.is_mapped(*place):
            self.mm.madvise(*place, advice)
        else:
            with pytest.raises(SysError, match="ENOMEM"):
                self.mm.madvise(*place, advice)
        self.naive.change(*place, *ADVICE[advice])

    @rule(place=places(), lock=st.booleans())
    def lock(self, place, lock):
        if not self.naive.is_mapped(*place):
            return
        pages = [self.naive.pages[number] for number in page_range(*place)]
        if lock and not all(page.flags & VmFlag.ACCESS for page in pages):
            with pytest.raises(SysError, match="ENOMEM"):  # locked, but without pages
                self.mm.mlock(*place)
        else:
            (self.mm.mlock if lock else self.mm.munlock)(*place)
        self.naive.change(*place, VmFlag.LOCKED, VmFlag.LOCKED if lock else 0)

    @invariant()
    def mappings_are_the_pages(self):
        if hasattr(self, "mm"):
            self.mm.check()
            assert self.naive.seen_as(self.mm) == self.naive.pages
            assert self.mm.map_count == len(list(self.mm))
            assert self.commit.committed == self.mm.committed
            if self.merges_all:
                assert not [pair for pair in pairwise(self.mm) if could_merge(*pair)]

    def teardown(self):
        if hasattr(self, "mm"):
            self.mm.exit()
            assert (self.mm.map_count, self.commit.committed, self.mm.total_vm) == (0, 0, 0)


class UntouchedCalls(Calls):
    """Without anonymous pages whatever could be one mapping is one."""

    merges_all = True


class TouchedCalls(Calls):
    """With pages, moves, forks and the heap, where not all that touches may merge."""

    @rule(place=places())
    def touch(self, place):
        for vma in self.mm.tree.overlapping(place[0], sum(place)):
            if vma.flags & VmFlag.WRITE and not vma.flags & VmFlag.SHARED:
                self.mm.prepare_anon_vma(vma)

    @rule(place=places(), to=places(), keep=st.booleans())
    def move(self, place, to, keep):
        start, length = place
        vma = self.mm.tree.lookup(start)
        if vma is None or vma.end < start + length or to[0] + length > TOP:
            return
        new = to[0]
        flags = MremapFlag.MAYMOVE | MremapFlag.FIXED | (MremapFlag.DONTUNMAP if keep else 0)
        if new < start + length and start < new + length:
            with pytest.raises(SysError, match="EINVAL"):
                self.mm.mremap(start, length, length, flags, new)
            return
        has_pages = vma.file is not None or vma.anon_vma is not None
        assert self.mm.mremap(start, length, length, flags, new) == new
        self.naive.unmap(new, length)
        old = [self.naive.pages[n] for n in range(start // PAGE, (start + length) // PAGE)]
        if not keep:
            self.naive.take(start, length)
        for n, page in enumerate(old):
            index = page.index if has_pages else new // PAGE + n
            self.naive.pages[new // PAGE + n] = Page(page.flags, page.file, index)
        if keep:  # all of the old mapping loses its lock
            source = self.mm.tree.lookup(start)
            self.naive.change(source.start, source.end - source.start, VmFlag.LOCKED, 0)

    @rule(place=places(), to=places(), more=st.integers(0, 3), keep=st.booleans())
    def move_in_vain(self, place, to, more, keep):
        start, length = place
        vma = self.mm.tree.lookup(start)
        new, new_length = to[0], length + (0 if keep else more * PAGE)
        flags = MremapFlag.MAYMOVE | MremapFlag.FIXED | (MremapFlag.DONTUNMAP if keep else 0)
        if (vma is None or vma.end < start + length or new + new_length > TOP
                or (new < start + length and start < new + new_length)):
            return
        self.tables.errors["move"] = NoTables()
        with pytest.raises(NoTables):
            self.mm.mremap(start, length, new_length, flags, new)
        del self.tables.errors["move"]
        self.naive.unmap(new, new_length)

    @rule(place=places(), more=st.integers(1, 6))
    def grow(self, place, more):
        start, length = place
        vma = self.mm.tree.lookup(start)
        if vma is None or vma.end != start + length:
            return
        free = not any((start + length) // PAGE + n in self.naive.pages for n in range(more))
        delta = more * PAGE
        if free and start + length + delta <= SPACE.task_size:
            assert self.mm.mremap(start, length, length + delta) == start
            for n in range(more):
                last = self.naive.pages[(start + length) // PAGE + n - 1]
                self.naive.pages[(start + length) // PAGE + n] = Page(
                    last.flags, last.file, last.index + 1)
        else:
            with pytest.raises(SysError, match="ENOMEM"):
                self.mm.mremap(start, length, length + delta)

    @rule(place=places(), less=st.integers(1, 6))
    def shrink(self, place, less):
        start, length = place
        if self.mm.tree.lookup(start) is None or less * PAGE >= length:
            return
        assert self.mm.mremap(start, length, length - less * PAGE) == start
        self.naive.unmap(start + length - less * PAGE, less * PAGE)

    @rule(into_child=st.booleans())
    def fork(self, into_child):
        """Go on in the parent or in the child; the other one ends."""
        child = forked(self.mm, self.tables)
        child.check()
        if not into_child:
            child.exit()
            return
        self.mm.exit()
        self.mm = child
        self.naive.pages = {
            number: Page(page.flags & ~VmFlag.LOCKED, page.file, page.index)
            for number, page in self.naive.pages.items() if not page.flags & VmFlag.DONTCOPY
        }


CASE_SETTINGS = settings(max_examples=int(os.environ.get("MM_EXAMPLES", "60")),
                         stateful_step_count=40, deadline=None,
                         suppress_health_check=[HealthCheck.too_slow])
TestUntouchedCalls = pytest.mark.slow(UntouchedCalls.TestCase)
TestUntouchedCalls.settings = CASE_SETTINGS
TestTouchedCalls = pytest.mark.slow(TouchedCalls.TestCase)
TestTouchedCalls.settings = CASE_SETTINGS


def test_check_finds_what_is_broken():
    def broken(change):
        mm = Mm(SPACE, TOP)
        mm.mmap(BASE, 4 * PAGE, Prot.READ | Prot.WRITE, ANON | MapFlag.FIXED)
        mm.mmap(BASE + 8 * PAGE, 4 * PAGE, Prot.READ, ANON | MapFlag.FIXED)
        mm.check()
        low, high = mm
        mm.prepare_anon_vma(low)
        mm.check()
        change(mm, low, high)
        with pytest.raises(BrokenMm) as caught:
            mm.check()
        return str(caught.value)

    def overlap(_mm, low, high):
        low.end = high.start + PAGE

    def misplaced(_mm, low, _high):
        low.start += PAGE

    def account(mm, _low, _high):
        mm.data_vm += 1

    def lock(_mm, _low, high):
        high.flags |= VmFlag.LOCKED

    def offset(_mm, _low, high):
        high.pgoff = -1

    def unlinked(_mm, low, _high):
        low.anon_vma_chain.clear()

    def unknown(_mm, low, _high):
        low.anon_vma.vmas.clear()

    assert "overlaps another" in broken(overlap)
    assert "not at its place in the tree" in broken(misplaced)
    assert "data_vm is 5" in broken(account)
    assert "0 locked, but mappings have 4 and 4" in broken(lock)
    assert "page offset -1" in broken(offset)
    assert "not linked to its anon_vma" in broken(unlinked)
    assert "does not know mapping" in broken(unknown)
