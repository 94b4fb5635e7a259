"""When and how flags are set: the rules beside today's, and the batch by all of them."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.flag_rules import FlagRules
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, MODES, X86_64, AccessKind, Entry, ErrorCode, Vector

from ...hdl.tables import Tables
from .scalar import assert_same_as_scalar, random_accesses, random_controls, random_memory

VADDR = 0x1234_5678
A, D = Entry.A, Entry.D
CLEAN = Entry.P | Entry.RW | Entry.US
WRITE = Access(VADDR, AccessKind.WRITE, user=True)
RULES = [FlagRules(accessed, ad) for accessed in ("use", "success")
         for ad in ("exchange", "write", "fault")]
both_modes = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


def mapped(mode, leaf=CLEAN, upper=CLEAN):
    tables = Tables(mode)
    return tables, tables.map(VADDR, 0x7000, leaf, upper=upper)


def flags_set(tables, path):
    return [tables.read(paddr) & (A | D) for paddr in path]


@both_modes
@pytest.mark.parametrize("leaf", [0, Entry.P | Entry.RW], ids=["absent", "denied"])
@pytest.mark.parametrize(("accessed", "upper"), [("use", A), ("success", 0)])
def test_a_fault_leaves_the_upper_entries_as_they_were_only_by_success(mode, leaf, accessed, upper):
    tables, path = mapped(mode, leaf)
    result = walk(tables.memory, mode, Control(tables.cr3), WRITE, flags=FlagRules(accessed))
    assert result.fault.vector is Vector.PF
    assert flags_set(tables, path) == [upper] * (len(path) - 1) + [0]
    assert [step.updated ^ step.entry for step in result.steps] == flags_set(tables, path)


@both_modes
@pytest.mark.parametrize("flags", RULES[:2] + RULES[3:5], ids=str)
def test_success_sets_every_flag_by_each_rule(mode, flags):
    tables, path = mapped(mode)
    result = walk(tables.memory, mode, Control(tables.cr3), WRITE, flags=flags)
    assert result.fault is None
    assert flags_set(tables, path) == [A] * (len(path) - 1) + [A | D]


@both_modes
def test_a_bus_error_below_sets_nothing_by_success(mode):
    tables, path = mapped(mode)
    tables.write(path[-2], 0x7777_7000 | CLEAN)
    result = walk(tables.memory, mode, Control(tables.cr3), WRITE, flags=FlagRules("success"))
    assert result.fault.vector is Vector.MC
    assert flags_set(tables, path) == [0] * len(path)


@both_modes
@pytest.mark.parametrize("accessed", ["use", "success"])
@pytest.mark.parametrize("lacks", ["root", "leaf", "dirty"])
def test_what_lacks_a_flag_faults_where_nothing_can_set_it(mode, accessed, lacks):
    tables, path = mapped(mode, CLEAN | A | D, CLEAN | A)
    place = path[0] if lacks == "root" else path[-1]
    tables.write(place, tables.read(place) & ~(D if lacks == "dirty" else A))
    before, rules = tables.memory.frames.copy(), FlagRules(accessed, "fault")
    control = Control(tables.cr3)
    fault = walk(tables.memory, mode, control, WRITE, flags=rules).fault
    assert (fault.vector, fault.error_code, fault.vaddr) == (
        Vector.PF, ErrorCode.P | ErrorCode.WR | ErrorCode.US, VADDR)
    assert (tables.memory.frames == before).all()
    tables.write(place, tables.read(place) | A | D)
    assert walk(tables.memory, mode, control, WRITE, flags=rules).paddr == 0x7678


def test_a_page_that_is_absent_is_told_before_a_flag_that_is_missing():
    tables, _ = mapped(X86_64, 0)
    fault = walk(tables.memory, X86_64, Control(tables.cr3), WRITE,
                 flags=FlagRules(ad="fault")).fault
    assert fault.error_code == ErrorCode.WR | ErrorCode.US


def test_another_writer_between_reading_and_setting_has_the_walk_begin_again():
    tables, path = mapped(X86_64)
    exchange = tables.memory.compare_exchange

    def after_another(*operands):
        if tables.read(path[0]) == first:
            tables.write(path[0], first | Entry.PWT)
            tables.write(path[-1], 0)
        return exchange(*operands)

    first, tables.memory.compare_exchange = tables.read(path[0]), after_another
    result = walk(tables.memory, X86_64, Control(tables.cr3), WRITE, flags=FlagRules("success"))
    assert result.fault.error_code == ErrorCode.WR | ErrorCode.US
    assert flags_set(tables, path) == [0] * len(path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("flags", RULES[1:], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_the_batch_equals_the_walks_one_by_one(mode, flags, seed):
    rng = default_rng([seed, 7])
    memory, cr3 = random_memory(rng, mode, 40)
    control = random_controls(rng, mode, cr3, 300)
    assert_same_as_scalar(memory, mode, control, random_accesses(rng, mode, 300), flags=flags)


@pytest.mark.parametrize(("rules", "text"), [
    (("always",), "Rule accessed must be one of use, success, not 'always'"),
    (("use", "trap"), "Rule ad must be one of exchange, write, fault, not 'trap'")])
def test_other_rules_are_refused(rules, text):
    with pytest.raises(ValueError, match=text):
        FlagRules(*rules)
