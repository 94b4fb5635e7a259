"""Contexts and current state: rules 31 to 34. [SDM 4.10]

The numbers are those of the project's list of x86 paging rules; ``test_rules_caching`` has those
around them.
"""

from dataclasses import replace

import pytest

from pagewalk.model.x86 import IA32, X86_64, Cr0, Cr4, Efer, Entry, ErrorCode, InvalidateOp

from ..hdl.tables import PERMISSIVE
from .machine import (
    ALL_LEVELS,
    NEIGHBOUR,
    PAGE,
    Machine,
    cached,
    change,
    path,
    two_contexts,
    with_pages,
)

pytestmark = pytest.mark.slow

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


def test_rule_31_mov_cr3_without_pcids_drops_all_but_global_pages():
    machine = with_pages(Machine())
    machine.tables.map(0x4000_0000, 0xC0 << 12, PERMISSIVE | Entry.G)
    for vaddr in (PAGE, 0x4000_0000):
        machine.read(vaddr)
    machine.mov_cr3(machine.control.cr3)
    assert cached(machine) == (False, True)  # the second access finds what the first one cached
    machine.mov_cr3(machine.control.cr3)
    assert machine.read(NEIGHBOUR).reads == ALL_LEVELS
    assert machine.read(0x4000_0000).walks == 0


def test_rule_31_mov_cr3_with_pcids_drops_the_new_one_only():
    machine = two_contexts()
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[1], 2)
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[0], 1, keep=True)
    assert cached(machine) == (True, True)
    machine.mov_cr3(machine.roots[1], 2)
    assert machine.read(PAGE).reads == ALL_LEVELS
    machine.mov_cr3(machine.roots[0], 1)
    assert machine.read(PAGE).reads == ALL_LEVELS


def test_rule_31_bit_63_keeps_all():
    machine = two_contexts()
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[0], 1, keep=True)
    assert cached(machine) == (True, True)


def test_rule_32_pcids_tag_pages_and_upper_entries():
    machine = two_contexts()
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[1], 2, keep=True)
    assert machine.read(PAGE).reads == ALL_LEVELS


def test_rule_32_a_global_page_matches_every_pcid():
    machine = two_contexts(flags=PERMISSIVE | Entry.G)
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[1], 2, keep=True)
    assert machine.read(PAGE).walks == 0


def test_rule_32_without_pge_no_page_is_global():
    machine = two_contexts(flags=PERMISSIVE | Entry.G)
    machine.mov_cr4(clear=Cr4.PGE)
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[1], 2, keep=True)
    assert machine.read(PAGE).walks == 1


@pytest.mark.parametrize(("bits", "everything"), [
    ({"clear": Cr4.PGE}, True), ({"clear": Cr4.PCIDE}, True), ({"set_": Cr4.SMEP}, False)],
    ids=["PGE", "PCIDE", "SMEP"])
def test_rule_32_mov_cr4_flushes(bits, everything):
    machine = two_contexts()
    machine.read(PAGE)
    machine.mov_cr3(machine.roots[1], 2, keep=True)
    machine.read(PAGE)
    machine.mov_cr4(**bits)
    if machine.control.cr4 & Cr4.PCIDE:
        assert machine.read(PAGE).reads == ALL_LEVELS
        machine.mov_cr3(machine.roots[0], 1, keep=True)
        assert machine.read(PAGE).walks == everything
    else:
        # PCIDs go with CR3[11:0] at 0: to see what is left of PCID 2, come back to it.
        machine.mov_cr3(machine.roots[1])
        machine.mov_cr4(set_=Cr4.PCIDE)
        machine.mov_cr3(machine.roots[1], 2, keep=True)
        assert machine.read(PAGE).reads == ALL_LEVELS


def test_rule_32_setting_pcide_or_clearing_smep_keeps_all(machine):
    machine.mov_cr4(set_=Cr4.SMEP)
    machine.read(PAGE)
    machine.mov_cr4(set_=Cr4.PCIDE)
    assert cached(machine) == (True, True)
    machine.mov_cr4(clear=Cr4.SMEP)
    assert machine.read(PAGE).walks == 0


@MODES
def test_rule_32_clearing_pg_drops_everything(mode):
    machine = with_pages(Machine(mode), PERMISSIVE | Entry.G)
    machine.read(PAGE)
    machine.mov_cr0(clear=Cr0.PG)
    machine.mov_cr0(set_=Cr0.PG)
    assert machine.read(PAGE).reads == tuple(level.name for level in mode.levels)


@MODES
def test_rule_33_wp_counts_at_once_on_hits(mode):
    machine = with_pages(Machine(mode), PERMISSIVE & ~Entry.RW)
    machine.control = replace(machine.control, cr0=Cr0.PG)
    assert machine.write(PAGE).error is None
    machine.control = replace(machine.control, cr0=Cr0.PG | Cr0.WP)
    seen = machine.write(PAGE)
    assert (seen.walks, seen.error) == (0, ErrorCode.P | ErrorCode.WR)
    machine.control = replace(machine.control, cr0=Cr0.PG)
    assert machine.write(PAGE).error is None


@MODES
def test_rule_33_smap_and_ac_count_at_once_on_hits(mode):
    machine = with_pages(Machine(mode))
    machine.read(PAGE)
    machine.mov_cr4(set_=Cr4.SMAP)
    assert machine.read(PAGE, ac=True).walks == 0
    assert machine.read(PAGE, user=True).walks == 0
    seen = machine.read(PAGE)
    assert (seen.walks, seen.error) == (0, ErrorCode.P)
    machine.read(PAGE, ac=True)
    seen = machine.read(PAGE, user=True, implicit=True, ac=True)
    assert (seen.walks, seen.error) == (0, ErrorCode.P)


def test_rule_33_protection_keys_count_at_once_on_hits():
    machine = with_pages(Machine(), PERMISSIVE | 5 << 59)
    machine.read(PAGE, user=True)
    machine.mov_cr4(set_=Cr4.PKE)
    machine.control = replace(machine.control, pkru=1 << 10)
    seen = machine.read(PAGE, user=True)
    assert (seen.walks, seen.error) == (0, ErrorCode.P | ErrorCode.US | ErrorCode.PK)
    machine.control = replace(machine.control, pkru=1 << 8)
    assert machine.read(PAGE, user=True).error is None


@pytest.mark.parametrize("number", range(4))
def test_rule_33_xd_is_reserved_as_soon_as_nxe_is_clear(machine, number):
    change(machine, path(machine)[number], set_=Entry.XD)
    assert machine.read(PAGE).error is None
    machine.control = replace(machine.control, efer=machine.control.efer & ~Efer.NXE)
    for vaddr in (PAGE, NEIGHBOUR) if number < 3 else (PAGE,):
        assert machine.read(vaddr).error == ErrorCode.P | ErrorCode.RSVD
    machine.control = replace(machine.control, efer=machine.control.efer | Efer.NXE)
    assert machine.read(PAGE).error is None
    assert machine.fetch(PAGE).error == ErrorCode.P | ErrorCode.ID


# What an INVPCID under PCID 1 leaves: a page of each PCID, and a global one.
@pytest.mark.parametrize(("op", "pcid", "left"), [
    (InvalidateOp.INVPCID_ADDRESS, 1, (False, True, True)),
    (InvalidateOp.INVPCID_ADDRESS, 2, (True, False, True)),
    (InvalidateOp.INVPCID_CONTEXT, 1, (False, True, True)),
    (InvalidateOp.INVPCID_CONTEXT, 2, (True, False, True)),
    (InvalidateOp.INVPCID_ALL, 0, (False, False, False)),
    (InvalidateOp.INVPCID_ALL_NON_GLOBAL, 0, (False, False, True))])
def test_rule_34_invpcid(op, pcid, left):
    machine = two_contexts()
    for number in range(2):
        machine.mov_cr3(machine.roots[number], number + 1, keep=True)
        machine.tables.cr3 = machine.roots[number]
        machine.tables.map(0x4000_0000, 0xC0 << 12, PERMISSIVE | Entry.G)
        for vaddr in (PAGE, 0x4000_0000):
            machine.read(vaddr)
    machine.mov_cr3(machine.roots[0], 1, keep=True)
    machine.invalidate(op, vaddr=PAGE, pcid=pcid)
    found = []
    for number in range(2):
        machine.mov_cr3(machine.roots[number], number + 1, keep=True)
        seen = machine.read(PAGE)
        found.append(seen.walks == 0)
        # The upper entries of a PCID go with its pages.
        assert seen.reads in ((), ALL_LEVELS)
    found.append(machine.read(0x4000_0000).walks == 0)
    assert tuple(found) == left


def test_rule_34_invpcid_type_0_spares_the_global_page_at_its_address():
    machine = two_contexts(flags=PERMISSIVE | Entry.G)
    machine.read(PAGE)
    machine.invalidate(InvalidateOp.INVPCID_ADDRESS, vaddr=PAGE, pcid=1)
    assert machine.read(PAGE).walks == 0
