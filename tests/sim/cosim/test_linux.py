"""Programs larger than memory, through the MMU hardware and with the kernel model behind it."""

from functools import partial
from uuid import UUID

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import InvalidateOp
from pagewalk.sim.cosim.linux import LinuxKernel
from pagewalk.sim.cosim.machine import AccessFailed, Machine
from pagewalk.sim.engine import create
from pagewalk.sim.workloads.expected import Expected
from pagewalk.sim.workloads.memory_only import paged, sharing, stack, thrash
from pagewalk.sim.workloads.workload import DATA_ACCESS

every_mode = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)

MIB = 1 << 20
ENTRIES = 16


class Running:
    """A kernel with a swap file, a workload's processes on it, and a machine that runs them."""

    def __init__(self, name, mode, megabytes, workload, swap, *, linux=LinuxKernel):
        self.workload = workload
        self.kernel = Kernel.boot(mode, megabytes * MIB)
        self.swap = swap
        self.kernel.swapon(swap)
        self.free = self.counted()
        self.linux = linux(self.kernel, workload.regions, workload.processes)
        engine = create(name, Config(mode=mode, entries=ENTRIES, ports=("data",)))
        self.machine = Machine(engine, self.kernel.state.memory, self.linux)
        self.expected = Expected(workload.regions)

    def counted(self):
        """Free frames and free slots of swap."""
        self.kernel.state.allocator.drain_all_pages()
        zones = self.kernel.state.allocator.populated
        return sum(zone.free_pages for zone in zones), self.kernel.state.swap.free_slots

    def differences(self, accesses):
        """Carry out accesses; count the values that differ from those of a plain dictionary."""
        return np.count_nonzero(
            self.machine.run(accesses) != self.expected.values(accesses))

    def end(self):
        """Load every word ever stored, end all processes, and see that nothing leaked."""
        wrong = self.differences(self.expected.sweep())
        self.kernel.check()
        self.machine.invalidate(self.linux.exit())
        self.kernel.check()
        assert self.counted() == self.free
        return wrong


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 5 * 4096, uuid=UUID(int=1)) as file:
        yield file


WORKLOADS = {
    "sequential": partial(paged, "sequential", pages=700, visits=1500, burst=2, span=16),
    "zipf": partial(paged, "zipf", pages=1500, visits=3000, burst=2, span=16),
    "thrash": partial(thrash, 250, visits=2000, burst=2, span=16),
    "stack": partial(stack, pages=600, calls=20_000),
    "sharing": partial(sharing, pages=400, slices=60, slice_visits=20, burst=4, span=16),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
@every_mode
@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_byte_is_lost_and_nothing_leaks(workload, mode, seed, swap):
    made = WORKLOADS[workload](seed=seed)
    running = Running("cxxrtl", mode, 2, made, swap)
    assert running.differences(made.accesses) == 0
    assert running.end() == 0
    counts = running.machine.counts
    processes = running.kernel.processes
    assert not processes
    assert counts.major > 20
    assert counts.major == swap.counters.pages_in
    assert counts.accesses > len(made.accesses)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4])
@every_mode
def test_shared_memory_survives_swapoff_in_the_middle(mode, seed, swap, tmp_path):
    made = sharing(pages=400, slices=60, slice_visits=20, burst=4, span=16, seed=seed)
    running = Running("cxxrtl", mode, 2, made, swap)
    kernel, half = running.kernel, len(made.accesses) // 2
    assert running.differences(made.accesses[:half]) == 0
    assert kernel.state.shmem.swapped > 100
    with SwapFile.create(tmp_path / "other", len(swap), uuid=UUID(int=2)) as other:
        kernel.swapon(other)
        with kernel.invalidations() as owed:
            kernel.swapoff(swap)
        running.machine.invalidate(owed)
        kernel.check()
        read = swap.counters.pages_in
        assert running.differences(made.accesses[half:]) == 0
        assert running.end() == 0
        assert (swap.counters.pages_in, other.counters.pages_in > 100) == (read, True)


@every_mode
@pytest.mark.parametrize("name", [
    "model", *(pytest.param(name, marks=pytest.mark.slow) for name in ("amaranth", "cxxrtl"))])
def test_every_engine_runs_the_kernel(mode, name, swap):
    made = thrash(125, visits=900, burst=1, span=16, seed=2)
    running = Running(name, mode, 2, made, swap)
    assert running.differences(made.accesses) == 0
    assert running.end() == 0
    assert running.machine.counts.major > 0


class Forgetful(LinuxKernel):
    """Has the hardware carry out no INVLPG."""

    def page_fault(self, vaddr, error_code):
        handled = super().page_fault(vaddr, error_code)
        kept = [one for one in handled.invalidations if one.op is not InvalidateOp.INVLPG]
        return type(handled)(handled.is_major, handled.signal, kept)


@pytest.mark.slow
@every_mode
def test_invalidation_left_out_is_noticed(mode, swap):
    made = thrash(250, visits=3000, burst=2, span=16, seed=3)
    running = Running("cxxrtl", mode, 2, made, swap, linux=Forgetful)
    try:
        assert running.differences(made.accesses) > 10
    except AccessFailed as error:
        pytest.fail(f"ended before it was noticed: {error}")


@every_mode
def test_a_process_outside_its_regions_gets_a_signal(mode, swap):
    running = Running("model", mode, 2, thrash(1, visits=1), swap)
    outside = np.array([(0, True, 8, 0x4000_0000, 1)], DATA_ACCESS)
    with pytest.raises(AccessFailed, match=r"^Signal 11 at the store to 0x40000000 of process 0$"):
        running.machine.run(outside)


@pytest.mark.slow
@every_mode
def test_five_million_accesses_with_a_working_set_of_four_times_memory(mode, swap):
    made = thrash(4096, visits=205_000, burst=25, seed=8)
    running = Running("cxxrtl", mode, 16, made, swap)
    assert running.differences(made.accesses) == 0
    assert len(made.accesses) > 5_000_000
    assert running.machine.counts.major > 100_000
    assert running.end() == 0
