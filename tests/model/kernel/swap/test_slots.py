import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from pagewalk.model.kernel.swap.errors import BadSwapEntry
from pagewalk.model.kernel.swap.slots import (
    SWAP_HAS_CACHE,
    SWAP_MAP_BAD,
    SWAP_MAP_MAX,
    SWAP_MAP_SHMEM,
    SWAPFILE_CLUSTER,
)
from pagewalk.model.physical.errors import BrokenInvariant

from ..disks import swap_info


class SlotBySlot:
    """The kernel's search for one slot, one slot at a time. [scan_swap_map_slots]"""

    def __init__(self, swap_map):
        self.map = list(swap_map)
        self.low, self.high = 1, len(swap_map) - 1  # where free slots may be
        self.next = 1
        self.left = 0

    def free(self, at):
        self.map[at] = 0
        self.low, self.high = min(self.low, at), max(self.high, at)

    def first_run(self):
        """Return the first of 256 free slots in a row, or None."""
        run = 0
        for at in range(self.low, self.high + 1):
            run = 0 if self.map[at] else run + 1
            if run == SWAPFILE_CLUSTER:
                return at - SWAPFILE_CLUSTER + 1
        return None

    def begin(self):
        if self.left:
            self.left -= 1
            return self.next
        self.left = SWAPFILE_CLUSTER - 1
        if self.map.count(0) < SWAPFILE_CLUSTER:
            return self.next
        run = self.first_run()
        return self.low if run is None else run

    def alloc(self, reclaim=None):
        begin = self.begin()
        if begin > self.high:
            begin = self.low
        for at in [*range(begin, self.high + 1), *range(self.low, begin)]:
            if self.map[at] == SWAP_HAS_CACHE and reclaim is not None and reclaim(at):
                self.free(at)
            if self.map[at]:
                continue
            self.map[at] = SWAP_HAS_CACHE
            self.next = at + 1
            self.low += at == self.low
            self.high -= at == self.high
            if 0 not in self.map:
                self.low, self.high = len(self.map), 0
            return at
        return None


def test_slots_come_in_sequence_and_a_full_area_gives_none():
    info = swap_info(700)
    assert [info.scan_swap_map(None) for _ in range(699)] == list(range(1, 700))
    assert info.full
    assert info.scan_swap_map(None) is None
    info.check()


def test_new_run_begins_at_the_first_256_free_slots():
    info = swap_info(2000)
    for _ in range(600):
        info.scan_swap_map(None)
    for slot in range(10, 265):  # 255 free slots: one too few
        info.clear_cache(slot)
    for _ in range(168):  # the rest of the third run
        info.scan_swap_map(None)
    assert info.scan_swap_map(None) == 769
    info.clear_cache(9)
    for _ in range(255):
        info.scan_swap_map(None)
    assert info.scan_swap_map(None) == 9


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("pages", [40, 700, 1300])
def test_slots_are_those_of_a_search_slot_by_slot(pages, seed):
    rng = default_rng([pages, seed])
    bad = sorted({*rng.integers(1, pages, 5).tolist()})
    info = swap_info(pages, bad)
    naive = SlotBySlot(info.swap_map)
    used = []
    for _ in range(4):
        for _ in range(int(rng.integers(info.pages - info.inuse_pages + 1))):
            used.append(info.scan_swap_map(None))
            assert used[-1] == naive.alloc()
        info.check()
        for _ in range(int(rng.integers(len(used) + 1))):
            slot = used.pop(int(rng.integers(len(used))))
            info.clear_cache(slot)
            naive.free(slot)
        info.check()
        assert list(info.swap_map) == naive.map


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_slots_that_only_the_cache_holds_are_taken_on_the_way(seed):
    rng = default_rng(seed)
    info = swap_info(100)
    naive = SlotBySlot(info.swap_map)
    taken = 0
    for _ in range(3000):
        kept = {*rng.integers(1, 100, 50).tolist()}
        cached = [at for at in range(1, 100) if naive.map[at] == SWAP_HAS_CACHE]

        def reclaim(slot, kept=kept):
            return slot not in kept and info.clear_cache(slot)

        if rng.integers(2) and not info.full:
            slot = info.scan_swap_map(reclaim)
            assert slot == naive.alloc(lambda at, kept=kept: at not in kept)
            taken += slot in cached
            if rng.integers(3) == 0:
                info.duplicate(slot)
                naive.map[slot] += 1
        elif naive.map[slot := int(rng.integers(1, 100))] == SWAP_HAS_CACHE:
            info.clear_cache(slot)
            naive.free(slot)
        elif naive.map[slot]:
            info.free(slot)
            naive.map[slot] -= 1
        info.check()
        assert list(info.swap_map) == naive.map
    assert taken > 100


def test_header_and_bad_pages_are_never_given_out():
    info = swap_info(20, (1, 7, 19))
    assert [info.scan_swap_map(None) for _ in range(16)] == [*range(2, 7), *range(8, 19)]
    assert info.pages == 16
    assert info.scan_swap_map(None) is None
    assert info.swap_map[7] == SWAP_MAP_BAD


def test_area_beyond_what_an_entry_holds_is_left_unused():
    info = swap_info(1000, (5, 150), maximum_pages=100)
    assert (info.max, info.pages, info.highest_bit) == (100, 98, 99)


@given(st.lists(st.sampled_from("dddfcsm"), max_size=400))
@settings(max_examples=50)
def test_slot_is_free_when_references_and_cache_are_gone(steps):
    info = swap_info(20)
    slot = info.scan_swap_map(None)
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
    slot = info.scan_swap_map(None)
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
    slot = info.scan_swap_map(None)
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
    info.scan_swap_map(None)
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
        info.scan_swap_map(None)
        info.check()
        spoil(info)
        with pytest.raises(BrokenInvariant):
            info.check()
    info = swap_info(3)
    info.scan_swap_map(None)
    info.scan_swap_map(None)
    info.highest_bit = 1
    with pytest.raises(BrokenInvariant, match="is full, but seems free"):
        info.check()
