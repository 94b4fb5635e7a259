"""The judge of a walk against golden walks: what each entry on their way leads to."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.walk_judge import WalkJudge
from pagewalk.hdl.walk_shapes import WalkStep
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, ErrorCode, Vector

from .bench import evaluate
from .golden import access_fields, control_fields
from .tables import PERMISSIVE, random_tables
from .walker_bench import assert_result, expected_result, random_requests

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
OUTPUTS = ("step", "below", "cacheable", "desired", "result")
OPEN = {"frame": 1, "writable": 1, "user": 1, "execute_disable": 0}
RESTART, UPDATE, DESCEND, FINISH = (
    step.value for step in (WalkStep.RESTART, WalkStep.UPDATE, WalkStep.DESCEND, WalkStep.FINISH))


def request_fields(config, access, control, port=0, miss=0):
    return {"port": port, "miss": miss, "access": access_fields(access),
            "control": control_fields(config, control)}


def table_fields(config, entries, frame):
    """Return the table at ``frame`` behind ``entries``, with what all of them permit."""
    has_xd = config.mode.has_execute_disable
    return {
        "frame": frame,
        "writable": int(all(entry & Entry.RW for entry in entries)),
        "user": int(all(entry & Entry.US for entry in entries)),
        "execute_disable": int(has_xd and any(entry & Entry.XD for entry in entries)),
    }


def cases_of(config, golden, request, end):
    """Yield a stimulus for each response on the way of a golden walk, and what follows from it.

    Each exchange is shown as one that succeeds, as one that is lost, and as a bus error.
    """
    steps = golden.steps
    for number, step in enumerate(steps):
        above = [one.updated for one in steps[:number]]
        place = {"level": number, "table": table_fields(config, above, step.paddr >> 12)}
        if number + 1 < len(steps):
            frame = steps[number + 1].paddr >> 12
            following = {"step": DESCEND, "below": {
                "level": number + 1, "updating": 0,
                "table": table_fields(config, [*above, step.updated], frame)}}
        else:
            following = {"step": FINISH, "result": end}
        read, updating = {"data": step.entry}, place | {"updating": 1}
        broken = {"step": FINISH, "result": {
            "port": end["port"], "fault": 1, "vector": Vector.MC, "error_code": 0}}
        yield request, place, read | {"error": 1}, broken
        if step.updated == step.entry:
            yield request, place, read, following
            continue
        yield request, place, read, {"step": UPDATE, "desired": step.updated}
        yield request, updating, read | {"exchanged": 1}, following
        yield request, updating, read, {"step": RESTART}
        yield request, updating, read | {"error": 1, "exchanged": 1}, broken


def rtl_judgements(config, cases):
    stimuli = [{"request": request, "place": place, "response": response}
               for request, place, response, _ in cases]
    return evaluate(WalkJudge(config), stimuli, OUTPUTS)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("paddr_bits", [32, 40, 52])
@pytest.mark.parametrize("seed", range(2))
def test_each_response_of_a_random_walk_leads_where_the_golden_walk_goes(mode, paddr_bits, seed):
    rng = default_rng(seed)
    config = Config(mode=mode, paddr_bits=paddr_bits, misses=4)
    tables = random_tables(rng, mode, paddr_bits)
    cases = []
    for port, access, control in random_requests(rng, mode, tables.cr3, 60):
        golden = walk(tables.memory.copy(), mode, control, access, paddr_bits)
        if golden.fault and golden.fault.vector is Vector.MC:
            continue  # its last access has no entry to show
        end = expected_result(config, golden, control, port)
        cases += cases_of(config, golden, request_fields(config, access, control, port, port % 4),
                          end | {"miss": port % 4})
    assert {expected["step"] for *_, expected in cases} == {RESTART, UPDATE, DESCEND, FINISH}
    for case, found in zip(cases, rtl_judgements(config, cases), strict=True):
        *_, expected = case
        for name, value in expected.items():
            if isinstance(value, dict):
                assert_result(found[name], value, case)
            else:
                assert found[name] == value, (name, case)


READING, NO_CONTROL = Access(0), Control(0)


def judged(config, entry, *, level=0, above=OPEN, access=READING, control=NO_CONTROL, **place):
    """Return what reading ``entry`` leads to."""
    case = (request_fields(config, access, control), {"level": level, "table": above} | place,
            {"data": entry}, None)
    return rtl_judgements(config, [case])[0]


@pytest.mark.parametrize(("entry", "code"), [
    (PERMISSIVE & ~Entry.P, ErrorCode.WR), (PERMISSIVE | Entry.PS, 0b1011)])
def test_an_entry_that_cannot_be_used_ends_the_walk_and_keeps_its_flags(entry, code):
    found = judged(Config(), entry & ~Entry.A, access=Access(0, AccessKind.WRITE))
    assert (found["step"], found["result"]["fault"]) == (FINISH, 1)
    assert (found["result"]["vector"], found["result"]["error_code"]) == (Vector.PF, code)


def test_an_entry_above_the_leaf_is_used_whatever_it_permits():
    """The verdict on the access is the leaf's: until then rights are only collected."""
    found = judged(Config(), Entry.P | Entry.A, access=Access(0, AccessKind.WRITE, user=True))
    assert found["step"] == DESCEND
    assert (found["below"]["table"]["writable"], found["below"]["table"]["user"]) == (0, 0)


@pytest.mark.parametrize("right", ["writable", "user"])
def test_a_leaf_permits_no_more_than_the_table_that_it_stands_in(right):
    found = judged(Config(), PERMISSIVE, level=3, above=OPEN | {right: 0},
                   access=Access(0, AccessKind.WRITE, user=True))
    assert (found["step"], found["result"]["fault"]) == (FINISH, 1)
    assert found["result"]["translation"]["rights"][right] == 0


def test_only_a_write_makes_a_leaf_dirty_and_no_access_an_entry_above_it():
    clean = PERMISSIVE & ~Entry.D
    read, write = (judged(Config(), clean, level=3, access=Access(0, kind))
                   for kind in (AccessKind.READ, AccessKind.WRITE))
    upper = judged(Config(), clean, level=2, access=Access(0, AccessKind.WRITE))
    assert (read["step"], read["result"]["translation"]["dirty"]) == (FINISH, 0)
    assert (write["step"], write["desired"]) == (UPDATE, PERMISSIVE)
    assert upper["step"] == DESCEND


def test_an_entry_whose_meaning_depends_on_pse_is_not_to_be_cached():
    config = Config(mode=IA32)
    for entry, cacheable in ((PERMISSIVE, 1), (PERMISSIVE | Entry.PS, 0)):
        found = judged(config, entry, control=Control(0, cr4=0))
        assert (found["step"], found["cacheable"]) == (DESCEND, cacheable)
