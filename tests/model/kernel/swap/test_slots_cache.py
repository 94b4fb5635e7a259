"""Slots that the processor keeps: when it does, in which order they come, what is seen of it."""

import pytest

from pagewalk.model.kernel.swap.slots_cache import SWAP_SLOTS_CACHE_SIZE
from pagewalk.model.kernel.swap.swap import Swap, SwapEntry
from pagewalk.model.physical.errors import BrokenInvariant

from ..disks import NoDisk

ACTIVE = 5 * SWAP_SLOTS_CACHE_SIZE  # more free slots than that, and slots are kept
PASSIVE = 2 * SWAP_SLOTS_CACHE_SIZE  # fewer, and they are not


def areas(*pages, priority=3):
    swap = Swap(0, 10_000)
    for count in pages:
        swap.swapon(NoDisk(count + 1), priority)
    return swap


def take(swap, count):
    return [swap.get_swap_page() for _ in range(count)]


def runs(entries):
    """The types of entries and how often each comes in a row."""
    found = []
    for entry in entries:
        if found and found[-1][0] == entry.type:
            found[-1][1] += 1
        else:
            found.append([entry.type, 1])
    return [tuple(one) for one in found]


def test_areas_of_one_priority_take_turns_with_64_slots_each():
    """The first search of each gives few, as most of its time goes to finding a cluster."""
    swap = areas(2000, 2000, 2000)
    entries = take(swap, 600)
    assert runs(entries) == [(0, 2), (1, 2), (2, 2), (0, 64), (1, 64), (2, 64), (0, 64), (1, 64),
                             (2, 64), (0, 64), (1, 64), (2, 64), (0, 18)]
    for swap_type in range(3):
        offsets = [entry.offset for entry in entries if entry.type == swap_type]
        assert offsets == [*range(1, len(offsets) + 1)]
    assert [info.inuse_pages for info in swap.info] == [258, 194, 194]
    swap.check()


def test_areas_of_one_priority_take_turns_with_one_slot_each_when_few_are_free():
    swap = areas(*[ACTIVE // 2] * 2)
    assert runs(take(swap, 6)) == [(0, 1), (1, 1)] * 3
    swap.check()


def test_a_higher_priority_comes_first_and_what_is_kept_before_all():
    swap = areas(2000)
    first = take(swap, 10)
    swap.swapon(NoDisk(2001), 9)
    assert runs(first + take(swap, 200)) == [(0, 66), (1, 144)]


@pytest.mark.parametrize(("free", "kept"), [(ACTIVE, 0), (ACTIVE + 1, 1)])
def test_slots_are_kept_if_more_than_320_are_free(free, kept):
    swap = areas(free)
    swap.get_swap_page()
    assert len(swap.slots_cache) == kept
    assert (swap.nr_swap_pages, swap.free_slots) == (free - 1 - kept, free - 1)


def test_slots_are_kept_until_fewer_than_128_are_free():
    swap = areas(ACTIVE + 40)
    seen = []
    for _ in range(ACTIVE + 40):
        before = swap.nr_swap_pages
        assert swap.get_swap_page() is not None
        if seen and not swap.slots_cache.active:
            break
        seen.append(before)
        swap.check()
    assert min(seen) >= PASSIVE
    assert before < PASSIVE
    assert len(swap.slots_cache) == 0
    taken = len(seen) + 1
    assert len(set(take(swap, ACTIVE + 40 - taken))) == ACTIVE + 40 - taken  # to the last one
    assert swap.get_swap_page() is None


def test_slots_that_are_free_again_are_kept_until_64_are():
    swap = areas(2000)
    entries = take(swap, 130)  # as many as three searches gave
    in_use = swap.info[0].inuse_pages
    for entry in entries[:SWAP_SLOTS_CACHE_SIZE]:
        swap.put_swap_page(entry)
    assert swap.info[0].inuse_pages == in_use
    assert swap.proc_swaps().split()[-2] == str(4 * in_use)
    swap.put_swap_page(entries[SWAP_SLOTS_CACHE_SIZE])
    assert swap.info[0].inuse_pages == in_use - SWAP_SLOTS_CACHE_SIZE
    assert len(swap.slots_cache) == 1
    swap.check()


def test_a_shadow_stays_as_long_as_the_slot_is_kept():
    swap = areas(2000)
    entry = swap.add_to_swap(5)
    swap.swap_duplicate(entry)
    swap.delete_from_swap_cache(5, shadow=9)
    swap.swap_free(entry)
    assert swap.cache.add(6, entry) == 9
    swap.cache.delete(6, 9)
    swap.slots_cache.drain()
    assert swap.cache.add(6, entry) is None
    swap.cache.delete(6)


def test_swapoff_gives_back_what_is_kept_of_all_areas_and_then_slots_are_kept_again():
    swap = areas(1000, 1000)
    entries = take(swap, 4)
    swap.put_swap_page(entries[0])
    kept = []

    def unuse(swap_type):
        kept.append(len(swap.slots_cache))
        for entry in entries[1:]:
            if entry.type == swap_type:
                swap.put_swap_page(entry)
        kept.append(len(swap.slots_cache))

    swap.swapoff(0, unuse)
    assert kept == [0, 0]
    assert swap.slots_cache.enabled
    assert swap.info[1].inuse_pages == 2
    swap.check()
    swap.get_swap_page()
    assert len(swap.slots_cache) > 0
    for entry in entries[1:]:
        if entry.type == 1:
            swap.put_swap_page(entry)
    swap.slots_cache.drain()


def test_without_an_area_nothing_is_kept():
    swap = areas(1000)
    swap.swapoff(0, lambda _type: None)
    assert (swap.slots_cache.enabled, swap.free_slots) == (False, 0)
    assert swap.get_swap_page() is None


def test_swapoff_that_fails_keeps_slots_again():
    swap = areas(1000)
    entry = swap.get_swap_page()
    swap.swap_duplicate(entry)
    with pytest.raises(ValueError, match=r"^no$"):
        swap.swapoff(0, lambda _type: (_ for _ in ()).throw(ValueError("no")))
    assert swap.slots_cache.enabled
    assert swap.get_swap_page() is not None
    swap.check()


def test_a_slot_that_is_kept_is_not_taken_for_one_that_only_the_swap_cache_holds():
    """Once swap is half full, those are given out again."""
    swap = areas(700)
    entries = take(swap, 400)
    assert swap.swap_full
    assert swap.slots_cache.active
    kept = {*swap.slots_cache.entries}
    assert kept
    more = take(swap, len(kept) + 100)
    assert not {*more[len(kept) :]} & (kept | {*entries})
    swap.check()


def test_check_finds_a_slot_that_is_kept_but_in_use():
    swap = areas(1000)
    entry = swap.add_to_swap(3)
    swap.slots_cache._returned.append(entry)
    with pytest.raises(BrokenInvariant, match=r"is kept, but has a page$"):
        swap.check()
    swap.swap_duplicate(entry)
    with pytest.raises(BrokenInvariant, match=r"is kept, but in use$"):
        swap.check()
    assert entry == SwapEntry(0, 1)
