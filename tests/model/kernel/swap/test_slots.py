import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.kernel.swap.errors import BadSwapEntry
from pagewalk.model.kernel.swap.slots import (
    SWAP_HAS_CACHE,
    SWAP_MAP_BAD,
    SWAP_MAP_MAX,
    SWAP_MAP_SHMEM,
)
from pagewalk.model.physical.errors import BrokenInvariant

from ..disks import one, swap_info


def test_slots_come_in_sequence_and_a_full_area_gives_none():
    info = swap_info(700)
    assert [one(info) for _ in range(699)] == list(range(1, 700))
    assert info.full
    assert one(info) is None
    info.check()


def test_new_run_begins_at_the_first_256_free_slots():
    info = swap_info(2000)
    for _ in range(600):
        one(info)
    for slot in range(10, 265):  # 255 free slots: one too few
        info.clear_cache(slot)
    for _ in range(168):  # the rest of the third run
        one(info)
    assert one(info) == 769
    info.clear_cache(9)
    for _ in range(255):
        one(info)
    assert one(info) == 9


def test_header_and_bad_pages_are_never_given_out():
    info = swap_info(20, (1, 7, 19))
    assert [one(info) for _ in range(16)] == [*range(2, 7), *range(8, 19)]
    assert info.pages == 16
    assert one(info) is None
    assert info.swap_map[7] == SWAP_MAP_BAD


def test_area_beyond_what_an_entry_holds_is_left_unused():
    info = swap_info(1000, (5, 150), maximum_pages=100)
    assert (info.max, info.pages, info.highest_bit) == (100, 98, 99)


@given(st.lists(st.sampled_from("dddfcsm"), max_size=400))
@settings(max_examples=50)
def test_slot_is_free_when_references_and_cache_are_gone(steps):
    info = swap_info(20)
    slot = one(info)
    count, cached, shmem = 0, True, False
    actions = {"d": info.duplicate, "f": info.free, "c": info.clear_cache, "s": info.set_cache,
               "m": info.shmem_alloc}
    for step in steps:
        allowed = {"d": not shmem, "f": count > 0, "c": cached, "s": not cached,
                   "m": count == 0}[step]
        if not allowed:
            with pytest.raises(BadSwapEntry):
                actions[step](slot)
            continue
        freed = actions[step](slot)
        count += {"d": 1, "m": 1, "f": -1}.get(step, 0)
        shmem = count > 0 and (shmem or step == "m")
        cached = {"c": False, "s": True}.get(step, cached)
        info.check()
        if not count and not cached:
            assert freed
            assert not info.inuse_pages
            return
        assert not freed
        assert (info.swapcount(slot), info.has_cache(slot)) == (count, cached)
        assert (info.is_shmem(slot), info.shmem_slots()) == (shmem, [slot] * shmem)


def test_the_byte_of_shared_memory_is_that_of_linux():
    info = swap_info(20)
    slot = one(info)
    info.shmem_alloc(slot)
    assert info.swap_map[slot] == SWAP_MAP_SHMEM | SWAP_HAS_CACHE == 0xFF
    assert not info.clear_cache(slot)
    assert info.swap_map[slot] == 0xBF
    for act in (info.duplicate, info.shmem_alloc):
        with pytest.raises(BadSwapEntry, match=r"^Swap entry of type 0, offset 0x1: the slot "):
            act(slot)
    info.set_cache(slot)
    assert not info.free(slot)
    assert info.swap_map[slot] == SWAP_HAS_CACHE
    assert info.clear_cache(slot)
    info.check()


@pytest.mark.parametrize("count", [SWAP_MAP_MAX, SWAP_MAP_MAX + 1, 1000])
def test_references_beyond_a_byte_are_counted(count):
    info = swap_info(20)
    slot = one(info)
    for _ in range(count):
        info.duplicate(slot)
    assert info.swapcount(slot) == count
    assert not info.clear_cache(slot)
    assert [info.free(slot) for _ in range(count)] == [*([False] * (count - 1)), True]
    info.check()


@pytest.mark.parametrize(("slot", "why"), [
    (0, "the device ends at 0x14"), (20, "the device ends at 0x14"), (7, "the slot is bad"),
    (2, "the slot is free"),
])
def test_entry_that_stands_for_nothing_is_refused(slot, why):
    info = swap_info(20, (7,))
    one(info)
    for act in (info.duplicate, info.free, info.set_cache, info.clear_cache, info.swapcount,
                info.shmem_alloc, info.is_shmem):
        with pytest.raises(BadSwapEntry, match=f"^Swap entry of type 0, offset {slot:#x}: {why}$"):
            act(slot)
    info.check()


def test_check_finds_a_slot_lost_a_wrong_hint_and_a_lost_reference():
    for spoil in (lambda info: info.swap_map.__setitem__(9, SWAP_HAS_CACHE),
                  lambda info: setattr(info, "lowest_bit", 9),
                  lambda info: setattr(info, "highest_bit", 9),
                  lambda info: info.swap_map.__setitem__(1, SWAP_HAS_CACHE | 0x80)):
        info = swap_info(20)
        one(info)
        info.check()
        spoil(info)
        with pytest.raises(BrokenInvariant):
            info.check()
    info = swap_info(3)
    one(info)
    one(info)
    info.highest_bit = 1
    with pytest.raises(BrokenInvariant, match="is full, but seems free"):
        info.check()
