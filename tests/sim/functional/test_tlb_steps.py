"""What is counted, event for event as the hardware counts it.

The engine ``timing`` is quick to make and equal to the hardware; it has no second-level TLB yet,
which is compared with the hardware itself.
"""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.replacement import POLICIES
from pagewalk.model.x86 import IA32, LA57, X86_64

from .played import differences, hardware_counts, played, random_text

SHAPES = {
    "full": {"entries": 4, "walk_cache": 2},
    "plain": {"entries": 8, "ways": 2, "index": "plain", "large_entries": 2, "walk_cache": 4},
    "folded": {"entries": 16, "ways": 4, "large_entries": 2, "walk_cache": 1},
    "bare": {"entries": 2, "walk_cache": 0},
}
WAYS = {"touch": {}, "premapped": {"premapped": True}, "pcids": {"pcids": True},
        "huge": {"thp": True}}


def check(path, config, engine, options):
    run = played(path, config, **options)
    assert differences(run, hardware_counts(path, config, engine, **options)) == {}
    assert run.counts["walk_start"] > 20  # or there was nothing to compare
    return run


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("shape", "way"), [
    ("full", "touch"), ("full", "pcids"), ("plain", "huge"), ("plain", "pcids"),
    ("folded", "premapped"), ("folded", "touch"), ("bare", "touch")])
def test_one_level(tmp_path, policy, shape, way):
    path = random_text(tmp_path / "t", 600, seed=1)
    check(path, Config(policy=policy, **SHAPES[shape]), "timing", WAYS[way])


@pytest.mark.slow
@pytest.mark.parametrize("config", [
    Config(mode=IA32, entries=4, walk_cache=2),
    Config(mode=IA32, entries=4, ways=2, large_entries=1, walk_cache=2),
    Config(mode=LA57, entries=4, walk_cache=4, hit_latency=0),
    Config(mode=X86_64, entries=3, policy="fifo", walk_cache=2, hit_latency=2),
    Config(mode=X86_64, entries=4, walk_cache=2, walkers=2),
    Config(mode=X86_64, entries=4, walk_cache=4, walk_stages=2),
], ids=lambda one: f"{one.mode.name}-{one.ways}-{one.hit_latency}-{one.walkers}{one.walk_stages}")
@pytest.mark.parametrize("huge", [False, True])
def test_modes_and_walkers(tmp_path, config, huge):
    bits = 32 if config.mode is IA32 else 47
    path = random_text(tmp_path / "t", 600, seed=2, bits=bits)
    check(path, config, "timing", {"thp": huge})


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_two_levels_in_the_simulator(tmp_path, policy):
    path = random_text(tmp_path / "t", 250, seed=3, spaces=2)
    config = Config(entries=2, ways=1, policy=policy, large_entries=1, walk_cache=2, l2_entries=16,
                    l2_ways=2 if policy == "lru" else 4, l2_policy=policy)
    run = check(path, config, "amaranth", {"thp": policy == "fifo", "pcids": policy == "plru"})
    assert run.counts["l2_lookup"] > run.counts["l2_miss"]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_levels_compiled(tmp_path, way):
    config = Config(entries=16, ways=4, policy="lru", l2_entries=64, l2_ways=4, tag_bits=1)
    spaces = 1 if way == "touch" else 3  # docs/howto/trace.rst says what is not exact yet
    path = random_text(tmp_path / "t", 6000, seed=4, spaces=spaces)
    check(path, config, "cxxrtl", WAYS[way])
