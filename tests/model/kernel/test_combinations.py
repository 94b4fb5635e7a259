"""All that the kernel does, at once: huge and shared pages, files, locks, advice, and bad swap."""

import pytest

from pagewalk.model.kernel.tlb_flush import MmuGather

from .combinations import Combinations
from .machines import MODES
from .sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
seeds = pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])


@pytest.fixture
def devices(tmp_path):
    found = [flaky_swap(tmp_path, f"swap{number}", 1500) for number in range(2)]
    yield found
    for device in found:
        device.close()


@pytest.mark.slow
@both
@seeds
def test_all_agrees_with_dictionaries(mode, seed, devices):
    world = Combinations(mode, seed, devices)
    world.run(400)
    world.finish()
    assert sum(device.counters.pages_out for device in devices) > 20


@pytest.mark.slow
@both
@seeds
def test_swap_that_fails_loses_nothing(mode, seed, devices):
    world = Combinations(mode, seed, devices, failing=0.05)
    world.run(400)
    world.finish()
    assert world.errors + world.kernel.state.page_ops.write_errors > 0


@pytest.mark.slow
@both
@seeds
def test_flushes_left_out_are_noticed(mode, seed, devices, monkeypatch):
    monkeypatch.setattr(MmuGather, "flush_entry", lambda *_arguments: None)
    world = Combinations(mode, seed, devices)
    with pytest.raises(AssertionError):
        world.run(400)
