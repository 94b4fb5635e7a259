"""A session counts as an engine does, tells walks as golden walks go, and goes on to events."""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.shapes import MemoryOp
from pagewalk.model.x86 import PAGE_SHIFT
from pagewalk.sim.engine.amaranth import AmaranthEngine
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.memory_model import MemoryModel

from ..waveform import Waveform
from .stepping import CONFIGS, Stepped

SMALL = Config(entries=4, walk_cache=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_cycles_answers_and_memory_are_those_of_the_engine(name, tmp_path):
    config = CONFIGS[name]
    stepped, other = Stepped(config, tmp_path, latency=3), Stepped(config, tmp_path)
    lines = [*stepped.lines, "wait 4", f"invlpg {stepped.lines[0].split()[1]}", *stepped.lines,
             "read 0x7000 user"]
    stepped.add(*lines)
    states = stepped.run()
    commands = np.concatenate([other.reader.read(line).commands for line in lines])
    run = AmaranthEngine(config, 3).run(other.session.memory, commands)
    assert np.array_equal(np.array(stepped.session.answers, ANSWER), run.answers)
    assert run.answers["fault"][-1] == 1
    assert np.array_equal(stepped.session.memory.frames, other.session.memory.frames)
    counts = {event: sum(event in state.events for state in states[:run.cycles])
              for event in stepped.session.event_names}
    assert counts == dict(run.events)
    assert len(states) == run.cycles + 1  # the last one tells that all is done


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_a_walk_awaits_what_a_golden_walk_reads(name, tmp_path):
    stepped = Stepped(CONFIGS[name], tmp_path, latency=4)
    stepped.add(*stepped.lines)
    entries = {one.access.vaddr >> PAGE_SHIFT: {step.level.name: step.paddr for step in one.steps}
               for one in stepped.walks()}
    awaited, judged = set(), set()
    for state in stepped.run():
        for walk in state.walks:
            steps = entries.get(walk.vaddr >> PAGE_SHIFT)
            if steps is None:
                assert stepped.config.prefetches  # the page behind one that was walked
            elif walk.doing == "waits for memory" and walk.access is not None:
                assert walk.access.address == steps[walk.level.name]
                assert walk.updating == (walk.access.op is MemoryOp.COMPARE_EXCHANGE)
                awaited.add((walk.vaddr, walk.level.name))
            elif walk.doing == "is judged":
                assert walk.level.name in steps
                judged.add(walk.vaddr)
    leaves = {(vpn << PAGE_SHIFT, [*steps][-1]) for vpn, steps in entries.items()}
    assert awaited >= leaves
    if stepped.config.has_walk_pool:
        assert {vpn << PAGE_SHIFT for vpn in entries} <= judged


@pytest.fixture
def small(tmp_path):
    return Stepped(SMALL, tmp_path)


def test_ports_tell_what_is_offered_and_answered(small):
    small.add("read 0x400010 user port=data", "read 0x400018 user port=data")
    states = small.run()
    ports = [state.ports[1] for state in states]
    assert [port.name for port in states[0].ports] == ["fetch", "data"]
    assert [(port.offered, port.accepted) for port in ports[:3]] == [
        (0, True), (1, False), (1, False)]
    first, second = small.session.answers
    assert ports[first.answered].answer["paddr"] == first.paddr == 0x50010
    assert ports[first.answered].taken
    assert ports[first.answered].waiting == (0,)
    assert ports[second.accepted].offered == 1
    assert ports[second.accepted].accepted
    assert ports[second.answered].waiting == (1,)
    assert "data_hit_4k" in states[second.answered].events
    assert all(state.ports[0].offered is None and not state.ports[0].waiting for state in states)


def test_a_request_that_is_added_late_comes_next(small):
    small.add("read 0x400010 user")
    small.run(rest=200)
    assert not small.session.stalled
    late = small.session.cycle
    small.add("read 0x400020 user")
    assert small.session.answers[1] is None
    small.run()
    assert small.session.answers[1].accepted == late + 1
    assert small.session.answers[1].answered == late + 2


def test_the_next_event_is_any_or_the_one_named(small):
    small.add("wait 5", "read 0x400010 user port=data")
    assert small.session.step_to_event()
    assert (small.session.cycle, small.session.events[:2]) == (6, ("data_lookup", "data_miss"))
    assert small.session.step_to_event("walk_read_pte")
    assert "walk_read_pte" in small.session.events
    assert small.session.step_to_event("walk_end")
    assert small.session.step_to_event() is False  # nothing happens any more
    assert small.session.done


def test_an_answer_is_an_event_and_a_stall_is_none(tmp_path):
    stepped = Stepped(SMALL, tmp_path, latency=MemoryModel(latency=20))
    stepped.add("read 0x400010 user port=data", "read 0x400018 user port=data")
    found = []
    while not stepped.session.done:
        assert stepped.session.step_to_event()
        state = stepped.session.state()
        found.append(state.events)
        assert state.ports[1].answer or any(not name.endswith("stall") for name in state.events)
        if stepped.session.answers[-1] is not None or state.ports[1].answer:
            break
    assert len(found) < 15


def test_an_operation_is_pending_until_walks_are_answered(small):
    small.add("read 0x400010 user port=data", "invlpg 0x400000")
    states = [state for state in small.run() if state.invalidating == 1]
    assert [state.pending for state in states] == [True] * (len(states) - 1) + [False]
    assert len(states) > 5
    assert states[-1].events == ("flush",)


def test_a_memory_that_never_responds_is_a_stall(small, monkeypatch):
    monkeypatch.setattr(small.session._job.timed, "response", lambda *_: None)
    small.add("read 0x400010 user")
    for _ in range(small.session.longest_wait + 3):
        small.session.step()
    assert small.session.stalled


def test_waveforms_of_a_session(small, tmp_path):
    small.add("read 0x400010 user port=data")
    with (tmp_path / "x.vcd").open("w") as file, small.session.write_vcd(file):
        states = small.run()
    wave = Waveform(tmp_path / "x.vcd")
    misses = [state.cycle for state in states if "data_miss" in state.events]
    assert misses == [cycle for cycle in range(len(states))
                      if wave.at(cycle, "bench.top.mmu.events.data.miss")]
