"""Processes that fork and map memory between their accesses, through the MMU hardware."""

import numpy as np
import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.x86 import MODES
from pagewalk.sim.cosim import AccessFailed, Machine
from pagewalk.sim.engine import create
from pagewalk.sim.linux import LinuxKernel
from pagewalk.sim.workload import DATA_ACCESS, HEAP, Region

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
every_engine = pytest.mark.parametrize("engine", ["model", "cxxrtl"])
MIB, PAGE = 1 << 20, 4096
PAGES = 24
PRIVATE = MapFlag.ANONYMOUS | MapFlag.PRIVATE


class Running:
    """A kernel with one process at first; ``store`` and ``load`` are by a process's number."""

    def __init__(self, mode, engine, regions=()):
        self.linux = LinuxKernel(Kernel.boot(mode, 4 * MIB), regions)
        self.kernel = self.linux.kernel
        engine = create(engine, Config(mode=mode, entries=16, ports=("data",)))
        self.machine = Machine(engine, self.kernel.state.memory, self.linux)

    def _access(self, process, vaddr, store, value):
        self.machine.invalidate(self.kernel.state.tlb.take())
        access = np.array([(process, store, 8, vaddr, value)], DATA_ACCESS)
        return int(self.machine.run(access)[0])

    def store(self, process, vaddr, value):
        self._access(process, vaddr, True, value)

    def load(self, process, vaddr):
        return self._access(process, vaddr, False, 0)

    def fork(self, process):
        self.linux.processes.append(self.kernel.fork(self.linux.processes[process]))

    def mm(self, process):
        """Return the mappings of a process; what they change at once is its page tables."""
        return self.linux.processes[process].mm


@every_mode
@every_engine
@pytest.mark.parametrize("seed", range(2))
def test_forked_processes_share_pages_until_one_of_them_writes(mode, engine, seed):
    rng = default_rng(seed)
    running = Running(mode, engine, [Region(HEAP, PAGES)])
    free = free_pages(running.kernel)
    expected = [{}]
    for _ in range(600):
        process = int(rng.integers(len(expected)))
        if rng.random() < 0.02 and len(expected) < 5:
            running.fork(process)
            expected.append(dict(expected[process]))
            continue
        vaddr = HEAP + int(rng.integers(PAGES)) * PAGE + int(rng.integers(3)) * 8
        if rng.random() < 0.4:
            value = int(rng.integers(1 << 62))
            running.store(process, vaddr, value)
            expected[process][vaddr] = value
        else:
            assert running.load(process, vaddr) == expected[process].get(vaddr, 0)
    assert len(expected) == 5
    running.kernel.check()
    running.machine.invalidate(running.linux.exit())
    running.kernel.check()
    assert free_pages(running.kernel) >= free


@every_mode
@every_engine
def test_a_page_mapped_anew_is_empty_and_one_unmapped_is_gone(mode, engine):
    rng = default_rng(3)
    running = Running(mode, engine)
    contents = {}
    for number in range(300):
        if contents and rng.random() < 0.45:
            start = sorted(contents)[int(rng.integers(len(contents)))]
            assert running.load(0, start) == contents.pop(start)
            running.mm(0).munmap(start, 3 * PAGE)
            if rng.random() < 0.2:
                with pytest.raises(AccessFailed, match="Signal 11"):
                    running.load(0, start)
                return_to_life(running)
                contents.clear()
            continue
        start = running.mm(0).mmap(0, 3 * PAGE, Prot.READ | Prot.WRITE, PRIVATE)
        assert [running.load(0, start + page * PAGE) for page in range(3)] == [0, 0, 0]
        running.store(0, start, number + 1)
        contents[start] = number + 1
    running.kernel.check()


def return_to_life(running):
    """Put another process in the place of the one that the signal is to end."""
    running.kernel.exit(running.linux.processes[0])
    running.linux.processes[0] = running.kernel.spawn("again")
    running.machine.invalidate(running.linux.switch(0))


@every_mode
@every_engine
def test_a_page_made_read_only_refuses_stores_and_keeps_its_contents(mode, engine):
    running = Running(mode, engine, [Region(HEAP, 2)])
    running.store(0, HEAP, 7)
    running.mm(0).mprotect(HEAP, PAGE, Prot.READ)
    assert running.load(0, HEAP) == 7
    with pytest.raises(AccessFailed, match="Signal 11 at the store"):
        running.store(0, HEAP, 8)
    running.mm(0).mprotect(HEAP, PAGE, Prot.READ | Prot.WRITE)
    running.store(0, HEAP, 9)
    assert running.load(0, HEAP) == 9


def free_pages(kernel):
    kernel.state.allocator.drain_all_pages()
    return sum(zone.free_pages for zone in kernel.state.allocator.populated)
