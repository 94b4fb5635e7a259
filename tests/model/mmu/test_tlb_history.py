"""The set of permitted answers, against a machine that caches all it can as soon as it can."""

import pytest

from pagewalk.model.mmu.flag_rules import FlagRules
from pagewalk.model.mmu.tlb_history import TlbHistory
from pagewalk.model.mmu.tlb_outcome import Outcome
from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr4, Entry, InvalidateOp, Vector

from .eager_machine import Script
from .one_page import one_page

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)

@MODES
@pytest.mark.parametrize("seed", range(25))
def test_the_answers_are_those_of_a_machine_that_caches_all_it_can(mode, seed):
    Script(mode, seed).play(120)


@pytest.mark.parametrize("seed", range(25))
def test_operations_with_an_address_that_is_not_canonical_leave_all_answers_permitted(seed):
    Script(X86_64, seed, canonical=False).play(120)


@MODES
def test_random_histories_often_leave_a_choice(mode):
    scripts = [Script(mode, seed) for seed in range(5)]
    for script in scripts:
        script.play(120)
    sizes = [size for script in scripts for size in script.sizes]
    assert sum(size > 1 for size in sizes) > len(sizes) // 10


READ, WRITE = Access(0), Access(0, AccessKind.WRITE)


@MODES
def test_a_change_is_seen_or_not_until_the_invalidation_and_always_after(mode):
    memory, control, leaf = one_page(mode)
    history = TlbHistory(mode, memory, control)

    def frames(time):
        return {one.paddr for one in history.outcomes(time, time, control, READ)}

    history.write(5, leaf, 0x8000 | Entry.P)
    assert (frames(5), frames(6)) == ({0x7000}, {0x7000, 0x8000})
    history.drops.operation(9, InvalidateOp.INVLPG, {"vaddr": 0}, pcid=0, pcide=False)
    assert (frames(9), frames(10)) == ({0x7000, 0x8000}, {0x8000})


@MODES
def test_an_access_may_see_what_is_written_while_it_is_made(mode):
    memory, control, leaf = one_page(mode)
    history = TlbHistory(mode, memory, control)
    history.drops.everything(3)
    history.write(5, leaf, 0)
    outcomes = history.outcomes(4, 8, control, READ)
    assert {one.vector for one in outcomes} == {None, Vector.PF}
    assert len(history.outcomes(4, 5, control, READ)) == 1


@MODES
def test_a_write_needs_a_cached_dirty_flag_or_the_entry_itself(mode):
    memory, control, leaf = one_page(mode, Entry.A)
    history = TlbHistory(mode, memory, control)
    history.write(5, leaf, 0x8000 | Entry.P | Entry.RW | Entry.US)
    assert len(history.outcomes(8, 8, control, READ)) == 2
    assert {one.paddr for one in history.outcomes(8, 8, control, WRITE)} == {0x8000}
    history.values(leaf)[0].dirty = 2  # a write was made under the old entry
    assert len(history.outcomes(8, 8, control, WRITE)) == 2


@MODES
def test_where_software_sets_flags_an_access_may_have_met_one_missing_anywhere_on_its_way(mode):
    memory, control, leaf = one_page(mode)
    root = control.cr3 & ~0xFFF
    with_flag = memory.read(root, mode.entry_bytes) | Entry.A
    memory.write(root, mode.entry_bytes, with_flag & ~Entry.A)
    memory.write(leaf, mode.entry_bytes, 0)
    history = TlbHistory(mode, memory, control, flags=FlagRules(ad="fault"))
    history.write(5, root, with_flag)
    history.write(8, leaf, 0x8000 | Entry.P | Entry.A)
    absent, lacking = (Outcome(vector=Vector.PF, error_code=code) for code in (0, 1))
    assert history.outcomes(4, 7, control, READ) == {absent}
    # The root's entry is read before it has A, the leaf when it is there.
    assert lacking in history.outcomes(4, 12, control, READ)
    assert lacking not in history.outcomes(6, 12, control, READ)


def test_what_does_not_go_through_page_tables_has_one_answer():
    memory, control, _ = one_page(X86_64)
    history = TlbHistory(X86_64, memory, control)
    off = Control(0x1000, cr0=0)
    assert history.outcomes(1, 1, off, Access(0x1_2345_6789)) == {Outcome(0x2345_6789)}
    for stack, vector in ((False, Vector.GP), (True, Vector.SS)):
        access = Access(1 << 60, stack=stack)
        assert history.outcomes(1, 1, control, access) == {Outcome(vector=vector)}


@MODES
def test_a_table_where_there_is_no_memory_is_a_machine_check(mode):
    memory, control, leaf = one_page(mode)
    history = TlbHistory(mode, memory, control)
    upper = leaf - 0x1000
    history.write(3, upper, 0xDEAD_0000 | Entry.P)
    history.drops.everything(4)
    assert history.outcomes(5, 5, control, READ) == {Outcome(vector=Vector.MC)}


def test_pse_changes_when_everything_is_dropped_and_not_otherwise():
    memory, control, _ = one_page(IA32)
    history = TlbHistory(IA32, memory, control)
    with pytest.raises(ValueError, match=(
            r"^CR4\.PSE may change only when everything is dropped, not at 3$")):
        history.set_control(3, Control(control.cr3, cr4=0))
    history.drops.operation(4, InvalidateOp.MOV_CR4, {"old": Cr4.PSE, "new": 0}, pcid=0,
                            pcide=False)
    history.set_control(4, Control(control.cr3, cr4=0))


@MODES
def test_a_bus_error_is_a_machine_check_of_who_can_have_met_it(mode):
    memory, control, leaf = one_page(mode)
    history = TlbHistory(mode, memory, control)
    machine_check = Outcome(vector=Vector.MC)

    def is_permitted(start, end, access=READ):
        outcomes = history.outcomes(start, end, control, access)
        assert outcomes - {machine_check} == history.outcomes(90, 90, control, access)
        return machine_check in outcomes

    history.set_bus_errors([(5, leaf), (9, leaf), (20, leaf - 0x1000)])
    assert [is_permitted(*times) for times in ((1, 4), (3, 5), (5, 8), (6, 8), (7, 30))] == [
        False, True, True, False, True]
    assert is_permitted(20, 20)
    assert not is_permitted(9, 9, Access(0x1000))  # through another entry
    assert is_permitted(20, 20, Access(0x1000))
    history.set_bus_errors([])
    assert not is_permitted(1, 30)


@MODES
def test_what_is_forgotten_is_no_answer_any_more(mode):
    memory, control, leaf = one_page(mode)
    history = TlbHistory(mode, memory, control)
    history.write(5, leaf, 0x8000 | Entry.P)
    history.drops.everything(9)
    history.forget(9)
    assert {one.paddr for one in history.outcomes(10, 10, control, READ)} == {0x8000}
    assert len(history.values(leaf)) == 1
