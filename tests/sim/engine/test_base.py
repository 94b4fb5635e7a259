"""When an engine gives up, and when it has to wait."""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import IA32, X86_64, InvalidateOp
from pagewalk.sim.engine import create
from pagewalk.sim.engine.base import stall_limit
from pagewalk.sim.engine.command import accesses, invalidation, wait
from pagewalk.sim.engine.memory_model import MemoryModel

from ...hdl.tables import Tables

SETS = 256
CONFIG = Config(IA32, ports=("only",), entries=1, walk_cache=0, l2_entries=4 * SETS)


def test_an_engine_waits_for_a_sweep_behind_another():
    assert stall_limit(CONFIG, MemoryModel(7)) == 170 + 4 * SETS
    assert stall_limit(Config(entries=1024, ways=4), MemoryModel()) == 110 + 2 * 256


@pytest.mark.slow
def test_what_goes_through_all_sets_is_no_stall():
    tables = Tables(IA32)
    tables.map(0x1234_5000, 0x9000)
    control = Control(tables.cr3, cr4=0, efer=0)
    drops = [invalidation(control, op) for op in (InvalidateOp.MOV_CR3, InvalidateOp.INVPCID_ALL)]
    one = accesses(control, 0x1234_5000)
    run = create("amaranth", CONFIG).run(tables.memory, np.concatenate([one, *drops, one, one]))
    assert run.cycles > 2 * SETS  # after the reset, and for the operations
    assert run.answers["hit"].tolist() == [0, 0, 0, 0, 1]
    assert run.answers["paddr"][-1] == 0x9000


@pytest.mark.slow
def test_a_walk_ahead_may_outlast_the_run_that_began_it():
    """Its accesses are taken in later runs, and an operation that waits for it is carried out."""
    tables = Tables(X86_64)
    tables.map(0x1234_0000, 0x9000)
    tables.map(0x1234_1000, 0xA000)
    control = Control(tables.cr3, cr4=0, efer=0)
    config = Config(entries=2, walk_cache=0, l2_entries=16, prefetch="next")
    engine = create("amaranth", config)
    one = accesses(control, 0x1234_0000)
    for cycles in range(1, 30):
        assert engine.run(tables.memory, np.append(one, wait(cycles))).answers["paddr"][0] == 0x9000
        assert engine.run(tables.memory, invalidation(control, InvalidateOp.MOV_CR3)).done == 1
