"""The program larger than memory, on a quick engine."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.sim.cosim import swapping
from pagewalk.sim.cosim.swapping import run_swapping, swapping_workload
from pagewalk.sim.engine import create
from pagewalk.sim.workloads.expected import Expected


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(swapping, "create",
                        lambda _name, config, latency: create("model", config, latency))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_small_machine_swaps_and_the_large_one_does_not():
    steps = []
    small, large = run_swapping(Config(), 1, lambda *step: steps.append(step)).values()
    assert (small.wrong, large.wrong) == (0, 0)
    assert small.counts.major == small.disk.pages_in > 20
    assert small.disk.pages_out > 20
    assert large.counts.major == large.disk.pages_in == large.disk.pages_out == 0
    assert small.access_cycles > 100 * large.access_cycles > small.costs.fault_cycles
    assert [done for _, done, _ in steps] == [0, 1]


@pytest.mark.usefixtures("quick")
def test_a_wrong_value_is_counted(monkeypatch):
    values = Expected.values

    def spoiled(self, accesses):
        found = values(self, accesses)
        found[7] ^= 1
        return found

    monkeypatch.setattr(Expected, "values", spoiled)
    assert [run.wrong for run in run_swapping(Config(), 1, lambda *_step: None).values()] == [1, 1]


@pytest.mark.usefixtures("quick")
def test_the_figures_are_written_by_name():
    figures = next(iter(run_swapping(Config(), 1, lambda *_step: None).values())).as_json()
    assert figures["accesses"] == len(swapping_workload().accesses)
    assert {"minor_faults", "major_faults", "pages_in", "pages_out"} <= set(figures)
