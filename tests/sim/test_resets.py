"""Hardware that is reset alone, at any time, while page-table memory goes on and responds later."""

import numpy as np
import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import X86_64, Cr4
from pagewalk.sim.engine import create
from pagewalk.sim.engine.command import Op, accesses, reset, wait
from pagewalk.sim.engine.memory_model import MemoryModel

from ..hdl.tables import Tables
from .engine_runs import CONFIGS, HARDWARE, VALUES

PAGES = 40


def program(rng, mode, ports):
    """Return page tables with flags set, and accesses among which there are resets."""
    tables = Tables(mode)
    shift = mode.levels[0].shift
    vaddrs = np.array([(number % 3 << shift) + 0x1000 * number for number in range(PAGES)], "u8")
    for number, vaddr in enumerate(vaddrs.tolist()):
        tables.map(vaddr, 0x10_0000 + 0x1000 * number)
    control = Control(tables.cr3, cr4=Cr4.PAE if mode is X86_64 else 0)
    parts = []
    for _ in range(120):
        count = int(rng.integers(1, 5))
        parts += [
            accesses(control, rng.choice(vaddrs, count), rng.integers(2, size=count),
                     port=rng.integers(ports, size=count)),
            wait(int(rng.integers(1, 70))), reset()]
    return tables.memory, np.concatenate([*parts, wait(100)])


@pytest.mark.slow
@pytest.mark.parametrize("engine", HARDWARE)
@pytest.mark.parametrize("config", ["x86_64-plru4", "x86_64-pool3", "ia32-fifo3"])
@pytest.mark.parametrize("seed", range(2))
def test_what_is_answered_is_answered_right_whenever_the_hardware_is_reset(engine, config, seed):
    """Responses overtake each other, memory and requesters are not always ready."""
    rng, config = default_rng(seed), CONFIGS[config]
    memory, commands = program(rng, config.mode, len(config.ports))
    surroundings = MemoryModel(latency=(1, 12), request_stall=0.2, answer_stall=0.2, seed=seed)
    expected = create("model", config).run(memory.copy(), commands).answers
    answers = create(engine, config, surroundings).run(memory.copy(), commands).answers
    asked = commands["op"] == Op.ACCESS
    lost = answers["lost"] == 1
    assert 20 < lost.sum() < asked.sum() - 20
    for name in VALUES:
        if name != "lost":
            assert (answers[name] == expected[name])[asked & ~lost].all(), name
