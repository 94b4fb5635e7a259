from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, Vector
from pagewalk.sim.boot.log import BootLog, RecordKind
from pagewalk.sim.boot.replay_log import replay_log
from pagewalk.sim.engine.command import Op
from pagewalk.sim.engine.model import ModelEngine

from .log_maker import RIGHTS, LogMaker

READ_ONLY = Entry.P | Entry.US
PAGE, OTHER, VADDR = 0x7000, 0x9000, 0x5000


@pytest.fixture(params=[X86_64, IA32], ids=lambda mode: mode.name)
def maker(request):
    """A machine with one page mapped, whose first access is record ``FIRST``."""
    maker = LogMaker(request.param)
    maker.pte = maker.map(VADDR, PAGE)
    return maker


def first(log):
    """Return the record of the first access."""
    return int(np.flatnonzero(log["ev"] < 1 << 31)[0])


def replayed(log, engine=None, **options):
    return replay_log(log, engine or ModelEngine(log.mode), **options)


def played(maker):
    """Add a little of everything, all as it must be."""
    maker.access(VADDR, PAGE)
    maker.access(VADDR, PAGE, AccessKind.WRITE)
    maker.fault(0x8123, 6, AccessKind.WRITE)
    maker.store(maker.pte, PAGE | READ_ONLY)
    maker.special(RecordKind.INVLPG, VADDR)
    maker.fault(VADDR + 8, 7, AccessKind.WRITE)
    maker.access(VADDR, PAGE)
    maker.store(maker.pte, OTHER | RIGHTS)
    maker.special(RecordKind.INVLPG, VADDR)
    maker.access(VADDR, OTHER)
    return maker.log()


class Wrapped:
    """An engine whose answers, or whose memory, ``change`` may change after each run."""

    def __init__(self, log, change):
        self.inner, self.change, self.runs = ModelEngine(log.mode), change, 0

    def run(self, memory, commands, **options):
        run = self.inner.run(memory, commands, **options)
        answers = run.answers.copy()
        self.change(self, memory, commands[:len(answers)], answers)
        self.runs += 1
        stopped = options.get("stop_on_unexpected", False) and bool(
            (answers["fault"] & ~commands["expect_fault"][:len(answers)]).any())
        return replace(run, answers=answers, stopped=stopped)


def test_a_log_agrees(maker):
    result = replayed(played(maker))
    assert (result.total, result.mismatches, result.spurious_faults) == (6, 0, 0)
    assert result.agreed
    assert result.mode is maker.mode
    assert result.first == []
    assert result.seconds > 0


def test_progress_is_told_in_translations(maker):
    told = []
    replayed(played(maker), progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 6), (6, 6)]


def test_progress_is_told_often_enough_for_a_slow_engine():
    maker, told = LogMaker(), []
    maker.map(VADDR, PAGE)
    for _ in range(1000):
        maker.access(VADDR, PAGE)
    replayed(maker.log(), progress=lambda done, _: told.append(done))
    assert told == sorted({*told})
    assert max(after - before for before, after in pairwise(told)) <= 64
    assert (told[0], told[-1]) == (0, 1000)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7])
def test_a_limit_ends_with_its_translation(maker, limit):
    log = played(maker)
    result = replayed(log, limit=limit)
    assert (result.total, result.mismatches) == (min(limit, 6), 0)


@pytest.mark.parametrize(("name", "change", "kind", "expected", "got"), [
    ("acc_ppn", 1, "paddr", PAGE ^ 0x1000, PAGE),
    ("acc_vpn", 8, "fault", 0, 1),
])
def test_an_access_that_is_not_as_recorded_is_found(maker, name, change, kind, expected, got):
    log = played(maker)
    array = log[name].copy()
    array[1] ^= change  # that of the write, which comes second
    result = replayed(BootLog(log.fields | {name: array}))
    assert result.mismatches == 1
    assert result.mismatches_by_kind == {kind: 1}
    (mismatch,) = result.first
    assert (mismatch.place, mismatch.field, mismatch.expected, mismatch.got) == (
        f"record {first(log) + 1}", kind, expected, got)
    assert mismatch.walk.access.kind is AccessKind.WRITE
    assert mismatch.control.cr3 == 0x1000


@pytest.mark.parametrize(("name", "index", "value", "kind"), [
    ("sp_ppn", 0, 7, "error"),
    ("sp_x", 0, Vector.GP, "vector"),
    ("sp_val", 0, 0x9123, None),  # a fault just as well
    ("sp_val", 0, VADDR, "fault"),
])
def test_a_fault_that_is_not_as_recorded_is_found(maker, name, index, value, kind):
    log = played(maker)
    array = log[name].copy()
    array[log.of_kind(RecordKind.FAULT)[index]] = value
    result = replayed(BootLog(log.fields | {name: array}))
    assert result.mismatches_by_kind == ({} if kind is None else {kind: 1})
    assert result.mismatches == (kind is not None)


def test_another_cr2_is_found(maker):
    def change(_engine, _memory, _commands, answers):
        answers["vaddr"][answers["vaddr"] == 0x8123] = 0x8000

    log = played(maker)
    assert replayed(log, Wrapped(log, change)).mismatches_by_kind == {"cr2": 1}


def fault_once(engine, _memory, commands, answers):
    """Let an access that follows a store fault the first time, as of an entry without rights."""
    if engine.runs == 1:
        row = int(np.flatnonzero(commands["op"] == Op.ACCESS)[-1])
        answers[row] = 0
        answers["fault"][row], answers["vector"][row], answers["error"][row] = 1, 14, 1
        answers["vaddr"][row] = commands["vaddr"][row]


def test_a_page_fault_of_a_stale_entry_is_spurious_if_the_access_then_passes(maker):
    log = played(maker)
    result = replayed(log, Wrapped(log, fault_once))
    assert (result.mismatches, result.spurious_faults, result.total) == (0, 1, 6)


def test_a_page_fault_that_stays_is_a_mismatch(maker):
    def change(engine, memory, commands, answers):
        fault_once(engine, memory, commands, answers)
        if engine.runs > 1:
            engine.runs = 1
            fault_once(engine, memory, commands, answers)

    log = played(maker)
    result = replayed(log, Wrapped(log, change))
    assert (result.mismatches_by_kind, result.spurious_faults) == ({"fault": 1}, 0)


def test_a_page_fault_with_p_clear_is_not_made_again(maker):
    def change(engine, memory, commands, answers):
        fault_once(engine, memory, commands, answers)
        answers["error"][answers["error"] == 1] = 0

    log = played(maker)
    result = replayed(log, Wrapped(log, change))
    assert (result.mismatches_by_kind, result.spurious_faults) == ({"fault": 1}, 0)


def test_a_replay_goes_on_after_many_mismatches(maker):
    for number in range(300):
        maker.access(VADDR if number % 2 else 0x8000, PAGE)
    maker.access(VADDR, PAGE, AccessKind.WRITE)
    maker.store(maker.pte, 0)
    maker.special(RecordKind.INVLPG, VADDR)
    maker.fault(VADDR, 4)
    result = replayed(maker.log())
    assert (result.total, result.mismatches) == (302, 150)
    assert result.mismatches_by_kind == {"fault": 150}
    assert len(result.first) == 10


@pytest.mark.parametrize(("bits", "kind"), [(Entry.PWT, "tables"), (Entry.A | Entry.D, "flags")])
def test_an_entry_that_changes_is_found_by_the_store_that_replaces_it(maker, bits, kind):
    maker.store(maker.pte + 8, PAGE | READ_ONLY)
    maker.store(maker.pte + 8, 0)
    log = maker.log()

    def change(_engine, _memory, commands, answers):
        answers["value"][(commands["vaddr"] == maker.pte + 8) & (answers["value"] != 0)] ^= bits

    result = replayed(log, Wrapped(log, change))
    assert result.mismatches_by_kind == {kind: 1}
    (mismatch,) = result.first
    assert (mismatch.place, mismatch.paddr, mismatch.walk) == (
        f"record {len(log) - 2}", maker.pte + 8, None)
    assert (mismatch.expected, mismatch.got) == (
        PAGE | READ_ONLY, (PAGE | READ_ONLY) ^ bits)


@pytest.mark.parametrize("offset", [0, 8])
def test_an_entry_that_is_wrong_at_the_end_is_found(maker, offset):
    maker.access(VADDR, PAGE)
    log = maker.log()

    def change(engine, memory, _commands, _answers):
        if engine.runs:  # behind the stores
            memory.write(maker.pte + offset, maker.mode.entry_bytes, 0x10)

    result = replayed(log, Wrapped(log, change))
    assert result.mismatches_by_kind == {"tables": 1}
    assert result.first[0].place == "the end of the log"


def test_flags_that_an_engine_without_tlbs_does_not_set_are_missed(maker):
    maker.access(VADDR, PAGE, AccessKind.WRITE)
    maker.store(maker.pte, PAGE | RIGHTS | Entry.A | Entry.D, RecordKind.AD)
    log = maker.log()
    assert replayed(log).agreed

    class Forgetful(ModelEngine):
        def run(self, memory, commands, **options):
            run = super().run(memory, commands, **options)
            if (commands["op"] == Op.ACCESS).any():
                memory.write(maker.pte, self.mode.entry_bytes, PAGE | RIGHTS | Entry.A)
            return run

    assert replayed(log, Forgetful(log.mode)).mismatches_by_kind == {"flags": 1}


def test_tables_that_were_never_written_are_empty(maker):
    """A table of which no entry was ever stored reads as zeros, as its memory is RAM."""
    maker.store(0x1000 + maker.mode.entry_bytes, 0x20_0000 | RIGHTS)
    vaddr = 1 << maker.mode.levels[0].shift
    maker.fault(vaddr, 4)
    assert replayed(maker.log()).agreed


def test_a_page_need_not_be_ram(maker):
    maker.store(maker.pte, 0xFEE0_0000 | RIGHTS)
    maker.access(VADDR, 0xFEE0_0000)
    assert replayed(maker.log()).agreed
