"""Translations for the soft TLB: whatever engine there is, slow memory, and what goes wrong."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import X86_64
from pagewalk.sim.engine import create
from pagewalk.sim.engine.base import EngineStalled
from pagewalk.sim.engine.memory_model import MemoryModel
from pagewalk.sim.exec.program_machine import ProgramFailed
from pagewalk.sim.exec.stop import Called

from ..engine_runs import COMPILED, EVERY
from .worlds import CODE, DATA, World, every_mode, needs_as

pytestmark = [pytest.mark.slow, needs_as]
every_check = pytest.mark.parametrize("check", ["fast", "each"])

SUM = """
    mov @di, DATA
    mov ecx, 16
again:
    add eax, [@di]
    mov [@di + 8], eax
    add @di, 4096
    dec ecx
    jnz again
    END
"""


def summed(world, code):
    """Run a program that reads a word of each page and writes another; return what it found."""
    world.poke(CODE, code)
    for page in range(16):
        world.poke(DATA + page * 4096, (page + 1).to_bytes(4, "little"))
    assert isinstance(world.run(), Called)
    last = int.from_bytes(world.peek(DATA + 15 * 4096 + 8, 4), "little")
    return world.cpu.read("eax"), last


@every_mode
@every_check
@pytest.mark.parametrize("engine", EVERY)
def test_all_engines_give_the_same(mode, engine, check, assembled):
    assert summed(World(engine, mode, check), assembled(SUM, mode)) == (136, 136)


@every_mode
@every_check
@pytest.mark.parametrize("engine", COMPILED)
def test_engines_of_hardware_take_the_same_cycles(mode, engine, check, assembled):
    worlds = [World(name, mode, check) for name in ("amaranth", engine)]
    for world in worlds:
        summed(world, assembled(SUM, mode))
    one, other = (world.machine.total() for world in worlds)
    assert one == other
    assert one.cycles > 0


SLOW = MemoryModel(latency=(3, 20), request_stall=0.3, answer_stall=0.3, seed=5)


@every_mode
@every_check
def test_memory_that_is_slow_at_random(mode, check, assembled):
    quick, slow = World("cxxrtl", mode, check), World(
        create("cxxrtl", Config(mode=mode), SLOW), mode, check)
    code = assembled(SUM, mode)
    assert summed(quick, code) == summed(slow, code) == (136, 136)
    assert slow.cpu.counts.translations == quick.cpu.counts.translations
    assert slow.cpu.counts.cycles > quick.cpu.counts.cycles
    assert slow.machine.total().cycles > 2 * quick.machine.total().cycles


def test_a_bus_error_is_a_machine_check(assembled):
    world = World("cxxrtl", X86_64)
    world.poke(CODE, assembled(SUM, X86_64))
    world.engine.memory_model = MemoryModel(error_rate=1.0)
    with pytest.raises(ProgramFailed, match=r"^#MC at 0x400000, instruction 0x400000$"):
        world.run()


def test_hardware_that_stalls_is_reported_and_begins_anew(assembled, monkeypatch):
    world = World("cxxrtl", X86_64)
    code = assembled(SUM, X86_64)
    world.poke(CODE, code)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryModel, "stall_limit", 0)
        with pytest.raises(EngineStalled, match=r"^No progress for 0 cycles, at command 1 of 1$"):
            world.run()
    assert summed(world, code) == (136, 136)


@pytest.mark.parametrize("engine", ["model", "amaranth"])
def test_what_an_engine_in_python_raises(engine, assembled, monkeypatch):
    world = World(engine, X86_64)
    code = assembled(SUM, X86_64)
    world.poke(CODE, code)

    def fail(*_arguments, **_options):
        raise EngineStalled("Nothing moves")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "access" if engine == "model" else "run", fail)
        with pytest.raises(EngineStalled, match=r"^Nothing moves$"):
            world.run()
    assert summed(world, code) == (136, 136)
