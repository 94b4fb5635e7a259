"""What a page permits: the batch of walks says it as each walk does."""

import numpy as np
import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.batch import FrameSource, walk_batch
from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import MODES
from pagewalk.sim.engine.answer import PAGE_RIGHTS
from pagewalk.sim.engine.page_rights import batch_page_rights, page_rights

from ...model.mmu.scalar import random_accesses, random_controls, random_memory, rows_of


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("seed", range(3))
def test_the_rights_of_many_walks_are_those_of_each(mode, seed):
    rng = default_rng(seed)
    memory, cr3 = random_memory(rng, mode, 40)
    control, accesses = random_controls(rng, mode, cr3, 200), random_accesses(rng, mode, 200)
    walks = walk_batch(FrameSource(memory.copy(), mode), mode, control, accesses, steps=True)
    found = batch_page_rights(Config(mode=mode, rights=True), walks, control.cr4)
    assert tuple(found) == PAGE_RIGHTS
    met = set()
    for row, asked in enumerate(rows_of(control, accesses)):
        one = walk(memory, mode, *asked)
        expected = dict.fromkeys(PAGE_RIGHTS, 0) if one.fault else page_rights(one)
        assert {name: int(values[row]) for name, values in found.items()} == expected
        met.update(expected.items())
    assert len(met) > 8


def test_without_steps_nothing_is_known():
    rng = default_rng(3)
    mode = MODES["ia32"]
    memory, cr3 = random_memory(rng, mode, 40)
    control, accesses = random_controls(rng, mode, cr3, 3), random_accesses(rng, mode, 3)
    walks = walk_batch(FrameSource(memory, mode), mode, control, accesses)
    assert batch_page_rights(Config(mode=mode), walks, np.zeros(3)) == {}
