"""Several processes and threads that run in turn, each with its own registers and translations."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pagewalk.model.x86 import PAGE_BYTES, X86_64
from pagewalk.sim.exec.cpu import Cpu
from pagewalk.sim.exec.program_machine import ProgramMachine
from pagewalk.sim.exec.stop import Called, Paused

from .native import compiled, natively, on_mmu
from .worlds import CODE, DATA, DATA_PAGES, World, every_mode, needs_as

pytestmark = [pytest.mark.slow, needs_as]
needs_gcc = pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++")

ADD_TO_EACH_WORD = """
    mov @di, DATA
    mov ecx, 16 * 512
    cvtsi2sd xmm3, ebx
again:
    add [@di], ebx
    add eax, [@di]
    add @di, 8
    dec ecx
    jnz again
    cvtsd2si ebp, xmm3
    END
"""
PROCESSES, TURN = 4, 3000  # of instructions


def take_turns(world, assembled):
    """Let a parent and its children add numbers to pages that they share until they write.

    Return whether each found and left what was its own, in memory, EAX and XMM3.
    """
    world.poke(CODE, assembled(ADD_TO_EACH_WORD, world.mode))
    start = np.arange(DATA_PAGES * PAGE_BYTES // 4, dtype=np.uint32)
    world.poke(DATA, start.tobytes())
    world.linux.processes += [
        world.kernel_does(world.kernel.fork) for _ in range(PROCESSES - 1)]
    left = list(range(PROCESSES))
    for process in left:
        world.machine.switch(process)
        world.cpu.pc = CODE
        world.cpu.write("ebx", process + 1)
    found = {}
    while left:
        for process in list(left):
            world.machine.switch(process)
            stop = world.go_on(TURN)
            if isinstance(stop, Called):
                found[process] = world.cpu.read("eax"), world.cpu.read("ebp")
                left.remove(process)
            else:
                assert stop == Paused()
    return [_is_right(world, process, start[::2], found[process]) for process in range(PROCESSES)]


def _is_right(world, process, start, found):
    expected = start + np.uint32(process + 1)
    world.machine.switch(process)
    words = np.frombuffer(world.peek(DATA, DATA_PAGES * PAGE_BYTES), np.uint32)[::2]
    total = int(expected.sum(dtype=np.uint64)) & 0xFFFF_FFFF
    return bool((words == expected).all()) and found == (total, process + 1)


@every_mode
@pytest.mark.parametrize(("engine", "check"), [("model", "fast"), ("cxxrtl", "fast"),
                                               ("cxxrtl", "each")])
def test_processes_that_share_pages_until_they_write(mode, check, engine, assembled):
    world = World(engine, mode, check)
    assert take_turns(world, assembled) == [True] * PROCESSES
    assert world.machine.counts.minor >= PROCESSES * DATA_PAGES - 1
    world.end()


def without(monkeypatch, owner, name):
    """Have a switch of processes leave a step out."""
    def switch(self, process):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, lambda *_arguments: None)
            whole(self, process)

    whole = ProgramMachine.switch
    monkeypatch.setattr(ProgramMachine, "switch", switch)


@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_a_soft_tlb_that_is_kept_at_a_switch_is_noticed(engine, assembled, monkeypatch):
    """A control: a process goes by the translations of another."""
    without(monkeypatch, Cpu, "forget_translations")
    assert not all(take_turns(World(engine, X86_64), assembled))


def test_a_switch_that_does_not_load_cr3_is_noticed(assembled, monkeypatch):
    """A control: neither registers nor translations change."""
    without(monkeypatch, ProgramMachine, "invalidate")
    with pytest.raises(ValueError, match=r"^Kernel says that registers are "):
        take_turns(World("model", X86_64), assembled)


def test_registers_that_are_lost_at_a_switch_are_noticed(assembled, monkeypatch):
    """A control: all but XMM3 is kept."""
    def restore(self, registers=None):
        lost = self.read("xmm3")
        whole(self, registers)
        self.write("xmm3", lost)

    whole = Cpu.restore
    monkeypatch.setattr(Cpu, "restore", restore)
    assert not all(take_turns(World("model", X86_64), assembled))


@needs_gcc
@pytest.mark.parametrize("bits", [32, 64])
def test_children_and_threads_with_each_access_translated(bits, tmp_path):
    source = Path(__file__).with_name("turns.c")
    path = compiled(tmp_path / "turns", source, f"-m{bits}", "-static", "-pthread")
    found = on_mmu("--engine", "cxxrtl", "--check", "each", path)
    assert found == natively(path)
    assert found[2] == 42
