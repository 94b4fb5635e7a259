"""The engine ``timing`` against hardware: the same outputs in every cycle, whatever happens.

``tests/benchmarks/timing_equal.py`` does the same for millions of cycles.
"""

from dataclasses import replace
from unittest.mock import patch

import pytest
from numpy.random import default_rng

from pagewalk.hdl.arbiter import WalkArbiter
from pagewalk.hdl.config import Config
from pagewalk.hdl.invalidate import Invalidator
from pagewalk.hdl.port import RequestPort
from pagewalk.hdl.walker import Walker
from pagewalk.model.mmu.control import Control
from pagewalk.model.mmu.timing.mmu_model import TurnModel
from pagewalk.model.mmu.timing.port_model import PortModel
from pagewalk.model.mmu.timing.timed_geometry import UnknownTiming
from pagewalk.model.mmu.timing.walker_model import WalkerModel
from pagewalk.model.x86 import IA32
from pagewalk.sim.engine import create
from pagewalk.sim.engine.command import accesses
from pagewalk.sim.engine.memory_model import MemoryModel
from pagewalk.sim.engine.timing import timed_geometry

from .. import planted
from ..attack import CONFIGS as ATTACKED
from ..attack import Attack, random_memory_model
from ..engine_runs import ASKS
from ..engine_runs import CONFIGS as RUN
from ..random_commands import Commands, random_memory
from .cycle_compare import Different, assert_same_cycles, assert_same_outcome


def is_known(config):
    """Return whether the model knows the timing of a configuration."""
    try:
        timed_geometry(config)
    except UnknownTiming:
        return False
    return True


KNOWN = {name: config for name, config in (ATTACKED | RUN).items() if is_known(config)}
FURTHER = {  # that no compiled engine is needed for
    "success": replace(KNOWN["ia32-tiny"], accessed="success"),
    "write": replace(KNOWN["ia32-tiny"], ad="write"),
    "fault": replace(KNOWN["x86_64-tiny"], ad="fault"),
    "registered": replace(KNOWN["ia32-tiny"], memory_response="registered"),
    "late": replace(KNOWN["x86_64-tiny"], hit_latency=2),
    "stages": replace(KNOWN["ia32-tiny"], walk_stages=2),
    "pool": replace(KNOWN["x86_64-tiny"], walkers=3, walk_cache=2),
    "pool-success": replace(KNOWN["ia32"], entries=2, walk_cache=1, walkers=2, accessed="success"),
    "l2-lru": replace(ATTACKED["ia32-l2-tiny"], misses=1),
    "l2-pool": replace(ATTACKED["x86_64-l2-tiny"], walkers=2, l2_policy="random"),
    "pool-asks": replace(KNOWN["x86_64-tiny"], walkers=2, **ASKS),
    "misses-in-order": replace(KNOWN["ia32-tiny"], misses=3, hit_latency=2, cancel=True),
    "misses-by-tag": replace(KNOWN["x86_64-sets8"], misses=2, order="tag", policy="lru"),
    "cancel": replace(KNOWN["ia32-tiny"], entries=4, cancel=True, policy="random"),
    "bare": replace(KNOWN["ia32-tiny"], walk_cache=0, hit_latency=0),
}
UNKNOWN = {"invalidation": "pulse", "prefetch": "next"}

slow = pytest.mark.slow


def attacked(config, seed, length):
    """Yield the memory, the commands and the memory model of an attack."""
    software = Attack(config, seed)
    return software.memory, software.program(length), random_memory_model(seed)


@slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("config", [*KNOWN.values(), *FURTHER.values()],
                         ids=[*KNOWN, *FURTHER])
def test_every_output_is_that_of_the_hardware_in_every_cycle(config, seed):
    memory, commands, model = attacked(config, seed, 80)
    print("seed", seed, model)
    engines = (create(name, config, model) for name in ("timing", "amaranth"))
    assert_same_cycles(*engines, memory, commands)


@slow
@pytest.mark.parametrize("name", KNOWN)
def test_runs_have_the_answers_cycles_and_events_of_the_compiled_hardware(name):
    config = KNOWN[name]
    for seed in (11, 12):
        print("seed", seed)
        memory, commands, model = attacked(config, seed, 1500)
        other = memory.copy()
        engines = [create(engine, config, model) for engine in ("timing", "cxxrtl")]
        for _ in range(2):  # memory and TLBs go on from one run to the next
            runs = [engine.run(one, commands)
                    for engine, one in zip(engines, (memory, other), strict=True)]
            assert_same_outcome(*runs)
            assert (memory.frames == other.frames).all()


@slow
@pytest.mark.parametrize("stop", ["stop_on_fault", "stop_on_unexpected"])
@pytest.mark.parametrize("name", KNOWN)
def test_runs_stop_where_those_of_the_hardware_do(name, stop):
    config, rng = KNOWN[name], default_rng(5)
    memory, cr3 = random_memory(rng, config)
    commands = Commands(rng, config, memory, cr3).make(200)
    commands["expect_fault"] = rng.random(len(commands)) < 0.7
    model = MemoryModel((1, 5), request_stall=0.2, answer_stall=0.2, error_rate=0.01, seed=6)
    engines = [create(engine, config, model) for engine in ("timing", "cxxrtl")]
    other = memory.copy()
    done = stops = 0
    while done < len(commands):
        runs = [engine.run(one, commands[done:], **{stop: True})
                for engine, one in zip(engines, (memory, other), strict=True)]
        assert_same_outcome(*runs)
        done += max(runs[0].done, 1)
        stops += runs[0].stopped
    assert stops > 3


# Errors of one cycle in the model: what is patched, and by what.
MODEL_ERRORS = {
    "a walk begins in the cycle of a drop": (
        WalkerModel, "accepts", lambda self, _drop: self._asked is None),
    "a drop takes a cycle less": (PortModel, "busy", property(lambda self: self._busy_for > 1)),
    "who waits is chosen anew": (TurnModel, "note", lambda _self, **_waits: None),
}
HARDWARE_ERRORS = {
    "a walk begins in the cycle of a drop": [
        (Walker, "_run",
         {"self.walk.req.ready.eq(~self.drop.valid)": "self.walk.req.ready.eq(1)"})],
    "an operation is accepted a cycle early": [
        (Invalidator, "elaborate", {"self.operation.ready.eq(self.idle & ~pending & ~self.busy)":
                                    "self.operation.ready.eq(self.idle & ~pending)"})],
    "requests come in the cycle of a drop": [
        (RequestPort, "_take_in", {"req.ready.eq(free & ~self.pause)": "req.ready.eq(free)"})],
    "who waits is chosen anew": [
        (WalkArbiter, "elaborate", {"with m.If(~waiting):": "with m.If(1):"})],
}
CAUGHT = range(1, 30)  # seeds, of which one must show it


def finds(config, run):
    """Return whether one of a few short attacks shows a difference, and the text that shows it."""
    for seed in CAUGHT:
        memory, commands, model = attacked(config, seed, 60)
        try:
            run(config, memory, commands, model)
        except (Different, AssertionError) as error:
            return str(error)
    return ""


def run_both(config, memory, commands, model):
    engines = (create(name, config, model) for name in ("timing", "amaranth"))
    assert_same_cycles(*engines, memory, commands)


@slow
@pytest.mark.parametrize("error", MODEL_ERRORS)
def test_an_error_of_a_cycle_in_the_model_is_shown(error):
    component, name, other = MODEL_ERRORS[error]
    with patch.object(component, name, other):
        text = finds(KNOWN["ia32"], run_both)
    assert "model " in text
    assert "hardware " in text


@slow
@pytest.mark.parametrize("error", HARDWARE_ERRORS)
def test_an_error_of_a_cycle_in_the_hardware_is_shown(error):
    with patch.dict(planted.PLANTS, {error: HARDWARE_ERRORS[error]}), planted.planted(error):
        text = finds(KNOWN["ia32"], run_both)
    assert "differ in cycle" in text


def test_all_that_the_model_is_said_to_know_it_knows():
    """Every sort of port, walker and second-level TLB, and every option but two."""
    assert len(KNOWN) >= 15
    configs = KNOWN.values()
    for option in ("ways", "l2_entries", "cancel", "rights", "probes", "checks", "dropped"):
        assert any(getattr(config, option) for config in configs), option
    assert {config.order for config in configs if config.misses > 1} == {"request", "tag"}
    assert {config.hit_latency for config in configs} == {0, 1, 2}
    assert {config.walkers > 1 for config in configs} == {False, True}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_configuration_that_is_not_known_is_refused_in_one_line(name):
    config = Config(mode=IA32, l2_entries=16, **{name: UNKNOWN[name]})
    with pytest.raises(UnknownTiming, match=f"{name}=.*, only {name}=") as refused:
        create("timing", config)
    assert "\n" not in str(refused.value)




def test_going_through_many_sets_is_no_stall():
    config = Config(mode=IA32, ports=("only",), l2_entries=4096, l2_ways=1)
    memory, cr3 = random_memory(default_rng(1), config)
    run = create("timing", config).run(memory, accesses(Control(cr3, efer=0), 0x1000))
    assert run.answers["accepted"][0] > 4000
