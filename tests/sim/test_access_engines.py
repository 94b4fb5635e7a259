"""What a core around the MMU may choose: each engine does it as the golden model."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.engine import create

from .engine_runs import VALUES, assert_same, assert_same_runs, simulators
from .random_commands import Commands, random_memory

SMALL = {"entries": 4, "walk_cache": 2}
COMPILED = Config(mode=X86_64, **SMALL, accessed="success", ad="write", access_bytes=16)
SIMULATED = [Config(mode=mode, **SMALL, **rules) for mode in (X86_64, IA32)
             for rules in ({"ad": "fault"}, {"accessed": "success", "walkers": 3},
                           {"access_bytes": 16, "rights": True, "probes": True, "misses": 2})]


def assert_as_the_model(config, engine, seed, count, epochs=1):
    rng, golden = default_rng(seed), create("model", config)
    for _ in range(epochs):
        memory, cr3 = random_memory(rng, config)
        commands = Commands(rng, config, memory, cr3).make(count)
        golden_memory = memory.copy()
        expected = golden.run(golden_memory, commands).answers
        assert_same(engine.run(memory, commands).answers, expected, VALUES)
        assert (memory.frames == golden_memory.frames).all()
        assert expected["fault"].any()
        assert expected["second_paddr"].any() == (config.access_bytes > 0)


@pytest.mark.slow
@pytest.mark.parametrize("config", SIMULATED, ids=str)
def test_simulated_hardware_answers_as_the_model(config):
    assert_as_the_model(config, create("amaranth", config, 2), 50, 240)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [51, 52])
def test_compiled_hardware_answers_as_the_model(seed):
    assert_as_the_model(COMPILED, create("cxxrtl", COMPILED, 3), seed, 400, 8)


@pytest.mark.slow
def test_simulators_agree_in_every_cycle():
    rng = default_rng(53)
    memory, cr3 = random_memory(rng, COMPILED)
    engines, memories = simulators(COMPILED, 2, memory)
    assert_same_runs(engines, memories, Commands(rng, COMPILED, memory, cr3).make(160))
