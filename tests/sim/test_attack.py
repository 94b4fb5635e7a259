"""A random attack on the hardware, every answer judged; and bugs put into it, which it finds.

``tests/benchmarks/attack.py`` does the same for as long as wanted.
"""

from collections import Counter

import pytest

from pagewalk.sim.engine.amaranth import AmaranthEngine
from pagewalk.sim.engine.command import Op

from .attack import CONFIGS, Attack, Found, attack, random_memory_model
from .planted import PLANTS, planted

pytestmark = pytest.mark.slow

TINY = [name for name in CONFIGS if name.endswith("tiny")]
SHORT = {"cycles": 1, "length": 250, "make_engine": AmaranthEngine}


@pytest.mark.parametrize("first", [1, 101])
@pytest.mark.parametrize("name", TINY)
def test_no_answer_is_illegal(name, first):
    events, findings = Counter(), []
    for seed in range(first, first + 2):
        found, counted, cycles = attack(CONFIGS[name], seed, 30_000)
        print(f"{name}, seed {seed}: {cycles} cycles, {found}")
        events.update(counted)
        findings.append(found)
    # Every sort of hit and miss, late answers, and what is lost: it was an attack.
    assert all(count for event, count in events.items() if event != "bus_errors")
    assert events["bus_errors"] > 20
    assert sum(found.lost for found in findings) > 20
    assert sum(found.stale for found in findings) > 100


BUGS = {  # seeds with which so short a program finds the bug
    "invlpg-drops-one-table": ("ia32-tiny", 3, 4),
    "fault-drops-when-idle": ("ia32-tiny", 9, 22),
    "late-response-is-used": ("ia32-tiny", 4, 5),
    "first-page-may-fault": ("ia32-sizes-tiny", 1, 2),
}


@pytest.mark.parametrize("bug", PLANTS)
def test_a_bug_put_into_the_hardware_is_found(bug):
    name, *seeds = BUGS[bug]
    config = CONFIGS[name]
    for seed in seeds:
        attack(config, seed, **SHORT)
        with planted(bug), pytest.raises(Found):
            attack(config, seed, **SHORT)


def test_every_kind_of_program_is_written():
    ops, models = Counter(), set()
    for seed in range(30):
        config = CONFIGS["ia32" if seed % 2 else "x86_64-tiny"]
        program = Attack(config, seed).program(400)
        ops.update(program["op"].tolist())
        assert program["port"].max() == len(config.ports) - 1
        models.add(random_memory_model(seed))
    assert set(ops) == {*Op} - {Op.DATA, Op.CONTROL, Op.CANCEL}
    assert len({(model.latencies, model.request_stall > 0, model.answer_stall > 0,
                 model.error_rate > 0) for model in models}) > 12
