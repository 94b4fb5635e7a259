"""Invalidations and page faults: which entries the drop reaches, against SDM 4.10.4.1."""

from itertools import product

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.invalidate import Invalidator
from pagewalk.hdl.shapes import InvalidateOp
from pagewalk.model.x86 import IA32, X86_64, Cr0, Cr3, Cr4

from .bench import evaluate
from .tables import bits

VADDR, VPN = 0x1234_5678, 0x12345
CURRENT, OTHER = 3, 5
# An entry is a page number, a PCID, and whether it is global.
ENTRIES = frozenset(product((VPN, VPN + 1), (0, CURRENT, OTHER, 0xFFF), (False, True)))
NOTHING = frozenset()


def entries(*, vpn=None, pcid=None, with_global=False):
    """Return the entries of a page and a PCID, or of all, global ones only ``with_global``."""
    return {entry for entry in ENTRIES if vpn in (None, entry[0])
            and (with_global if entry[2] else pcid in (None, entry[1]))}


def dropped(drop):
    """Return the entries that a drop command reaches."""
    if not drop["valid"]:
        return NOTHING
    return entries(vpn=drop["vpn"] if drop["by_address"] else None,
                   pcid=drop["pcid"] if drop["by_pcid"] else None, with_global=drop["globals"])


def rtl_dropped(operations, *, pcide=True, mode=X86_64):
    """Return, for each operation, the entries that it drops while PCID ``CURRENT`` is in use."""
    stimuli = [{
        "control": {"pcide": pcide, "pcid": CURRENT if pcide else 0, "pg": 1},
        "operation.payload": operation,
        "operation.valid": 1,
        "idle": 1,
    } for operation in operations]
    results = evaluate(Invalidator(Config(mode=mode)), stimuli, ("drop", "operation.ready"))
    assert all(result["operation.ready"] for result in results)
    # Tables go by PCID alone.
    assert not any(result["drop"]["tables_by_address"] for result in results)
    return [dropped(result["drop"]) for result in results]


def one(op, *, pcide=True, mode=X86_64, **operands):
    return rtl_dropped([{"op": op, **operands}], pcide=pcide, mode=mode)[0]


@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
@pytest.mark.parametrize("pcide", [False, True])
def test_invlpg_drops_the_page_of_the_current_pcid_and_global_ones(mode, pcide):
    found = one(InvalidateOp.INVLPG, vaddr=VADDR, pcid=OTHER, pcide=pcide, mode=mode)
    assert found == entries(vpn=VPN, pcid=CURRENT if pcide else 0, with_global=True)


@pytest.mark.parametrize(("mode", "vaddr", "vpn"), [
    (X86_64, 0xFFFF_8000_0000_0FFF, 0x8_0000_0000), (X86_64, 0x7FFF_FFFF_F000, 0x7_FFFF_FFFF),
    (IA32, 0x8000_0FFF, 0x8_0000), (IA32, 0x7FFF_F000, 0x7_FFFF)])
@pytest.mark.parametrize("op", [InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS])
def test_an_address_means_its_page_number_of_all_translated_bits(mode, vaddr, vpn, op):
    stimulus = {"operation.payload": {"op": op, "vaddr": vaddr}, "operation.valid": 1, "idle": 1}
    result, = evaluate(Invalidator(Config(mode=mode)), [stimulus], ("drop",))
    assert (result["drop"]["by_address"], result["drop"]["vpn"]) == (1, vpn)


@pytest.mark.parametrize(("vaddr", "is_canonical"), [
    (0x0000_7FFF_FFFF_FFFF, True), (0xFFFF_8000_0000_0000, True),
    (0x0000_8000_0000_0000, False), (0xFFFF_7FFF_FFFF_FFFF, False), (1 << 63, False),
    (0x0001_0000_0000_0000, False)])
@pytest.mark.parametrize("op", [InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS])
def test_an_address_that_is_not_canonical_drops_nothing(op, vaddr, is_canonical):
    stimulus = {"operation.payload": {"op": op, "vaddr": vaddr}, "operation.valid": 1, "idle": 1}
    result, = evaluate(
        Invalidator(Config()), [stimulus], ("operation.ready", "drop.valid", "flush"))
    assert tuple(result.values()) == (1, is_canonical, is_canonical)


@pytest.mark.parametrize("op", [
    InvalidateOp.INVPCID_CONTEXT, InvalidateOp.INVPCID_ALL, InvalidateOp.INVPCID_ALL_NON_GLOBAL,
    InvalidateOp.MOV_CR3], ids=lambda op: op.name)
def test_an_operation_without_an_address_drops_whatever_vaddr_holds(op):
    assert one(op, vaddr=1 << 63, pcid=CURRENT, new=CURRENT) != NOTHING


def test_invpcid_type_0_drops_the_page_of_the_pcid_but_no_global_one():
    found = one(InvalidateOp.INVPCID_ADDRESS, vaddr=VADDR, pcid=OTHER)
    assert found == entries(vpn=VPN, pcid=OTHER)


def test_invpcid_type_1_drops_all_of_the_pcid_but_no_global_one():
    found = one(InvalidateOp.INVPCID_CONTEXT, vaddr=VADDR, pcid=OTHER)
    assert found == entries(pcid=OTHER)


def test_invpcid_type_2_drops_everything():
    assert one(InvalidateOp.INVPCID_ALL, vaddr=VADDR, pcid=OTHER) == ENTRIES


def test_invpcid_type_3_drops_everything_that_is_not_global():
    assert one(InvalidateOp.INVPCID_ALL_NON_GLOBAL, vaddr=VADDR, pcid=OTHER) == entries()


@pytest.mark.parametrize("pcid", [0, CURRENT, OTHER, 0xFFF])
@pytest.mark.parametrize("frame", [0, 0xFF_FFFF_F000])
def test_mov_cr3_drops_all_of_the_new_pcid_but_no_global_one(pcid, frame):
    assert one(InvalidateOp.MOV_CR3, new=frame | pcid) == entries(pcid=pcid)


@pytest.mark.parametrize("pcid", [0, CURRENT, OTHER])
def test_mov_cr3_with_bit_63_drops_nothing(pcid):
    assert one(InvalidateOp.MOV_CR3, new=Cr3.NO_FLUSH | 0x7000 | pcid) == NOTHING


@pytest.mark.parametrize("new", [0, 0x7000, 0x7018, 0x7000 | Cr3.NO_FLUSH])
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_mov_cr3_without_pcide_drops_all_of_pcid_0_whatever_its_other_bits(mode, new):
    assert one(InvalidateOp.MOV_CR3, new=new, pcide=False, mode=mode) == entries(pcid=0)


def ref_mov_cr4(old, new):
    """Return what MOV CR4 drops; PSE is ours, as it changes what a 32-bit PDE means."""
    changed, set_, cleared = old ^ new, new & ~old, old & ~new
    if changed & (Cr4.PGE | Cr4.PSE) or cleared & Cr4.PCIDE:
        return ENTRIES
    if changed & Cr4.PAE or set_ & Cr4.SMEP:
        return entries(pcid=CURRENT, with_global=True)
    return NOTHING


def assert_mov_cr4(pairs):
    operations = [{"op": InvalidateOp.MOV_CR4, "old": old, "new": new} for old, new in pairs]
    for pair, found in zip(pairs, rtl_dropped(operations), strict=True):
        assert found == ref_mov_cr4(*pair), f"CR4 {pair[0]:#x} to {pair[1]:#x}"


@pytest.mark.parametrize("others", [0, 0xFFFF_FFFF])
def test_mov_cr4_drops_what_the_change_of_each_bit_asks_for(others):
    assert_mov_cr4([(others & ~mask | old * mask, others & ~mask | (1 - old) * mask)
                    for mask in (1 << bit for bit in range(32)) for old in (0, 1)])


@pytest.mark.parametrize("seed", range(2))
def test_mov_cr4_drops_what_the_changes_of_several_bits_ask_for(seed):
    rng = default_rng(seed)
    pairs = []
    for _ in range(200):
        old = bits(rng, 32)
        pairs.append((old, old ^ (bits(rng, 32) & bits(rng, 32) & bits(rng, 32))))
    assert_mov_cr4(pairs)


@pytest.mark.parametrize("others", [0, 0xFFFF_FFFF])
def test_mov_cr0_drops_everything_when_it_clears_pg_and_else_nothing(others):
    pairs = [(others & ~mask | old * mask, others & ~mask | (1 - old) * mask)
             for mask in (1 << bit for bit in range(32)) for old in (0, 1)]
    operations = [{"op": InvalidateOp.MOV_CR0, "old": old, "new": new} for old, new in pairs]
    for (old, new), found in zip(pairs, rtl_dropped(operations), strict=True):
        assert found == (ENTRIES if old & ~new & Cr0.PG else NOTHING)


@pytest.mark.parametrize(("valid", "idle"), [*product((0, 1), repeat=2)])
@pytest.mark.parametrize("op", InvalidateOp, ids=lambda op: op.name)
def test_an_operation_stops_the_ports_and_waits_until_they_are_idle(op, valid, idle):
    stimulus = {
        "operation.payload": {"op": op, "old": 0xFFFF_FFFF},
        "operation.valid": valid,
        "idle": idle,
    }
    outputs = ("pause", "operation.ready", "drop.valid", "flush", "faults_taken")
    result, = evaluate(Invalidator(Config()), [stimulus], outputs)
    assert result["pause"] == valid
    assert result["operation.ready"] or not (valid and idle)
    assert not result["operation.ready"] or idle
    assert result["drop.valid"] == result["flush"] == (valid and idle)
    assert result["faults_taken"] == 0


@pytest.mark.parametrize(("offered", "faulty"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_while_a_drop_is_at_work_the_ports_pause_and_nothing_else_is_dropped(offered, faulty):
    stimulus = {"operation.payload": {"op": InvalidateOp.INVPCID_ALL}, "operation.valid": offered,
                "page_faults.1": fault(valid=faulty), "idle": 1, "busy": 1}
    outputs = ("pause", "operation.ready", "drop.valid", "flush", "faults_taken")
    busy, free = evaluate(Invalidator(Config()), [stimulus, stimulus | {"busy": 0}], outputs)
    assert tuple(busy.values()) == (1, 0, 0, 0, 0)
    assert free["drop.valid"] == (offered or faulty)


def test_an_operation_that_drops_nothing_waits_as_well():
    stimuli = [{"operation.payload": {"op": InvalidateOp.MOV_CR4}, "operation.valid": 1,
                "idle": idle} for idle in (0, 1)]
    results = evaluate(Invalidator(Config()), stimuli, ("pause", "operation.ready", "drop.valid"))
    assert [tuple(result.values()) for result in results] == [(1, 0, 0), (1, 1, 0)]


def fault(vpn=VPN, pcid=CURRENT, valid=1):
    return {"valid": valid, "vpn": vpn, "pcid": pcid}


@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
@pytest.mark.parametrize("pcid", [0, OTHER])
@pytest.mark.parametrize("pcide", [False, True])
def test_a_page_fault_drops_the_page_of_its_own_pcid_and_global_ones(mode, pcid, pcide):
    """Whatever the registers say by then and whatever operation is offered."""
    operations = [{"op": op, "vaddr": 0xFFFF_F000, "pcid": 0xFFF, "old": 0xFFFF_FFFF}
                  for op in InvalidateOp]
    stimuli = [{
        "control": {"pcide": pcide, "pcid": CURRENT}, "idle": 1,
        "operation.payload": operation, "operation.valid": valid, "page_faults.0": fault(pcid=pcid),
    } for operation in operations for valid in (0, 1)]
    for result in evaluate(Invalidator(Config(mode=mode)), stimuli, ("drop",)):
        assert dropped(result["drop"]) == entries(vpn=VPN, pcid=pcid, with_global=True)
        assert result["drop"]["tables_by_address"]


@pytest.mark.parametrize("offered", [0, 1])
@pytest.mark.parametrize("idle", [0, 1])
def test_a_page_fault_stops_the_ports_waits_for_no_answer_and_goes_before_operations(
        offered, idle):
    stimulus = {"operation.payload": {"op": InvalidateOp.INVPCID_ALL}, "operation.valid": offered,
                "page_faults.1": fault(), "idle": idle}
    outputs = ("pause", "operation.ready", "flush", "drop.valid", "faults_taken")
    result, = evaluate(Invalidator(Config()), [stimulus], outputs)
    assert tuple(result.values()) == (1, 0, 0, 1, 0b10)


def test_of_several_page_faults_the_first_ports_is_taken_first():
    stimuli = [{f"page_faults.{number}": fault(VPN + number, number, which >> number & 1)
                for number in range(3)} for which in range(1, 8)]
    results = evaluate(Invalidator(Config(ports=("a", "b", "c"))), stimuli,
                       ("faults_taken", "drop.vpn", "drop.pcid"))
    for which, result in zip(range(1, 8), results, strict=True):
        lowest = (which & -which).bit_length() - 1
        assert tuple(result.values()) == (1 << lowest, VPN + lowest, lowest)
