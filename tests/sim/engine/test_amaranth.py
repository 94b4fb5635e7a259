"""What the engine in Amaranth's simulator does beyond an engine: it writes waveforms."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.control import Control
from pagewalk.model.x86 import X86_64, AccessKind
from pagewalk.sim.engine.amaranth import AmaranthEngine
from pagewalk.sim.engine.base import EngineStalled, WaveformFailed
from pagewalk.sim.engine.command import accesses
from pagewalk.sim.explain.toy_tables import ToyTables

from ..waveform import Waveform

TOY = "examples/tables/four_levels.toml"


@pytest.fixture
def toy():
    return ToyTables(TOY)


def _commands(control: Control):
    return accesses(control, [0x401000, 0x601000, 0x400010, 0x401008, 0x5000],
                    [AccessKind.READ, AccessKind.WRITE, AccessKind.FETCH, AccessKind.READ,
                     AccessKind.READ], user=1, port=[1, 1, 0, 1, 0])


def _record(path, toy, config, runs=1):
    engine, memory = AmaranthEngine(config), toy.memory()
    with path.open("w") as file, engine.write_vcd(file):
        return [engine.run(memory, _commands(toy.control)) for _ in range(runs)]


def test_values_of_a_cycle_are_what_the_run_says(toy, tmp_path):
    config = Config(mode=X86_64, entries=4, walk_cache=2)
    run, = _record(tmp_path / "x.vcd", toy, config)
    wave, commands = Waveform(tmp_path / "x.vcd"), _commands(toy.control)
    assert run.answers["fault"].tolist() == [0, 0, 0, 0, 1]
    for command, answer in zip(commands, run.answers, strict=True):
        port = f"bench.top.mmu.{config.ports[command['port']]}"
        accepted, answered = int(answer["accepted"]), int(answer["answered"])
        assert wave.at(accepted, f"{port}__req__valid") == 1
        assert wave.at(accepted, f"{port}__req__ready") == 1
        assert wave.at(accepted, f"{port}__req__payload.vaddr") == command["vaddr"]
        assert wave.at(accepted, f"{port}__req__payload.kind") == AccessKind(command["kind"]).name
        assert wave.at(answered, f"{port}__rsp__valid") == 1
        assert wave.at(answered, f"{port}__rsp__payload.fault") == answer["fault"]
        if not answer["fault"]:
            assert wave.at(answered, f"{port}__rsp__payload.paddr") == answer["paddr"]
    assert wave.at(0, "bench.top.mmu.control.root") == toy.control.cr3 >> 12
    misses = sum(wave.at(cycle, "bench.top.mmu.events.data.miss") for cycle in range(run.cycles))
    assert misses == run.events["data_miss"] > 0


def test_names_of_structures_and_enumerations_are_there(toy, tmp_path):
    _record(tmp_path / "x.vcd", toy, Config(mode=X86_64, entries=4))
    wave = Waveform(tmp_path / "x.vcd")
    top = "bench.top.mmu."
    for name in ("data__rsp__payload.error_code", "memory__req__payload.address",
                 "events.walk.update", "control.wp", "invalidate__payload.pcid"):
        assert top + name in wave.names
    operations = {wave.at(cycle, top + "memory__req__payload.op") for cycle in range(wave.cycles)}
    assert operations == {"READ", "COMPARE_EXCHANGE"}


def test_a_run_leaves_one_cycle_before_the_next(toy, tmp_path):
    first, second = _record(tmp_path / "x.vcd", toy, Config(mode=X86_64, entries=4), runs=2)
    wave = Waveform(tmp_path / "x.vcd")
    assert wave.cycles == first.cycles + 1 + second.cycles
    answered = first.cycles + 1 + int(second.answers["answered"][1])
    assert wave.at(answered, "bench.top.mmu.data__rsp__valid") == 1
    assert wave.at(answered, "bench.top.mmu.data__rsp__payload.paddr") == second.answers["paddr"][1]


def test_waveforms_change_no_answer(toy, tmp_path):
    config = Config(mode=X86_64, entries=4)
    run, = _record(tmp_path / "x.vcd", toy, config)
    plain = AmaranthEngine(config).run(toy.memory(), _commands(toy.control))
    assert np.array_equal(run.answers, plain.answers)
    assert (run.cycles, run.events) == (plain.cycles, plain.events)


def test_an_interrupt_leaves_a_whole_file(toy, tmp_path, monkeypatch):
    engine = AmaranthEngine(Config(mode=X86_64, entries=4))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._timed, "access", interrupt)
    with ((tmp_path / "x.vcd").open("w") as file, pytest.raises(KeyboardInterrupt),
          engine.write_vcd(file)):
        engine.run(toy.memory(), _commands(toy.control))
    wave = Waveform(tmp_path / "x.vcd")
    assert wave.cycles == 2  # the second one offers the first access to memory
    assert wave.at(1, "bench.top.mmu.memory__req__valid") == 1
    assert wave.at(1, "bench.top.mmu.control.root") == toy.control.cr3 >> 12


def test_a_stall_ends_the_recording_alone(toy, tmp_path, monkeypatch):
    engine = AmaranthEngine(Config(mode=X86_64, entries=4))
    monkeypatch.setattr(engine._timed, "response", lambda *_: None)  # it gets another one then
    with (tmp_path / "x.vcd").open("w") as file, engine.write_vcd(file):
        with pytest.raises(EngineStalled):
            engine.run(toy.memory(), _commands(toy.control))
        run = engine.run(toy.memory(), _commands(toy.control))
    wave = Waveform(tmp_path / "x.vcd")
    assert wave.cycles > 100
    assert wave.at(wave.cycles - 1, "bench.top.mmu.walk__rsp__valid") == 0
    assert np.array_equal(run.answers["fault"], [0, 0, 0, 0, 1])


def test_a_file_that_is_full_is_told(toy):
    engine = AmaranthEngine(Config(mode=X86_64, entries=4))
    file = Path("/dev/full").open("w")
    with pytest.raises(WaveformFailed, match=r"^No space left on device$"), engine.write_vcd(file):
        engine.run(toy.memory(), _commands(toy.control))
    with suppress(OSError):
        file.close()
