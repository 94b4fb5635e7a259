"""What every engine refuses, in the same words; registers that commands inherit."""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.control import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, InvalidateOp
from pagewalk.sim.engine import ENGINES, create
from pagewalk.sim.engine.command import (
    REGISTERS,
    accesses,
    cancel,
    data_accesses,
    exchange,
    invalidation,
    read,
    set_control,
    wait,
)
from pagewalk.sim.engine.intake import Intake, check_commands

from .engine_runs import CONFIGS

C = Control(0x1000)
PROBING = Config(probes=True)
ONE_PORT = Config(mode=X86_64, ports=("only",))
HIGHEST = 0xFFFF_FFFF


def changed(command, **fields):
    """Return a command with fields that no constructor would give it."""
    for name, value in fields.items():
        command[name] = value
    return command


WRONG = [
    (changed(wait(1), op=10), "Operation must be below 10, not 10"),
    (changed(wait(1), op=255), "Operation must be below 10, not 255"),
    (accesses(C, 0, 3), "Access kind must be below 3, not 3"),
    (accesses(C, 0, user=2), "Flag user must be 0 or 1, not 2"),
    (accesses(C, 0, implicit=3), "Flag implicit must be 0 or 1, not 3"),
    (accesses(C, 0, ac=2), "Flag ac must be 0 or 1, not 2"),
    (data_accesses(C, 0, stack=255), "Flag stack must be 0 or 1, not 255"),
    (data_accesses(C, 8, size=3),
     "Data must be 1, 2, 4 or 8 bytes at a multiple of that, not 3 at 0x8"),
    (data_accesses(C, 4), "Data must be 1, 2, 4 or 8 bytes at a multiple of that, not 8 at 0x4"),
    (exchange(0x1002, 0), "Address of an entry must be a multiple of 4, not 0x1002"),
    (read(0x1003), "Address of an entry must be a multiple of 4, not 0x1003"),
    (invalidation(C, 8), "Invalidating operation must be below 8, not 8"),
    (accesses(C, HIGHEST + 1), "Linear address must have at most 32 bits, not 0x100000000"),
    (data_accesses(C, 1 << 40), "Linear address must have at most 32 bits, not 0x10000000000"),
    (invalidation(C, InvalidateOp.INVLPG, vaddr=HIGHEST + 1),
     "Linear address must have at most 32 bits, not 0x100000000"),
    (invalidation(C, InvalidateOp.INVPCID_ADDRESS, vaddr=1 << 63),
     "Linear address must have at most 32 bits, not 0x8000000000000000"),
    (invalidation(C, InvalidateOp.INVPCID_ADDRESS, pcid=0x1000),
     "PCID must have at most 12 bits, not 0x1000"),
    (invalidation(C, InvalidateOp.INVPCID_CONTEXT, pcid=0xFFFF),
     "PCID must have at most 12 bits, not 0xffff"),
    (accesses(C, 0, purpose=1), "Purpose must be at most 0 without probes, not 1"),
    (changed(data_accesses(C, 0), purpose=3), "Purpose must be at most 0 without probes, not 3"),
    (accesses(C, 0, size=2), "Size of an access must be at most 1 without access_bytes, not 2"),
    (cancel(0), "Operation must not cancel, as the hardware cannot, not 9"),
    (accesses(None, 0), None),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_command_that_is_wrong_is_named(wrong, message):
    commands = np.concatenate([wait(1), accesses(C, 0), wrong, wrong])
    message = (f"{message} in command 2" if message else
               "Command 2 inherits registers, but there was no control command before")
    with pytest.raises(ValueError, match=f"^{message}$"):
        Intake(Config(mode=IA32)).take(commands)


def test_a_port_that_there_is_not_is_named():
    commands = np.concatenate([accesses(C, 0, port=1), data_accesses(C, 0, port=2)])
    with pytest.raises(IndexError, match=r"^Command 1 is for port 2, of 2$"):
        check_commands(commands, Config(mode=IA32))


@pytest.mark.parametrize(("wrong", "message"), [
    (accesses(C, 0, purpose=4), "Purpose must be at most 3, not 4"),
    (changed(data_accesses(C, 0), purpose=1), "Purpose of data must be 0, not 1"),
])
def test_a_purpose_that_there_is_not_is_named(wrong, message):
    check_commands(accesses(C, 0, purpose=[0, 1, 2, 3]), PROBING)
    with pytest.raises(ValueError, match=f"^{message} in command 0$"):
        check_commands(wrong, PROBING)


def test_an_access_of_too_many_bytes_is_named():
    config = Config(access_bytes=16)
    check_commands(accesses(C, 0xFFF, size=[0, 1, 16]), config)
    with pytest.raises(ValueError, match=r"^Size of an access must be at most 16, not 17 in "
                                         r"command 1$"):
        check_commands(accesses(C, 0, size=[16, 17]), config)


def test_a_cancel_is_for_a_port():
    check_commands(cancel([0, 1], 5), Config(cancel=True))
    with pytest.raises(IndexError, match=r"^Command 1 is for port 2, of 2$"):
        check_commands(cancel([1, 2]), Config(cancel=True))


def test_what_a_command_does_not_use_is_not_checked():
    right = [
        changed(wait(1), vaddr=1 << 40, kind=9, user=9, port=9, size=9, invalidate=9, pcid=1 << 13),
        changed(invalidation(C, InvalidateOp.INVPCID_ALL, vaddr=1 << 40, pcid=1 << 13), port=9),
        invalidation(C, InvalidateOp.INVPCID_CONTEXT, vaddr=1 << 40),
        invalidation(C, InvalidateOp.INVLPG, pcid=1 << 13),
        changed(wait(1), inherit=1),
        exchange(1 << 50, 1 << 63), read(0x1004), accesses(C, HIGHEST),
    ]
    check_commands(np.concatenate(right), Config(mode=IA32, ports=("only",)))
    check_commands(accesses(C, (1 << 64) - 1), ONE_PORT)
    with pytest.raises(ValueError, match=r"multiple of 8, not 0x1004 in command 0$"):
        check_commands(read(0x1004), ONE_PORT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_all_engines_refuse_alike_before_they_begin(name):
    memory = PhysicalMemory()
    memory.add([1])
    engine = create(name, CONFIGS["ia32-fifo3"])
    good = exchange(0x1000, 7)
    for wrong, message in WRONG:
        with pytest.raises(ValueError, match=f"^{message or 'Command 1 inherits'}"):
            engine.run(memory, np.concatenate([good, wrong]))
    with pytest.raises(IndexError, match=r"^Command 1 is for port 3, of 3$"):
        engine.run(memory, np.concatenate([good, accesses(C, 0, port=3)]))
    with pytest.raises(ValueError, match=r"^A run stops on every fault or on unexpected ones, not"):
        engine.run(memory, good, stop_on_fault=True, stop_on_unexpected=True)
    assert memory.read(0x1000, 4) == 0
    assert engine.run(memory, good).done == 1


# Registers


FIRST, SECOND = (Control(*(number + index for index in range(len(REGISTERS))))
                 for number in (0x10, 0x20))


def registers(commands):
    return [tuple(row) for row in commands[list(REGISTERS)].tolist()]


def test_commands_inherit_from_the_last_control_command():
    own = Control(7)
    commands = np.concatenate([
        set_control(FIRST), accesses(None, [0, 1]), accesses(own, 2), invalidation(None, 3),
        set_control(SECOND), data_accesses(None, 0), wait(3)])
    before = commands.copy()
    filled = Intake(ONE_PORT).take(commands)
    expected = [FIRST, FIRST, FIRST, own, FIRST, SECOND, SECOND]
    assert registers(filled[:-1]) == [
        tuple(getattr(control, name) for name in REGISTERS) for control in expected]
    assert registers(filled[-1:]) == [(0,) * 5]
    assert (commands == before).all()


def test_registers_are_kept_for_the_next_run_if_the_control_command_was_done():
    intake, access = Intake(ONE_PORT), accesses(None, 0)
    commands = np.concatenate([set_control(FIRST), access, set_control(SECOND), access])
    for done, expected in ((4, SECOND), (3, SECOND), (2, FIRST), (1, FIRST)):
        intake.keep(intake.take(commands), done)
        first, *_ = registers(intake.take(access))
        assert first == tuple(getattr(expected, name) for name in REGISTERS)
    intake.keep(intake.take(commands), 0)
    assert registers(intake.take(access))[0][0] == FIRST.cr3
    later = np.concatenate([access, set_control(SECOND), access])
    assert [row[0] for row in registers(intake.take(later))] == [FIRST.cr3] + [SECOND.cr3] * 2
