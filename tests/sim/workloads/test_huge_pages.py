"""Processes on huge pages, forked and copied on write, through the MMU hardware."""

from functools import partial
from uuid import UUID

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.address_space.errors import SysError
from pagewalk.model.kernel.hugetlb_entries import HugeEntries
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.x86 import IA32, PAGE_BYTES, InvalidateOp
from pagewalk.sim.cosim.linux import LinuxKernel
from pagewalk.sim.cosim.machine import AccessFailed, Machine
from pagewalk.sim.cosim.workload_run import run_on, run_workload, set_huge_pages_aside
from pagewalk.sim.engine import create
from pagewalk.sim.workloads.calling import churn, forking
from pagewalk.sim.workloads.expected import Expected
from pagewalk.sim.workloads.huge_pages import huge
from pagewalk.sim.workloads.memory_only import paged
from pagewalk.sim.workloads.workload import HUGE_BYTES, Exit, Fork, Kmap, Workload

every_mode = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
MIB = 1 << 20
MEMORY = 128 * MIB


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 64, uuid=UUID(int=1)) as file:
        yield file


def config(mode):
    return Config(mode=mode, entries=16, ports=("data",))


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("name", ["cxxrtl", "model"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_value_is_right_and_nothing_leaks(name, seed, mode, swap):
    made = huge(blocks=4, rounds=300, seed=seed)
    assert sum(isinstance(event, Fork) for _, event in made.events) > 10
    result = run_on(Kernel.boot(mode, MEMORY), create(name, config(mode)), made, swap)
    assert (result.wrong, result.leaked) == (0, 0)
    assert result.counts.accesses >= len(made.accesses)
    assert result.counts.minor > 100
    assert result.disk.pages_out == 0


@every_mode
@pytest.mark.slow
def test_the_simulator_of_amaranth_runs_them(mode, swap):
    made = huge(blocks=2, rounds=12, burst=4, seed=3)
    result = run_on(Kernel.boot(mode, MEMORY), create("amaranth", config(mode)), made, swap)
    assert result.agreed


@pytest.mark.slow
@every_mode
def test_huge_pages_take_huge_entries_of_the_tlb(mode, swap):
    made = huge(blocks=4, rounds=30, processes=1, seed=1)
    result = run_on(Kernel.boot(mode, MEMORY), create("cxxrtl", config(mode)), made, swap)
    events = result.counts.events
    assert events["data_hit_4m" if mode is IA32 else "data_hit_2m"] > 500
    assert events["data_hit_4k"] > 50


class Forgetful(LinuxKernel):
    """Has the hardware carry out no INVLPG."""

    def happens(self, event):
        return [one for one in super().happens(event) if one.op is not InvalidateOp.INVLPG]


def wrong(mode, swap, made, linux=LinuxKernel):
    """Run a workload on a machine; return how many values are wrong."""
    kernel = Kernel.boot(mode, MEMORY)
    kernel.swapon(swap)
    set_huge_pages_aside(kernel, made)
    behind = linux(kernel, made.regions, made.processes)
    machine = Machine(create("cxxrtl", config(mode)), kernel.state.memory, behind)
    return run_workload(machine, behind, made, Expected(made.regions))


@pytest.mark.slow
@every_mode
def test_invalidation_left_out_of_calls_is_noticed(mode, swap):
    made = huge(blocks=3, rounds=300, processes=1, seed=1)
    try:
        assert wrong(mode, swap, made, Forgetful) > 0
    except AccessFailed as error:
        pytest.fail(f"ended before it was noticed: {error}")


@pytest.mark.slow
@every_mode
def test_a_flush_left_out_by_the_kernel_is_noticed(mode, swap, tmp_path, monkeypatch):
    zap = HugeEntries.zap

    class Deaf:
        """A gather that forgets which entries changed."""

        def __init__(self, gather):
            self.remove_page = gather.remove_page

        def flush_entry(self, vaddr, page_bytes):
            pass

    made = huge(blocks=3, rounds=300, processes=1, seed=1)
    assert wrong(mode, swap, made) == 0
    monkeypatch.setattr(
        HugeEntries, "zap", lambda self, leaf, gather: zap(self, leaf, Deaf(gather)))
    with SwapFile.create(tmp_path / "other", 64, uuid=UUID(int=2)) as other:
        assert wrong(mode, other, made) > 0


TRANSPARENT = {  # and the Mbytes of memory
    "fork": (partial(forking, pages=5000, rounds=400), 24),
    "churn": (partial(churn, pages=5000, rounds=400), 32),
    "thrash": (partial(paged, "thrash", pages=9000, visits=12_000, burst=2, span=16), 24),
}


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("workload", TRANSPARENT)
def test_workloads_on_transparent_huge_pages_find_the_same(workload, mode, tmp_path):
    make, megabytes = TRANSPARENT[workload]
    made, kernel = make(seed=2), Kernel.boot(mode, megabytes * MIB)
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    with SwapFile.create(tmp_path / "swap", 1 << 15, uuid=UUID(int=1)) as swap:
        result = run_on(kernel, create("cxxrtl", config(mode)), made, swap)
    assert (result.wrong, result.leaked) == (0, 0)
    assert result.counts.events["data_hit_4m" if mode is IA32 else "data_hit_2m"] > 500
    assert (result.disk.pages_out > 0) == (workload != "churn")


@every_mode
def test_too_little_memory_for_the_huge_pages_is_said(mode, swap):
    run = partial(run_on, Kernel.boot(mode, 16 * MIB), create("model", config(mode)))
    with pytest.raises(SysError, match="ENOMEM"):
        run(huge(blocks=4, rounds=1), swap)


def test_the_same_seed_makes_the_same_workload():
    made, again, other = (huge(blocks=3, rounds=50, seed=seed) for seed in (1, 1, 2))
    assert (made.accesses == again.accesses).all()
    assert [event for _, event in made.events] == [event for _, event in again.events]
    assert not np.array_equal(made.accesses[: len(other.accesses)],
                              other.accesses[: len(made.accesses)])


@pytest.mark.parametrize("seed", range(4))
def test_it_needs_what_all_who_live_can_have(seed):
    made: Workload = huge(blocks=3, rounds=200, processes=4, seed=seed)
    private, shared, small = made.regions
    living = most = 1
    for _, event in made.events:
        living += isinstance(event, Fork) - isinstance(event, Exit)
        most = max(most, living)
    assert most <= 4
    assert made.huge_bytes == (3 * most + 1) * HUGE_BYTES
    assert made.footprint == made.huge_bytes // PAGE_BYTES + most * small.pages
    assert all(region.start % HUGE_BYTES == 0 for region in (private, shared))
    inside = (made.accesses["vaddr"] >= private.start) & (made.accesses["vaddr"] < small.end)
    assert inside.all()
    assert not any(isinstance(event, Kmap) for _, event in made.events)
