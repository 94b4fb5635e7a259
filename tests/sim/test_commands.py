"""Commands and answers: what the constructors make, and that the C++ harness has the numbers."""

import re

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.batch import Controls
from pagewalk.model.mmu.control import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, InvalidateOp, Vector
from pagewalk.sim.engine.answer import ANSWER, NOTHING, Answer, access_memory
from pagewalk.sim.engine.command import (
    COMMAND,
    FLAGS,
    REGISTERS,
    THROUGH_PORT,
    accesses,
    barrier,
    data_accesses,
    exchange,
    invalidation,
    read,
    reset,
    set_control,
    wait,
)
from pagewalk.sim.engine.glue import glue_text
from pagewalk.sim.engine.memory_model import PURPOSES
from pagewalk.sim.engine.ports import CONTROL_FIELDS

CONTROL = Control(cr3=0x1_2000, cr0=0x8001_0001, cr4=0x30, efer=0x800, pkru=0xC)


def made(commands):
    """Return the fields of a single command that are not 0."""
    row, = commands
    return {name: row[name].item() for name in COMMAND.names if row[name]}


@pytest.mark.parametrize(("commands", "fields"), [
    (accesses(CONTROL, 0x123, 2, user=1, implicit=1, ac=1, stack=1, port=3, expect_fault=1),
     {"port": 3, "kind": 2, "user": 1, "implicit": 1, "ac": 1, "stack": 1, "vaddr": 0x123,
      "expect_fault": 1}),
    (data_accesses(CONTROL, 0x124, 1, 1 << 63, size=4, user=1, ac=1, stack=1, port=2),
     {"op": 5, "port": 2, "kind": 1, "user": 1, "ac": 1, "stack": 1, "vaddr": 0x124,
      "new": 1 << 63, "size": 4}),
    (set_control(CONTROL), {"op": 8}),
    (invalidation(CONTROL, InvalidateOp.MOV_CR4, vaddr=1, pcid=2, old=3, new=4),
     {"op": 1, "invalidate": 6, "vaddr": 1, "pcid": 2, "old": 3, "new": 4}),
], ids=["access", "data", "control", "invalidation"])
def test_what_software_does_is_done_under_its_registers(commands, fields):
    registers = {name: getattr(CONTROL, name) for name in REGISTERS}
    assert made(commands) == fields | registers


@pytest.mark.parametrize(("commands", "fields"), [
    (exchange(0x2000, 7), {"op": 2, "vaddr": 0x2000, "new": 7}),
    (read(0x2000), {"op": 3, "vaddr": 0x2000}),
    (wait(9), {"op": 4, "new": 9}),
    (barrier(), {"op": 6}),
    (reset(), {"op": 7}),
], ids=["exchange", "read", "wait", "barrier", "reset"])
def test_what_others_do_has_no_registers(commands, fields):
    assert made(commands) == fields


@pytest.mark.parametrize(("commands", "fields"), [
    (accesses(None, 0x123, 2), {"kind": 2, "vaddr": 0x123}),
    (data_accesses(None, 0x123, size=1), {"op": 5, "vaddr": 0x123, "size": 1}),
    (invalidation(None, InvalidateOp.MOV_CR3, new=9), {"op": 1, "invalidate": 5, "new": 9}),
], ids=["access", "data", "invalidation"])
def test_without_registers_a_command_inherits_them(commands, fields):
    assert made(commands) == fields | {"inherit": 1}


def test_each_command_may_have_registers_of_its_own():
    control = Controls(cr3=np.array([0x1000, 0x2000]), cr0=0x8001_0000, cr4=np.array([0, 0x10]),
                       efer=0, pkru=0)
    for commands in (accesses(control, 5), invalidation(control, InvalidateOp.INVPCID_ALL)):
        assert commands["cr3"].tolist() == [0x1000, 0x2000]
        assert commands["cr0"].tolist() == [0x8001_0000] * 2
        assert commands["cr4"].tolist() == [0, 0x10]


def test_arguments_are_broadcast_together():
    commands = accesses(CONTROL, [[1], [2]], [0, 1, 2])
    assert commands[["vaddr", "kind"]].tolist() == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    assert accesses(CONTROL, []).shape == (0,)


def test_registers_and_flags_are_fields_in_the_order_of_the_model():
    assert REGISTERS == Control.__match_args__
    assert set(FLAGS) < set(COMMAND.names)
    assert THROUGH_PORT == (0, 5)


def test_an_answer_has_the_fields_of_the_record_in_their_order():
    assert Answer._fields == ANSWER.names
    answer = Answer(**{name: number for number, name in enumerate(ANSWER.names, start=1)})
    assert np.array([answer], ANSWER).tolist() == [tuple(range(1, len(ANSWER.names) + 1))]
    assert not any(NOTHING)


def test_memory_gives_its_value_or_a_machine_check():
    memory = PhysicalMemory()
    memory.add([1])
    translation = Answer(paddr=0x1008, page=1, memory_type=2)
    assert access_memory(memory, 0x1008, 4, new=0x1_2345_6789) == Answer()
    assert access_memory(memory, 0x1008, 2, new=None, translation=translation) == Answer(
        paddr=0x1008, value=0x6789, page=1, memory_type=2)
    assert access_memory(memory, 0x9000, 4, new=1, translation=translation, vaddr=0x55) == Answer(
        vaddr=0x55, fault=1, vector=Vector.MC)


def test_the_harness_is_given_the_numbers_of_the_operations():
    glue = glue_text(Config(mode=IA32))
    constants = {name: int(number) for name, number in
                 re.findall(r"^const (?:unsigned|int) (\w+) = (\d+);$", glue, re.M)}
    operations = {name: number for name, number in constants.items() if name.startswith("OP_")}
    assert operations == {"OP_ACCESS": 0, "OP_INVALIDATE": 1, "OP_EXCHANGE": 2, "OP_READ": 3,
                          "OP_WAIT": 4, "OP_DATA": 5, "OP_BARRIER": 6, "OP_RESET": 7,
                          "OP_CONTROL": 8, "OP_CANCEL": 9}
    assert {name: constants[name] for name in ("DONE", "STALLED", "UNASKED")} == {
        "DONE": 0, "STALLED": 1, "UNASKED": 2}
    assert {name: constants[name] for name in map(str.upper, PURPOSES)} == {
        "REQUEST_STALL": 0, "LATENCY": 1, "ERROR": 2, "ANSWER_STALL": 3}


def test_control_fields_lie_where_the_manual_has_them():
    """[SDM 2.5, figure 2-7; 2.2.1; 4.5]"""
    assert CONTROL_FIELDS == {
        "root": ("cr3", 12), "pcid": ("cr3", 0), "wp": ("cr0", 16), "pg": ("cr0", 31),
        "pse": ("cr4", 4), "pge": ("cr4", 7), "pcide": ("cr4", 17), "smep": ("cr4", 20),
        "smap": ("cr4", 21), "pke": ("cr4", 22), "nxe": ("efer", 11), "pkru": ("pkru", 0)}
