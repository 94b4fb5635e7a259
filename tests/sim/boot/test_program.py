import numpy as np
import pytest

from pagewalk.model.x86 import AccessKind, Cr4, InvalidateOp, Vector
from pagewalk.sim.boot.answer_checks import packed_fault
from pagewalk.sim.boot.log import RecordKind
from pagewalk.sim.boot.program import BootProgram
from pagewalk.sim.engine.command import Op

from .log_maker import IMPLICIT, LONG, ROOT, SUPERVISOR, USER, LogMaker

FIRST = 6  # the record after the mark and the registers


@pytest.fixture
def maker():
    return LogMaker()


def commands(maker):
    """Return the commands of what was added, and what they must be answered."""
    log = maker.log()
    piece = BootProgram(log).piece(FIRST, len(log))
    return piece.commands, piece.expected



@pytest.mark.parametrize(("kind", "mode", "flags"), [
    (AccessKind.READ, SUPERVISOR, (0, 0, 0)),
    (AccessKind.WRITE, 0, (0, 0, 1)),  # SMAP does not apply
    (AccessKind.FETCH, SUPERVISOR, (0, 0, 0)),
    (AccessKind.WRITE, IMPLICIT, (1, 1, 0)),
    (AccessKind.FETCH, USER, (1, 0, 1)),
])
def test_an_access_goes_through_its_port_with_its_flags(maker, kind, mode, flags):
    maker.access(0xFFFF_8000_0000_5000, 0x7000, kind, mode=mode)
    (command,), (expected,) = commands(maker)
    assert (command["op"], command["vaddr"], command["kind"]) == (
        Op.ACCESS, 0xFFFF_8000_0000_5000, kind)
    assert command["port"] == (kind is not AccessKind.FETCH)
    assert (command["user"], command["implicit"], command["ac"]) == flags
    assert (command["inherit"], command["expect_fault"]) == (1, 0)
    assert expected.tolist() == (0x7000, 0, 0)


def test_what_a_recording_begins_with_changes_no_register(maker):
    log = maker.log()
    moves = BootProgram(log).piece(0, len(log)).commands
    moves = moves[np.isin(moves["invalidate"], [InvalidateOp.MOV_CR0, InvalidateOp.MOV_CR4])
                  & (moves["op"] == Op.INVALIDATE)]
    assert len(moves) == 2
    assert (moves["old"] == moves["new"]).all()


def test_a_fault_is_an_access_that_is_expected_to_fault(maker):
    maker.fault(0x5123, 7, AccessKind.WRITE)
    maker.fault(1 << 60, 0, mode=SUPERVISOR, vector=Vector.GP)
    command, expected = commands(maker)
    assert command["op"].tolist() == [Op.ACCESS, Op.ACCESS]
    assert command["vaddr"].tolist() == [0x5123, 1 << 60]
    assert command["kind"].tolist() == [AccessKind.WRITE, AccessKind.READ]
    assert command["user"].tolist() == [1, 0]
    assert command["expect_fault"].tolist() == [1, 1]
    assert expected.tolist() == [(0, 0x5123, packed_fault(1, 14, 7)),
                                 (0, 1 << 60, packed_fault(1, 13, 0))]


def test_stores_wait_for_the_accesses_before_them_once(maker):
    maker.access(0, 0)
    maker.store(0x2000, 1)
    maker.store(0x2008, 2, RecordKind.PTSET)
    maker.access(0, 0)
    maker.store(0x2008, 3, RecordKind.AD)  # which the hardware sets itself
    maker.store(0x2017, 4)
    command, _ = commands(maker)
    assert [Op(op) for op in command["op"].tolist()] == [
        Op.ACCESS, Op.BARRIER, Op.EXCHANGE, Op.EXCHANGE, Op.ACCESS, Op.BARRIER, Op.EXCHANGE]
    stores = command[command["op"] == Op.EXCHANGE]
    assert stores["vaddr"].tolist() == [0x2000, 0x2008, 0x2010]
    assert stores["new"].tolist() == [1, 2, 4]


def test_a_move_invalidates_under_the_registers_before_it(maker):
    cr4 = LONG["cr4"] | Cr4.PCIDE
    maker.special(RecordKind.CR4, cr4)
    maker.special(RecordKind.CR3, 1 << 63 | 0x3005)
    maker.special(RecordKind.PKRU, 0x55)
    maker.special(RecordKind.CR4, LONG["cr4"])
    command, _ = commands(maker)
    assert [Op(op) for op in command["op"].tolist()] == [
        Op.INVALIDATE, Op.CONTROL, Op.INVALIDATE, Op.CONTROL, Op.CONTROL, Op.INVALIDATE, Op.CONTROL]
    moves = command[command["op"] == Op.INVALIDATE]
    assert moves["invalidate"].tolist() == [
        InvalidateOp.MOV_CR4, InvalidateOp.MOV_CR3, InvalidateOp.MOV_CR4]
    assert moves["new"].tolist() == [cr4, 1 << 63 | 0x3005, LONG["cr4"]]
    assert moves["old"][[0, 2]].tolist() == [LONG["cr4"], cr4]
    registers = command[command["op"] == Op.CONTROL]
    assert registers["cr3"].tolist() == [ROOT, 0x3005, 0x3005, 0x3005]
    assert registers["cr4"].tolist() == [cr4, cr4, cr4, LONG["cr4"]]
    assert registers["pkru"].tolist() == [0, 0, 0x55, 0x55]
    assert set(registers["efer"].tolist()) == {LONG["efer"]}


def test_invalidations_have_their_operands(maker):
    maker.special(RecordKind.INVLPG, 0x5678)
    maker.special(RecordKind.INVPCID, 0x9000, x=1, ppn=5)
    command, _ = commands(maker)
    assert command["invalidate"].tolist() == [InvalidateOp.INVLPG, InvalidateOp.INVPCID_CONTEXT]
    assert command["vaddr"].tolist() == [0x5678, 0x9000]
    assert command["pcid"].tolist() == [0, 5]


def test_any_cut_into_pieces_gives_the_same_commands(maker):
    rng = np.random.default_rng(5)
    for _ in range(200):
        draw = int(rng.integers(6))
        if draw < 3:
            maker.access(draw << 12, 0x7000)
        elif draw == 3:
            maker.store(0x2000, 1)
        elif draw == 4:
            maker.special(RecordKind.CR3, ROOT)
        else:
            maker.fault(0, 0)
    log = maker.log()
    program = BootProgram(log)
    whole = program.piece(0, len(log))
    for size in (1, 7, 300):
        pieces = [program.piece(first, min(first + size, len(log)))
                  for first in range(0, len(log), size)]
        assert np.array_equal(np.concatenate([piece.commands for piece in pieces]), whole.commands)
        assert np.array_equal(np.concatenate([piece.expected for piece in pieces]), whole.expected)
        records = [piece.record(row) for piece in pieces for row in range(len(piece))]
        assert records == [whole.record(row) for row in range(len(whole))]
    faults = np.flatnonzero(whole.commands["expect_fault"])
    assert [whole.record(row) for row in faults.tolist()] == log.at[
        log.of_kind(RecordKind.FAULT)].tolist()


def test_the_registers_at_a_record(maker):
    maker.access(0, 0)
    maker.special(RecordKind.CR3, 1 << 63 | 0x3000)
    maker.access(0, 0)
    program = BootProgram(maker.log())
    assert program.registers_at(7)["cr3"] == ROOT
    assert program.registers_at(8) == LONG | {"cr3": 0x3000, "cr0": 0x8001_0000, "pkru": 0}
