"""Processes with more data than there is memory run through the MMU, and lose none."""

from copy import copy
from functools import partial

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.x86 import IA32, X86_64, Entry
from pagewalk.sim.cosim.machine import AccessFailed, Counts, Handled, Machine
from pagewalk.sim.engine import ENGINES, create
from pagewalk.sim.workloads.expected import Expected
from pagewalk.sim.workloads.memory_only import paged, sharing, stack, thrash
from pagewalk.sim.workloads.workload import DATA_ACCESS, Region

from ..tiny_kernel import SIGSEGV, Forgetful, TinyKernel

every_mode = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
every_engine = pytest.mark.parametrize("name", ENGINES)

ENTRIES = 16


def boot(name, mode, frames, workload, kernel=TinyKernel, **options):
    """Return a machine with a tiny kernel, and the kernel."""
    made = kernel(mode, frames, workload.regions, workload.processes, **options)
    engine = create(name, Config(mode=mode, entries=ENTRIES, ports=("data",)))
    return Machine(engine, made.memory, made), made


def differences(machine, workload, *, sweep=True):
    """Run a workload and load all of its memory; count the values that differ from a dict's."""
    expected = Expected(workload.regions)
    wrong = np.count_nonzero(
        machine.run(workload.accesses) != expected.values(workload.accesses))
    last = expected.sweep()
    return wrong + np.count_nonzero(machine.run(last) != expected.values(last)) if sweep else wrong


WORKLOADS = {
    "sequential": partial(paged, "sequential", pages=40, visits=90, burst=4, span=16),
    "random": partial(paged, "random", pages=40, visits=90, burst=4, span=16),
    "zipf": partial(paged, "zipf", pages=60, visits=120, burst=3, span=16),
    "hot": partial(paged, "hot", pages=30, visits=300, burst=2, span=16),
    "thrash": partial(thrash, 10, visits=80, burst=4, span=16),
    "stack": partial(stack, pages=14, calls=500),
    "sharing": partial(sharing, pages=12, slices=8, slice_visits=4, burst=4, span=16),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
@every_engine
@every_mode
@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_byte_is_lost(workload, mode, name, seed):
    made = WORKLOADS[workload](seed=seed)
    machine, kernel = boot(name, mode, 10, made)
    assert differences(machine, made) == 0
    counts = machine.counts
    assert counts.accesses > len(made.accesses)
    assert counts.major > 5
    assert counts.minor >= len(kernel.disk)
    assert (counts.cycles > 0) == (name != "model")
    assert (counts.switches > 2) == (made.processes > 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
@every_mode
def test_both_simulators_run_a_workload_in_the_same_cycles(mode, seed):
    made = sharing(pages=8, slices=6, slice_visits=4, burst=4, span=16, seed=seed)
    seen = []
    for name in ("amaranth", "cxxrtl"):
        machine, kernel = boot(name, mode, 6, made)
        values = machine.run(made.accesses).tolist()
        seen.append((values, machine.counts, kernel.memory.frames.tobytes()))
    assert seen[0] == seen[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
@every_mode
@pytest.mark.parametrize("with_pcid", [False, True])
def test_many_accesses_of_processes_that_share(mode, with_pcid, seed):
    made = sharing(pages=60, slices=200, span=64, seed=seed)
    with_pcid &= mode is X86_64
    machine, _ = boot("cxxrtl", mode, 64, made, with_pcid=with_pcid)
    assert differences(machine, made) == 0
    assert machine.counts.switches >= 400
    assert machine.counts.major > 1000


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("name", ["amaranth", "cxxrtl"])
def test_invalidation_left_out_is_noticed(mode, name):
    made = thrash(10, visits=200, burst=2, span=16, seed=5)
    machine, _ = boot(name, mode, 10, made, Forgetful)
    assert differences(machine, made, sweep=False) > 10


@pytest.mark.slow
def test_other_processes_need_invalidation_too():
    class Selfish(TinyKernel):
        def _invalidations(self, process, vaddr):
            return super()._invalidations(process, vaddr) if process == self.process else ()

    made = sharing(pages=6, slices=100, slice_visits=2, span=16, seed=6)
    machine, _ = boot("cxxrtl", X86_64, 8, made, Selfish)
    assert differences(machine, made, sweep=False) > 10
    machine, _ = boot("cxxrtl", IA32, 8, made, Selfish)
    assert differences(machine, made) == 0  # MOV CR3 invalidates all, for want of PCIDs


@pytest.mark.slow
@every_mode
def test_dirty_flags_left_out_are_noticed(mode):
    class Clean(TinyKernel):
        def _read(self, paddr):
            return super()._read(paddr) & ~Entry.D

    made = thrash(10, visits=100, span=16, seed=7)
    machine, _ = boot("cxxrtl", mode, 10, made, Clean)
    assert differences(machine, made) > 10


@pytest.mark.slow
@every_mode
def test_a_million_accesses_with_a_working_set_of_four_times_memory(mode):
    made = thrash(4096, visits=41_000, burst=25, seed=8)
    machine, _ = boot("cxxrtl", mode, 4096, made)
    assert differences(machine, made) == 0
    assert len(made.accesses) > 1_000_000
    assert machine.counts.major > 20_000
    assert machine.counts.accesses == len(made.accesses) + len(sweep_of(made))


@every_mode
def test_faults_of_many_accesses_are_not_those_of_one(mode):
    """Each run of the engine completes, and the next one begins with a fault."""
    made = paged("sequential", pages=3 * Machine.MOST_FAULTS, visits=3 * Machine.MOST_FAULTS,
                 burst=Machine.SHORTEST_WINDOW, span=16, seed=1)
    machine, _ = boot("model", mode, 4, made)
    assert differences(machine, made) == 0


def sweep_of(workload):
    expected = Expected(workload.regions)
    expected.values(workload.accesses)
    return expected.sweep()


def access(vaddr, *, store=False, size=8, value=0):
    return np.array([(0, store, size, vaddr, value)], DATA_ACCESS)


@pytest.fixture(params=ENGINES)
def machine(request):
    return boot(request.param, X86_64, 4, thrash(1, visits=1))


@pytest.mark.slow
def test_a_process_that_leaves_its_regions_gets_a_signal(machine):
    running, _ = machine
    with pytest.raises(AccessFailed, match=r"^Signal 11 at the store to 0x5000 of process 0$"):
        running.run(access(0x5000, store=True))
    assert running.counts == Counts(
        switches=1, invalidations=1, cycles=running.counts.cycles, events=running.counts.events)
    assert SIGSEGV == 11


@pytest.mark.slow
def test_an_address_that_is_not_canonical_is_no_page_fault(machine):
    running, _ = machine
    told = r"^Signal 11 at the load from 0x1000000000000 of process 0$"
    with pytest.raises(AccessFailed, match=told):
        running.run(access(1 << 48))


@pytest.mark.slow
def test_a_fault_that_stays_is_given_up(machine, monkeypatch):
    running, kernel = machine
    monkeypatch.setattr(kernel, "page_fault", lambda *_arguments: Handled())
    with pytest.raises(AccessFailed, match=(
            r"^8 page faults were handled in vain at the load from 0x10000000 of process 0$")):
        running.run(access(0x1000_0000))


@pytest.mark.slow
def test_accesses_before_one_that_fails_are_done(machine):
    running, kernel = machine
    wanted = np.concatenate([access(0x1000_0000, store=True, value=7), access(0x5000)])
    with pytest.raises(AccessFailed):
        running.run(wanted)
    assert running.counts.accesses == 1
    assert running.run(access(0x1000_0000)).tolist() == [7]
    assert kernel.memory.read(1 << 12, 8) == 7


@pytest.mark.slow
def test_no_accesses_are_no_work(machine):
    running, _ = machine
    running.run(access(0x1000_0000))
    counts = copy(running.counts)
    assert len(running.run(access(0)[:0])) == 0
    assert running.counts == counts


def test_effective_access_time():
    counts = Counts(accesses=1000, minor=10, major=2, cycles=1500)
    assert counts.access_time(0, 0) == 1.5
    assert counts.access_time(100, 10_000) == 1.5 + 1 + 20
    assert Counts().access_time(1, 1) == 0


def test_a_region_ends_behind_its_last_page():
    assert Region(0x1000, 2).end == 0x3000
