"""What may be cached, and how long: rules 27 to 30 and 35 to 37. [SDM 4.10]

The numbers are those of the project's list of x86 paging rules; ``test_rules_contexts`` has those
between.
"""

import pytest

from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, ErrorCode, InvalidateOp

from ..hdl.tables import PERMISSIVE
from .machine import (
    ALL_LEVELS,
    DATA_PORT,
    FAR,
    FETCH_PORT,
    NEIGHBOUR,
    PAGE,
    Machine,
    change,
    move,
    path,
    two_contexts,
    with_pages,
)

pytestmark = pytest.mark.slow

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
RESERVED = 1 << 51


@MODES
def test_rule_27_what_is_not_present_is_not_cached(mode):
    for number in range(len(mode.levels)):
        machine = with_pages(Machine(mode))
        entry = path(machine)[number]
        change(machine, entry, clear=Entry.P)
        assert machine.read(PAGE).error == 0
        change(machine, entry, set_=Entry.P)
        assert machine.read(PAGE).frame == 0xA0


@pytest.mark.parametrize("number", range(4))
def test_rule_27_what_has_a_reserved_bit_is_not_cached(machine, number):
    entry = path(machine)[number]
    change(machine, entry, set_=RESERVED)
    assert machine.read(PAGE).error == ErrorCode.P | ErrorCode.RSVD
    change(machine, entry, clear=RESERVED)
    assert machine.read(PAGE).frame == 0xA0


@MODES
def test_rule_28_a_write_that_hits_a_clean_entry_walks_and_the_walk_decides(mode):
    machine = with_pages(Machine(mode), PERMISSIVE & ~Entry.D)
    leaf = path(machine)[-1]
    machine.read(PAGE)
    assert machine.read(PAGE).walks == 0
    move(machine, PAGE, 0xB0)  # stale from here on, but not for a write that has to set D
    assert machine.write(PAGE).frame == 0xB0
    assert machine.tables.read(leaf) & Entry.D
    assert machine.read(PAGE).frame == 0xB0


@MODES
def test_rule_28_a_cached_dirty_flag_is_not_written_again_before_an_invalidation(mode):
    machine = with_pages(Machine(mode))
    leaf = path(machine)[-1]
    machine.write(PAGE)
    change(machine, leaf, clear=Entry.D)
    assert machine.write(PAGE).walks == 0
    assert not machine.tables.read(leaf) & Entry.D
    machine.invlpg(PAGE)
    assert machine.write(PAGE).walks == 1
    assert machine.tables.read(leaf) & Entry.D


@MODES
def test_rule_29_an_upgrade_costs_at_most_one_fault(mode):
    for number in range(len(mode.levels)):
        machine = with_pages(Machine(mode))
        entry = path(machine)[number]
        change(machine, entry, clear=Entry.RW)
        assert machine.read(PAGE).error is None
        change(machine, entry, set_=Entry.RW)
        seen = machine.write(PAGE)
        # The fault, if any, has dropped what caused it, in the TLB and in the walk cache.
        assert seen.error in (None, ErrorCode.P | ErrorCode.WR)
        assert machine.write(PAGE).error is None


@pytest.mark.parametrize("number", range(4))
def test_rule_29_a_fault_drops_the_entry_in_the_tlb_of_every_port(machine, number):
    entry = path(machine)[number]
    change(machine, entry, clear=Entry.US)
    for port in (FETCH_PORT, DATA_PORT):
        assert machine.read(PAGE, port=port).walks == 1
    change(machine, entry, set_=Entry.US)
    assert machine.read(PAGE, port=DATA_PORT, user=True).error == ErrorCode.P | ErrorCode.US
    for port in (FETCH_PORT, DATA_PORT):
        assert machine.read(PAGE, port=port, user=True).error is None


def test_rule_29_a_fault_leaves_other_pages_cached(machine):
    machine.read(NEIGHBOUR)
    change(machine, path(machine)[-1], clear=Entry.US)
    assert machine.read(PAGE, user=True).error is not None
    assert machine.read(NEIGHBOUR).walks == 0


@MODES
def test_rule_29_a_downgrade_holds_after_invlpg(mode):
    for number in range(len(mode.levels)):
        machine = with_pages(Machine(mode))
        entry = path(machine)[number]
        machine.write(PAGE)
        change(machine, entry, clear=Entry.RW)
        assert machine.write(PAGE).walks == 0  # still cached: the entry is stale, and permitted
        machine.invlpg(PAGE)
        assert machine.write(PAGE).error == ErrorCode.P | ErrorCode.WR


@MODES
def test_rule_30_invlpg_drops_its_page_and_no_other(mode):
    machine = with_pages(Machine(mode))
    for vaddr in (PAGE, NEIGHBOUR, FAR):
        machine.read(vaddr)
    move(machine, PAGE, 0xB0)
    machine.invlpg(PAGE | 0xABC)
    assert (machine.read(PAGE).frame, machine.read(NEIGHBOUR).walks, machine.read(FAR).walks) == (
        0xB0, 0, 0)


def test_rule_30_invlpg_drops_a_global_page_whatever_its_pcid():
    machine = two_contexts(flags=PERMISSIVE | Entry.G)
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[1], 2, keep=True)
    assert machine.read(PAGE).walks == 0
    machine.invlpg(PAGE)
    machine.mov_cr3(machine.roots[0], 1, keep=True)
    assert machine.read(PAGE).walks == 1


def test_rule_30_invlpg_leaves_the_pages_of_other_pcids():
    machine = two_contexts()
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[1], 2, keep=True)
    machine.invlpg(PAGE)
    machine.mov_cr3(machine.roots[0], 1, keep=True)
    assert machine.read(PAGE).walks == 0


@pytest.mark.parametrize("page", [1, 2])
def test_rule_30_any_address_in_a_large_page_invalidates_the_whole(page):
    machine = Machine()
    size = X86_64.pages[page].page_bytes
    entry = machine.tables.map(3 * size, 4 << 30, page=page)[-1]
    machine.read(3 * size)
    change(machine, entry, set_=8 << 30, clear=4 << 30)
    assert machine.read(3 * size).frame == 4 << 18
    machine.invlpg(4 * size - 1)
    assert machine.read(3 * size).frame == 8 << 18


def test_rule_30_invlpg_drops_all_upper_entries_of_the_pcid_whatever_the_address(machine):
    machine.read(PAGE)
    assert machine.read(NEIGHBOUR).reads == ("PTE",)
    machine.invlpg(FAR)
    machine.invlpg(NEIGHBOUR)
    assert machine.read(NEIGHBOUR).reads == ALL_LEVELS


def test_rule_30_invlpg_of_an_address_that_is_not_canonical_does_nothing(machine):
    machine.read(PAGE)
    machine.invlpg(PAGE | 1 << 60)
    assert machine.read(PAGE).walks == 0
    assert machine.read(NEIGHBOUR).reads == ("PTE",)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("clear", "kind", "error"), [
    (Entry.RW, "write", ErrorCode.P | ErrorCode.WR),
    (Entry.US, "read", ErrorCode.P | ErrorCode.US)], ids=["RW", "US"])
def test_rule_35_a_changed_upper_entry_counts_after_invlpg_of_any_address(
    machine, number, clear, kind, error
):
    def attempt():
        if kind == "write":
            return machine.write(NEIGHBOUR)
        return machine.read(NEIGHBOUR, user=True)

    machine.read(PAGE)
    change(machine, path(machine)[number], clear=clear)
    stale = attempt()
    assert (stale.error, stale.reads) == (None, ("PTE",))  # with the rights that are cached
    machine.invlpg(NEIGHBOUR)  # what the attempt itself has cached
    machine.invlpg(FAR)
    assert attempt().error == error


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("bits", "attempt", "error"), [
    ({"clear": Entry.RW}, {"kind": AccessKind.WRITE}, ErrorCode.P | ErrorCode.WR),
    ({"clear": Entry.US}, {"user": True}, ErrorCode.P | ErrorCode.US),
    ({"set_": Entry.XD}, {"kind": AccessKind.FETCH}, ErrorCode.P | ErrorCode.ID)],
    ids=["RW", "US", "XD"])
def test_rule_35_upper_entries_are_cached_with_their_combined_rights(
    machine, number, bits, attempt, error
):
    change(machine, path(machine)[number], **bits)
    machine.read(PAGE)
    seen = machine.access(NEIGHBOUR, **attempt)
    assert (seen.error, seen.reads) == (error, ("PTE",))


def test_rule_35_a_flag_of_an_upper_entry_is_set_before_it_is_cached():
    machine = Machine()
    machine.tables.map(PAGE, 0xA0 << 12, PERMISSIVE, upper=PERMISSIVE & ~Entry.A)
    with_pages(machine)
    machine.read(PAGE)
    upper = path(machine)[:3]
    assert all(machine.tables.read(paddr) & Entry.A for paddr in upper)
    for paddr in upper:
        change(machine, paddr, clear=Entry.A)
    assert machine.read(NEIGHBOUR).reads == ("PTE",)
    machine.invlpg(FAR)
    machine.invlpg(NEIGHBOUR)
    machine.read(NEIGHBOUR)
    assert all(machine.tables.read(paddr) & Entry.A for paddr in upper)


@MODES
def test_rule_36_two_ways_to_one_table_keep_rights_of_their_own(mode):
    machine = with_pages(Machine(mode))
    level = mode.levels[-2]
    alias = PAGE + level.page_bytes
    directory = path(machine)[-2] & ~0xFFF
    entry = machine.tables.entry_address(directory, level, alias)
    machine.tables.write(entry, machine.tables.read(path(machine)[-2]) & ~Entry.RW)
    read_only = ErrorCode.P | ErrorCode.WR
    # In either order, with empty caches and with full ones; the second page has no TLB entry yet.
    for _ in range(2):
        assert machine.write(PAGE).error is None
        assert machine.write(alias).error == read_only
    assert machine.write(alias + 0x1000).error == read_only
    assert machine.write(NEIGHBOUR).error is None


@MODES
@pytest.mark.parametrize("larger", [True, False])
@pytest.mark.parametrize("walk_cache", [0, 4])  # which may lead to the small pages for long
def test_rule_37_a_page_that_changes_its_size_hits_one_entry(mode, larger, walk_cache):
    """Without a flush either may be used; ``Machine`` sees to it that only one hits."""
    machine = Machine(mode, walk_cache=walk_cache)
    size = mode.pages[1].page_bytes
    base = 5 * size
    entry = machine.tables.map(base, 8 * size, page=1)[-1]
    large = machine.tables.read(entry)
    machine.tables.write(entry, 0)
    for number in range(4):
        machine.tables.map(base + 0x1000 * number, 16 * size + 0x1000 * number)
    small = machine.tables.read(entry)
    first, second = (small, large) if larger else (large, small)
    frames = {small: 16 * size >> 12, large: 8 * size >> 12}
    machine.tables.write(entry, first)
    for number in range(2):
        machine.read(base + 0x1000 * number)
    machine.tables.write(entry, second)
    for number in (3, 0, 2, 1, 3):
        seen = machine.read(base + 0x1000 * number)
        assert seen.frame - number in frames.values()
    machine.invalidate(InvalidateOp.INVPCID_ALL)
    for number in range(4):
        assert machine.read(base + 0x1000 * number).frame == frames[second] + number
