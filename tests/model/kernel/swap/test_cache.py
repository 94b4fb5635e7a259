import pytest

from pagewalk.model.kernel.swap.cache import SwapCache, SwapEntry
from pagewalk.model.kernel.swap.errors import BadSwapEntry
from pagewalk.model.physical.errors import BrokenInvariant


@pytest.fixture
def cache():
    cache = SwapCache(0x100, 0x200)
    cache.attach(0, 20)
    cache.attach(3, 30)
    yield cache
    cache.check()


def test_page_and_entry_lead_to_each_other(cache):
    assert cache.add(0x123, SwapEntry(3, 29)) is None
    assert cache.page(SwapEntry(3, 29)) == 0x123
    assert cache.entry(0x123) == SwapEntry(3, 29)
    assert cache.page(SwapEntry(0, 19)) is None
    assert cache.entry(0x124) is None
    assert cache.delete(0x123) == SwapEntry(3, 29)
    assert cache.page(SwapEntry(3, 29)) is None
    assert cache.entry(0x123) is None


def test_shadow_of_a_page_is_there_until_the_slot_has_a_page_or_is_free(cache):
    for shadow in (0, 1, 2**40):
        cache.add(0x100, SwapEntry(0, 1))
        cache.delete(0x100, shadow)
        assert cache.page(SwapEntry(0, 1)) is None
        assert cache.add(0x101, SwapEntry(0, 1)) == shadow
        cache.clear_shadow(SwapEntry(0, 1))
        assert cache.page(SwapEntry(0, 1)) == 0x101
        cache.delete(0x101, shadow)
        cache.clear_shadow(SwapEntry(0, 1))
        assert cache.add(0x101, SwapEntry(0, 1)) is None
        cache.delete(0x101)


def test_neither_page_nor_slot_is_taken_twice(cache):
    cache.add(0x100, SwapEntry(0, 1))
    for pfn, entry in ((0x100, SwapEntry(0, 2)), (0x101, SwapEntry(0, 1))):
        with pytest.raises(BadSwapEntry, match=r"in the swap cache already$"):
            cache.add(pfn, entry)


def test_page_is_clean_until_it_is_dirty(cache):
    cache.set_dirty(0x100)
    cache.add(0x100, SwapEntry(0, 1))
    assert not cache.is_dirty(0x100)
    cache.set_dirty(0x100)
    assert cache.is_dirty(0x100)
    cache.set_dirty(0x100, False)
    assert not cache.is_dirty(0x100)


def test_lookups_are_counted(cache):
    cache.add(0x100, SwapEntry(0, 1))
    assert cache.lookup(SwapEntry(0, 1)) == 0x100
    assert cache.lookup(SwapEntry(0, 2)) is None
    cache.page(SwapEntry(0, 1))
    assert (cache.find_success, cache.find_total) == (1, 2)
    assert (cache.add_total, cache.del_total, len(cache)) == (1, 0, 1)


@pytest.mark.parametrize("entry", [(0, 0), (0, 20), (1, 5), (3, -1)])
def test_slot_that_is_not_there_is_refused(cache, entry):
    for act in (cache.page, cache.lookup, cache.clear_shadow, lambda at: cache.add(0x100, at)):
        with pytest.raises(BadSwapEntry, match=r"there is no such slot$"):
            act(SwapEntry(*entry))


@pytest.mark.parametrize("pfn", [0, 0xFF, 0x200])
def test_page_of_another_range_is_refused(cache, pfn):
    with pytest.raises(ValueError, match=f"^Page {pfn:#x} is not one of those that can be"):
        cache.entry(pfn)


def test_what_is_not_here_cannot_be_taken_out(cache):
    with pytest.raises(KeyError, match="Page 0x100 is not in the swap cache"):
        cache.delete(0x100)


def test_area_with_pages_cannot_be_detached(cache):
    cache.add(0x100, SwapEntry(3, 1))
    with pytest.raises(BrokenInvariant, match=r"still has pages of swap type 3$"):
        cache.detach(3)
    cache.delete(0x100, 7)
    cache.detach(3)
    cache.attach(3, 5)
    assert cache.add(0x100, SwapEntry(3, 1)) is None


def test_check_finds_a_page_that_is_nowhere():
    cache = SwapCache(0, 10)
    cache.attach(0, 10)
    cache.add(3, SwapEntry(0, 4))
    cache._slots[0][4] = 5
    with pytest.raises(BrokenInvariant, match="pages are in slots"):
        cache.check()
    cache._slots[0][4] = 3
    cache.add_total += 1
    with pytest.raises(BrokenInvariant, match=r"counts 2 pages, but has 1$"):
        cache.check()


def test_range_must_not_be_empty():
    with pytest.raises(ValueError, match=r"^Page range must not be empty, not 0x5 to 0x5$"):
        SwapCache(5, 5)
