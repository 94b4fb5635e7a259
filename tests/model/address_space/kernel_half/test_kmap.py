import numpy as np
import pytest

from pagewalk.model.address_space.kernel_half.fixmap import FIXMAP_I686, FixmapError
from pagewalk.model.address_space.kernel_half.kmap import (
    KM_MAX_IDX,
    KmapError,
    KmapLocal,
    Pkmap,
    PkmapFull,
)
from pagewalk.model.address_space.kernel_half.layout import LINUX_I686
from pagewalk.model.address_space.kernel_half.mapping_ops import page_kernel
from pagewalk.model.x86 import IA32

from ..dict_tables import DictTables

KERNEL = page_kernel(IA32)
LAYOUT = LINUX_I686.layout(1 << 18)
BASE = 0xFEC0_0000
LAST_PKMAP = 1024
HIGH = 0x4_0000  # a page frame above all of lowmem


@pytest.fixture
def tables():
    return DictTables()


@pytest.fixture
def pkmap(tables):
    return Pkmap(LAYOUT, tables)


def test_slots_are_handed_out_in_turn_from_the_second_on(pkmap, tables):
    # last_pkmap_nr starts at 0 and is raised before use.
    assert [pkmap.kmap(HIGH + number) for number in range(3)] == [BASE + 0x1000, BASE + 0x2000,
                                                                  BASE + 0x3000]
    assert tables.pages[BASE + 0x2000] == (HIGH + 1, KERNEL)


def test_a_page_has_one_address_and_counts_its_users(pkmap):
    first = pkmap.kmap(HIGH)
    assert pkmap.kmap(HIGH) == first
    assert pkmap.counts[1] == 3
    pkmap.kunmap(HIGH)
    pkmap.kunmap(HIGH)
    assert pkmap.counts[1] == 1
    assert pkmap.page_address(HIGH) == first


def test_a_page_stays_mapped_after_its_last_use_until_the_turn_comes_round(pkmap, tables):
    vaddr = pkmap.kmap(HIGH)
    pkmap.kunmap(HIGH)
    for number in range(1, LAST_PKMAP - 1):  # the rest of the slots, but for slot 0
        pkmap.kmap(HIGH + number)
    assert tables.flushed == []
    assert pkmap.page_address(HIGH) == vaddr
    assert pkmap.kmap(HIGH + LAST_PKMAP) == BASE  # slot 0: the flush comes before it
    assert tables.flushed == [(BASE, BASE + LAST_PKMAP * 4096)]
    assert pkmap.page_address(HIGH) is None
    assert vaddr not in tables.pages
    assert pkmap.kmap(HIGH + LAST_PKMAP + 1) == vaddr


def test_a_page_that_is_used_again_before_the_flush_costs_nothing(pkmap, tables):
    vaddr = pkmap.kmap(HIGH)
    pkmap.kunmap(HIGH)
    before = dict(tables.pages)
    assert pkmap.kmap(HIGH) == vaddr
    assert tables.pages == before


def test_all_1024_slots_can_be_used_and_the_next_must_wait(pkmap):
    addresses = {pkmap.kmap(HIGH + number) for number in range(LAST_PKMAP)}
    assert addresses == {BASE + slot * 4096 for slot in range(LAST_PKMAP)}
    with pytest.raises(PkmapFull, match=r"^No pkmap slot is free for page frame 0x50000$"):
        pkmap.kmap(0x5_0000)
    # A page that is mapped needs no slot.
    assert pkmap.kmap(HIGH) == BASE + 0x1000
    pkmap.check()


def test_who_waited_gets_the_slot_that_was_given_back(pkmap):
    for number in range(LAST_PKMAP):
        pkmap.kmap(HIGH + number)
    with pytest.raises(PkmapFull):
        pkmap.kmap(0x5_0000)
    freed = pkmap.page_address(HIGH + 500)
    pkmap.kunmap(HIGH + 500)
    assert pkmap.kmap(0x5_0000) == freed
    assert pkmap.page_address(HIGH + 500) is None


def test_flushing_spares_what_is_in_use(pkmap, tables):
    pkmap.kmap(HIGH)
    pkmap.kmap(HIGH + 1)
    pkmap.kunmap(HIGH)
    pkmap.flush_unused()
    assert list(tables.pages.values()) == [(HIGH + 1, KERNEL)]
    pkmap.flush_unused()
    assert len(tables.flushed) == 1
    pkmap.check()


@pytest.mark.parametrize("page", [HIGH + 1, HIGH], ids=["never mapped", "not in use"])
def test_giving_back_what_nobody_uses_is_refused(pkmap, page):
    pkmap.kmap(HIGH)
    pkmap.kunmap(HIGH)
    with pytest.raises(KmapError, match=rf"^Page frame {page:#x} is not in use by kmap$"):
        pkmap.kunmap(page)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_use_never_loses_a_page(pkmap, tables, seed):
    rng = np.random.default_rng(seed)
    users: dict[int, int] = {}
    full = 0
    for _ in range(8_000):
        pfn = HIGH + int(rng.integers(3000))
        if users.get(pfn) and rng.random() < 0.6:
            pkmap.kunmap(pfn)
            users[pfn] -= 1
        else:
            try:
                vaddr = pkmap.kmap(pfn)
            except PkmapFull:
                full += 1
                victim = max(users, key=users.get)
                while users[victim]:
                    pkmap.kunmap(victim)
                    users[victim] -= 1
                continue
            users[pfn] = users.get(pfn, 0) + 1
            assert tables.pages[vaddr] == (pfn, KERNEL)
    pkmap.check()
    assert full > 0
    for pfn, count in users.items():
        slot = (pkmap.page_address(pfn) or BASE) - BASE >> 12
        assert count == 0 or pkmap.counts[slot] == count + 1


def test_local_mappings_nest_in_the_slots_of_their_processor(tables):
    local = KmapLocal(FIXMAP_I686, tables, KERNEL, cpu=2)
    outer, inner = local.kmap(HIGH), local.kmap(HIGH)
    assert (outer, inner) == (0xFFFB_B000 - 32 * 4096, 0xFFFB_B000 - 33 * 4096)
    assert tables.pages == {outer: (HIGH, KERNEL), inner: (HIGH, KERNEL)}
    local.kunmap(inner + 0x123)
    local.kunmap(outer)
    assert local.depth == 0
    assert tables.flushed == [(inner, inner + 4096), (outer, outer + 4096)]
    assert tables.pages == {}


def test_local_mappings_are_given_back_in_reverse_order(tables):
    local = KmapLocal(FIXMAP_I686, tables, KERNEL)
    outer, inner = local.kmap(HIGH), local.kmap(HIGH + 1)
    with pytest.raises(KmapError, match=rf"^Cannot unmap {outer:#x}: {inner:#x} was mapped last$"):
        local.kunmap(outer)
    assert local.depth == 2
    local.kunmap(inner)
    local.kunmap(outer)
    with pytest.raises(KmapError, match=r": nothing is mapped$"):
        local.kunmap(outer)


def test_fifteen_local_mappings_are_the_most(tables):
    # BUG_ON(idx >= KM_MAX_IDX), after idx has been raised
    local = KmapLocal(FIXMAP_I686, tables, KERNEL)
    for number in range(KM_MAX_IDX - 1):
        local.kmap(HIGH + number)
    with pytest.raises(KmapError, match=r"^No slot of kmap_local is free for page frame 0x40000"):
        local.kmap(HIGH)
    assert len(tables.pages) == 15


def test_there_are_slots_for_32_processors(tables):
    KmapLocal(FIXMAP_I686, tables, KERNEL, cpu=31)
    with pytest.raises(FixmapError):
        KmapLocal(FIXMAP_I686, tables, KERNEL, cpu=32)
