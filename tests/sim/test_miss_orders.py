"""Random attacks on request ports that go on behind misses: every answer is one of those permitted.

Pages change, operations invalidate, resets come at any time, as in ``test_attack.py``.
"""

from itertools import product

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.engine.amaranth import AmaranthEngine

from .attack import attack

SHAPES = {
    "full": {"entries": 2},
    "sets": {"entries": 4, "ways": 2, "large_entries": 1},
    "l2": {"entries": 2, "l2_entries": 16, "l2_ways": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize(("order", "hit_latency", "walkers"), [*product(
    ("request", "tag"), (0, 1, 2), (1, 4))])
def test_no_answer_is_illegal_with_several_misses(order, hit_latency, walkers):
    findings = []
    for number, (name, shape) in enumerate(SHAPES.items()):
        config = Config(mode=IA32 if name == "sets" else X86_64, walk_cache=2, misses=4,
                        order=order, hit_latency=hit_latency, walkers=walkers,
                        cancel=name == "l2", **shape)
        seed = 100 + 10 * number + hit_latency
        found, events, cycles = attack(config, seed, 1, length=250, make_engine=AmaranthEngine)
        print(f"{order}, {hit_latency}, {walkers}, {name}, seed {seed}: {cycles} cycles, {found}")
        assert events["fetch_miss"]
        assert events["data_miss"]
        findings.append(found)
    assert sum(found.accesses for found in findings) > 300
    assert sum(found.lost for found in findings) > 3
