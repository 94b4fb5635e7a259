import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import X86_64
from pagewalk.sim.engine.memory_model import MemoryModel
from pagewalk.sim.engine.patience import patience

from ..machine import Machine


def test_sets_that_are_swept_take_time():
    memory = MemoryModel()
    assert patience(Config(), memory) >= memory.stall_limit
    more = patience(Config(l2_entries=2048, l2_ways=2, entries=512, ways=2), memory)
    assert more - patience(Config(), memory) == 2 * 1024 + 256


@pytest.mark.slow
def test_a_second_level_of_many_sets_is_no_stall_after_a_reset():
    machine = Machine(X86_64, entries=2, walk_cache=0, l2_entries=256, l2_ways=1)
    assert machine.read(0).error == 0  # nothing is mapped
