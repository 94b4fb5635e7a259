"""Tests of what a run gives back: all frames and slots, however its processes end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.x86 import PAGE_BYTES
from pagewalk.sim.cli.main import main
from pagewalk.sim.exec.leftovers import Leftovers, broken_rule, frames_in_use, leftovers
from pagewalk.sim.exec.program_world import ProgramWorld

from .native import compiled, natively, on_mmu
from .worlds import RW, every_mode

HERE = Path(__file__).parent
needs_gcc = pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++")


@every_mode
def test_what_is_wrong_is_counted(mode):
    kernel = Kernel.boot(mode, 8 << 20)
    before = frames_in_use(kernel)
    assert not leftovers(kernel, before)
    process = kernel.spawn("process")
    kernel.switch(process)
    with kernel.acting(process):
        start = process.mm.mmap(0, 8 * PAGE_BYTES, RW, 0x22)
        process.space.populate(process.mm.tree.lookup(start), start, start + 8 * PAGE_BYTES, True)
    found = leftovers(kernel, before)
    assert (found.processes, found.slots, found.broken) == (1, 0, None)
    assert found.frames > 8
    kernel.exit(process)
    assert leftovers(kernel, before) == Leftovers()
    kernel.state.frames.alloc()
    found = leftovers(kernel, before)
    assert found.frames == 1
    assert found.broken == broken_rule(kernel)
    assert str(found).startswith("1 frames in use at the end; ")


@pytest.mark.slow
@needs_gcc
def test_a_run_that_keeps_a_frame_says_so(tmp_path, monkeypatch, capfd):
    def keep(self, group, wait_status):
        self.kernel.state.frames.alloc()
        end(self, group, wait_status)

    end = ProgramWorld.end_process
    monkeypatch.setattr(ProgramWorld, "end_process", keep)
    source = tmp_path / "ends.c"
    source.write_text("int main(void) { return 5; }\n")
    path = compiled(tmp_path / "ends", source, "-static")
    figures = tmp_path / "figures"
    assert main(["exec", "--engine", "model", "--json", str(figures), str(path)]) == 1
    error = capfd.readouterr().err
    assert error.startswith("pagewalk: error: the kernel model is not sound: 1 frames in use ")
    assert error.count("\n") == 1
    written = json.loads(figures.read_text())
    assert (written["status"], written["leftovers"]["frames"]) == (5, 1)


@pytest.mark.slow
@needs_gcc
@pytest.mark.parametrize("memory", [64, 5])
def test_processes_that_end_in_all_ways_leave_nothing(memory, tmp_path):
    path = compiled(tmp_path / "tasks", HERE / "tasks_and_memory.c", "-static", "-pthread")
    figures = tmp_path / "figures"
    found, native = on_mmu("--engine", "model", "--memory", memory, "--json", figures,
                           path), natively(path)
    assert sorted(found[0].splitlines()) == sorted(native[0].splitlines())
    assert found[1:] == native[1:] == (b"", 9)
    written = json.loads(figures.read_text())
    assert written["leftovers"] == {"frames": 0, "slots": 0, "processes": 0, "broken": None}
    assert (written["swapped_in"] > 100) is (memory == 5)
    assert written["calls"]["execve"] >= 9


@pytest.mark.slow
@needs_gcc
def test_big_sort_and_python_in_a_quarter_of_what_they_need(tmp_path):
    file = tmp_path / "lines"
    numbers = np.random.default_rng(1).integers(0, 10 ** 9, 150_000).tolist()
    file.write_text("".join(f"{number}\n" for number in numbers))
    text = "a = [number * 0.5 for number in range(400_000)]; print(sum(a), sum(a), len(a))"
    python = shutil.which("python3", path="/usr/bin")
    programs = [(6, ["sort", "-n", "-S", "16M", "--parallel=1", file])]
    programs += [(8, [python, "-c", text])] if python else []
    for memory, words in programs:
        figures = tmp_path / "figures"
        assert on_mmu("--memory", memory, "--json", figures, *words) == natively(*words)
        written = json.loads(figures.read_text())
        assert written["leftovers"] == {"frames": 0, "slots": 0, "processes": 0, "broken": None}
        assert written["swapped_in"] > 2000
