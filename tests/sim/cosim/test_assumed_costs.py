"""What is measured of a run, and what is assumed."""

import json

from pagewalk.model.kernel.swap.disk import HARD_DISK, DiskCounters
from pagewalk.sim.cosim.assumed_costs import USUAL_COSTS, AssumedCosts
from pagewalk.sim.cosim.machine import Counts
from pagewalk.sim.cosim.workload_result import WorkloadResult

COSTS = AssumedCosts(fault_cycles=100, seek_ns=1000, page_ns=10, clock_mhz=2000)
COUNTS = Counts(accesses=1000, minor=10, major=2, cycles=1500)
DISK = DiskCounters(pages_in=2, pages_out=3, seeks=4, time_ns=4 * 1000 + 5 * 10)


def result(counts=COUNTS, costs=COSTS):
    return WorkloadResult(1 << 20, counts, DISK, wrong=0, leaked=0, seconds=1.0, costs=costs)


def test_what_is_assumed_goes_into_the_access_time_alone():
    run = result()
    assert run.mmu_cycles_per_access == 1.5
    assert (run.fault_cycles, run.disk_cycles) == (1200, 2 * DISK.time_ns)
    assert run.access_cycles == 1.5 + 1.2 + 8.1
    free = result(costs=AssumedCosts(0, 0, 0, 1))
    assert (free.fault_cycles, free.disk_cycles) == (0, 0)
    assert free.access_cycles == free.mmu_cycles_per_access == 1.5


def test_the_disk_is_by_default_the_one_that_swap_files_count_with():
    counters = DiskCounters(pages_in=5, pages_out=7, seeks=2)
    sequential = 10 * HARD_DISK.time_ns(sequential=True)
    assert USUAL_COSTS.of_disk(counters) == sequential + 2 * HARD_DISK.time_ns(sequential=False)
    assert USUAL_COSTS.of_faults(3) == 3000


def test_figures_say_which_of_them_are_assumed():
    figures = json.loads(json.dumps(result().as_json()))
    assert (figures["cycles"], figures["mmu_cycles_per_access"]) == (1500, 1.5)
    assert figures["disk_seeks"] == 4
    assert figures["assumed"] == {
        "costs": {"fault_cycles": 100, "seek_ns": 1000, "page_ns": 10, "clock_mhz": 2000},
        "fault_cycles": 1200, "disk_cycles": 8100, "access_cycles": 10.8}
    assert not {"access_cycles", "disk_ns"} & figures.keys()


def test_a_run_without_accesses_has_no_cycles_for_one():
    run = result(Counts())
    assert run.mmu_cycles_per_access == 0
    assert run.access_cycles == run.disk_cycles


def test_a_sentence_says_what_is_assumed():
    assert str(COSTS) == ("100 cycles for a page fault; 1,000 ns for a seek of the disk and 10 for "
                          "a page; 2,000 MHz; nothing for all else")
