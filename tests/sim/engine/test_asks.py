"""What a core may ask beside translations: rights, probes, cancels, and refused operations."""

import numpy as np
import pytest

from pagewalk.model.mmu.control import Control
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr4, Entry, InvalidateOp, Purpose, Vector
from pagewalk.sim.engine import create
from pagewalk.sim.engine.answer import PAGE_RIGHTS, Loss
from pagewalk.sim.engine.command import accesses, cancel, invalidation, wait

from ...hdl.tables import PERMISSIVE, Tables
from ..engine_runs import CONFIGS, EVERY, HARDWARE

pytestmark = pytest.mark.slow

PAGES = [0x40_0000 * number + 0x5000 for number in range(4)]


@pytest.fixture
def tables():
    """Tables of 32-bit paging that map a few pages, each by a table of its own."""
    tables = Tables(IA32)
    tables.paths = [tables.map(page, 0x10_0000 + 0x1000 * number, PERMISSIVE & ~Entry.D)
                    for number, page in enumerate(PAGES)]
    tables.control = Control(tables.cr3, cr4=0, efer=0)
    return tables


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("name", HARDWARE)
def test_what_is_cancelled_is_lost_in_that_cycle_and_its_walk_goes_on(name, which, tables):
    asked = accesses(tables.control, PAGES[:2], AccessKind.WRITE)
    commands = np.concatenate([
        asked, wait(2), cancel(0, which), accesses(tables.control, PAGES[2])])
    engine = create(name, CONFIGS["ia32-misses3"], 10)
    answers = engine.run(tables.memory, commands).answers
    lost = {0: [True, True], 1: [False, True], 2: [True, False]}[which]
    assert (answers["lost"][:2] == Loss.BY_CANCEL).tolist() == lost
    at = answers["accepted"][3]
    assert answers["answered"][:2][lost].tolist() == [at] * sum(lost)
    assert (answers["answered"][:2][np.invert(lost)] > at + 10).all()
    assert not answers["paddr"][:2][lost].any()
    assert answers["paddr"][-1] == 0x10_2000
    # An invalidation waits for the walk that was asked for, which sets the flags.
    engine.run(tables.memory, invalidation(tables.control, InvalidateOp.INVPCID_ALL))
    assert tables.read(tables.paths[0][-1]) & Entry.D


@pytest.mark.parametrize("name", HARDWARE)
def test_where_nothing_waits_none_is_cancelled(name, tables):
    commands = np.concatenate([
        cancel(0), accesses(tables.control, PAGES[0]), cancel(1), cancel(0, 2), wait(40),
        cancel(0), cancel(0, 1)])
    answers = create(name, CONFIGS["ia32-misses3"], 3).run(tables.memory, commands).answers
    assert not answers["lost"].any()
    assert answers["paddr"][1] == 0x10_0000


@pytest.mark.parametrize("name", EVERY)
def test_an_answer_has_the_rights_of_the_page_and_a_check_sets_no_dirty_flag(name, tables):
    page = PAGES[0]
    plain, check = (accesses(tables.control, page, AccessKind.WRITE, purpose=purpose)
                    for purpose in (Purpose.ACCESS, Purpose.CHECK))
    engine = create(name, CONFIGS["ia32-misses3"])
    path = tables.map(page, 0x10_0000, PERMISSIVE & ~Entry.D)
    for commands, dirty in ((check, 0), (plain, 1), (check, 1)):
        answer, = engine.run(tables.memory, commands).answers
        rights = dict(zip(PAGE_RIGHTS, answer[list(PAGE_RIGHTS)].item(), strict=True))
        assert rights == {"writable": 1, "user": 1, "execute_disable": 0, "key": 0,
                          "dirty": dirty, "global_page": 0}
        assert bool(tables.read(path[-1]) & Entry.D) == dirty


@pytest.mark.parametrize("name", EVERY)
def test_a_probe_that_finds_nothing_is_told_no_fault(name, tables):
    nowhere = accesses(tables.control, PAGES[3] + 0x1000, purpose=[Purpose.PROBE, Purpose.LOOKUP])
    answers = create(name, CONFIGS["ia32-misses3"]).run(tables.memory, nowhere).answers
    assert answers["fault"].tolist() == [1, 1]
    for field in ("vector", "error", "vaddr", "paddr"):
        assert not answers[field].any()


@pytest.mark.parametrize("name", EVERY)
def test_a_refused_operation_is_a_general_protection_fault_and_stops_no_run(name):
    tables = Tables(X86_64)
    path = tables.map(0x5000, 0x7000)
    control = Control(tables.cr3, cr4=Cr4.PAE)
    access = accesses(control, 0x5000)
    all_ = InvalidateOp.INVPCID_ALL
    commands = np.concatenate([
        access, invalidation(control, all_, new=1), invalidation(control, all_, old=1),
        invalidation(control, InvalidateOp.MOV_CR3, new=1 << 63), access])
    engine = create(name, CONFIGS["x86_64-sets8"])
    run = engine.run(tables.memory, commands, stop_on_fault=True)
    assert not run.stopped
    assert run.answers["fault"].tolist() == [0, 1, 1, 1, 0]
    assert run.answers["vector"].tolist() == [0, Vector.GP, Vector.GP, Vector.GP, 0]
    if name != "model":
        assert run.answers["hit"].tolist()[-1] == 1  # nothing was dropped
    tables.write(path[-1], 0)
    run = engine.run(tables.memory, np.concatenate([invalidation(control, all_), access]))
    assert run.answers["fault"].tolist() == [0, 1]
