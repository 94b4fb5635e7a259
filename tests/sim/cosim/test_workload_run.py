"""Processes that fork, map memory and share pages with the kernel, through the MMU hardware."""

from functools import partial
from uuid import UUID

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.address_space.kernel_half.kmap import Pkmap
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.kernel_space import KernelSpace
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import IA32, InvalidateOp
from pagewalk.sim.cosim.linux import LinuxKernel
from pagewalk.sim.cosim.machine import AccessFailed, Machine
from pagewalk.sim.cosim.workload_run import mapped_page, run_workload
from pagewalk.sim.engine import create
from pagewalk.sim.workloads.calling import churn, forking, kmapping
from pagewalk.sim.workloads.expected import Expected
from pagewalk.sim.workloads.memory_only import HEAP
from pagewalk.sim.workloads.workload import DATA_ACCESS, Fork, Refused, Region, Window, Workload

every_mode = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
MIB = 1 << 20

WORKLOADS = {  # and the Mbytes of memory
    "fork": (partial(forking, pages=300, rounds=500), 2),
    "churn": (partial(churn, pages=400, rounds=1000), 2),
    "kmap": (partial(kmapping, pages=1500, visits=6000), 1024),
}


class Running:
    """A kernel with a swap file, the process of a workload on it, and a machine that runs it."""

    def __init__(self, name, mode, megabytes, workload, swap, *, linux=LinuxKernel):
        self.workload, self.swap = workload, swap
        self.kernel = Kernel.boot(mode, megabytes * MIB)
        self.kernel.swapon(swap)
        self.free = self.counted()
        self.linux = linux(self.kernel, workload.regions, workload.processes)
        engine = create(name, Config(mode=mode, entries=16, ports=("data",)))
        self.machine = Machine(engine, self.kernel.state.memory, self.linux)
        self.expected = Expected(workload.regions)

    def counted(self):
        """Free frames and slots; the kernel's own tables stay, and are counted as free."""
        state = self.kernel.state
        state.allocator.drain_all_pages()
        free = sum(zone.free_pages for zone in state.allocator.populated)
        return free + sum(state.kernel_tables.tables), state.swap.free_slots

    def run(self):
        return run_workload(self.machine, self.linux, self.workload, self.expected)

    def end(self):
        """Load every word that was stored and not given up, end all, and see that nothing leaked.
        """
        sweep = self.expected.sweep()
        assert len(sweep)
        assert (self.machine.run(sweep) == self.expected.values(sweep)).all()
        self.kernel.check()
        self.machine.invalidate(self.linux.exit())
        self.kernel.check()
        assert self.counted() == self.free


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 2048, uuid=UUID(int=1)) as file:
        yield file


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_value_is_right_and_nothing_leaks(workload, mode, swap):
    make, megabytes = WORKLOADS[workload]
    running = Running("cxxrtl", mode, megabytes, make(seed=4), swap)
    assert running.run() == 0
    running.end()
    assert (running.machine.counts.major > 10) == (workload != "kmap")


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("name", ["model", "amaranth"])
@pytest.mark.parametrize("make", [
    partial(forking, pages=8, rounds=20), partial(churn, pages=12, rounds=30),
    partial(kmapping, pages=8, visits=12)], ids=["fork", "churn", "kmap"])
def test_every_engine_runs_them(make, mode, name, swap):
    running = Running(name, mode, 4, make(seed=5), swap)
    assert running.run() == 0
    running.end()


@pytest.mark.slow
def test_kmap_makes_the_window_go_round_in_highmem(swap):
    make, megabytes = WORKLOADS["kmap"]
    running = Running("model", IA32, megabytes, make(seed=6), swap)
    flushed = []
    flush_unused = Pkmap.flush_unused

    class Watched(Pkmap):
        def flush_unused(self):
            flushed.append(len(self._pages))
            flush_unused(self)

    kernel = running.kernel
    kernel.map.pkmap = Watched(kernel.layout, kernel.kernel_space)
    assert running.run() == 0
    assert max(flushed) == 1023


class Forgetful(LinuxKernel):
    """Has the hardware carry out no INVLPG for calls, and no flush for fork."""

    def happens(self, event):
        wanted = super().happens(event)
        if isinstance(event, Fork):
            return []
        return [one for one in wanted if one.op is not InvalidateOp.INVLPG]


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("make", [
    partial(forking, pages=8, rounds=300), partial(churn, pages=12, rounds=300)],
    ids=["fork", "churn"])  # so few pages that they stay in the TLB
def test_invalidation_left_out_of_calls_is_noticed(make, mode, swap):
    running = Running("cxxrtl", mode, 4, make(seed=4), swap, linux=Forgetful)
    try:
        assert running.run() > 0
    except AccessFailed as error:
        pytest.fail(f"ended before it was noticed: {error}")


@pytest.mark.slow
def test_a_window_of_kmap_that_is_not_flushed_is_noticed(swap, monkeypatch):
    make, megabytes = WORKLOADS["kmap"]
    running = Running("cxxrtl", IA32, megabytes, make(seed=4), swap)
    monkeypatch.setattr(KernelSpace, "flush_range", lambda _self, _start, _end: None)
    assert running.run() > 0


def vmapping(mode, swap):
    """A machine whose vmalloc uses addresses again after 16 Kbytes, and so soon."""
    running = Running("cxxrtl", mode, 4, kmapping(pages=30, visits=400, seed=4), swap)
    running.kernel.map.vmalloc._lazy_max = 16 << 10
    return running


@pytest.mark.slow
@every_mode
def test_addresses_of_vmap_are_used_again_once_they_are_flushed(mode, swap):
    running = vmapping(mode, swap)
    assert running.run() == 0
    start, end = running.kernel.layout.vmalloc.start, running.kernel.layout.vmalloc.end
    assert running.kernel.map.vmalloc.lazy[-1][1] - start <= 32 << 10 < end - start
    running.end()


@pytest.mark.slow
@every_mode
def test_vmap_without_its_flush_is_noticed(mode, swap, monkeypatch):
    running = vmapping(mode, swap)
    monkeypatch.setattr(KernelSpace, "flush_range", lambda _self, _start, _end: None)
    assert running.run() > 0


@every_mode
def test_a_process_that_was_killed_makes_no_more_accesses(mode, swap):
    regions = (Region(HEAP, 400),)
    store = np.zeros(400, DATA_ACCESS)
    store["process"], store["store"], store["size"] = 1, True, 8
    store["vaddr"] = HEAP + 4096 * np.arange(400)
    running = Running("model", mode, 2, Workload("two", 0, 2, regions, store), swap)
    running.kernel.swapoff(0)
    with pytest.raises(AccessFailed, match=r"^Signal 9 at the store to"):
        running.machine.run(store)
    store["process"] = 0
    running.machine.run(store[:1])
    store["process"] = 1
    for _ in range(2):
        with pytest.raises(AccessFailed, match=r"^The process has ended at the store") as info:
            running.machine.run(store[:1])
        assert info.value.signal == 9
    with pytest.raises(ProcessLookupError):
        running.linux.happens(Fork(1))
    running.kernel.check()


@pytest.mark.parametrize("is_mapped", [False, True])
def test_an_access_that_is_not_refused_is_counted(is_mapped, swap):
    access = np.array([(0, True, 8, HEAP, 1)], DATA_ACCESS)
    regions = (Region(HEAP, 1),) if is_mapped else ()
    made = Workload("one", 0, 1, regions, access[:0], ((0, Refused(access)),))
    assert Running("model", IA32, 2, made, swap).run() == is_mapped


@pytest.mark.slow
@pytest.mark.parametrize("window", Window, ids=lambda window: window.value)
def test_a_page_that_kmap_gave_is_given_back_whatever_happens(window, swap):
    make, megabytes = WORKLOADS["kmap"]
    running = Running("model", IA32, megabytes, make(seed=1), swap)
    access = running.workload.accesses[:1]
    with (pytest.raises(AccessFailed, match=r"^The kernel's own #PF at"),
          mapped_page(running.machine, running.linux, 0, HEAP, window) as address):
        running.machine.run_kernel(access, np.array([address ^ 1 << 31], np.uint64))
    running.machine.invalidate(running.linux.exit())
    running.kernel.check()
    assert running.counted() == running.free
    assert running.kernel.map._local[0].depth == 0
    assert max(running.kernel.map.pkmap.counts) <= 1
    assert running.kernel.map.vmalloc.areas == []
