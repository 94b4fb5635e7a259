"""Running a workload on a machine, every value compared with a plain dictionary's."""

import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np

from ...model.address_space.errors import SysError
from ...model.kernel.kernel import Kernel
from ...model.kernel.swap.file import SwapFile
from ...model.x86 import PAGE_BYTES
from ..engine.base import Engine
from ..workloads.expected import Expected
from ..workloads.workload import Kmap, Refused, Window, Workload
from .assumed_costs import USUAL_COSTS, AssumedCosts
from .linux import LinuxKernel
from .machine import AccessFailed, Machine
from .workload_result import WorkloadResult

__all__ = ["mapped_page", "run_on", "run_workload", "set_huge_pages_aside"]

STEP = 1 << 14  # accesses between two reports of progress

Progress = Callable[[int, int], None]  # told how many accesses are done, and of how many


def run_on(
    kernel: Kernel, engine: Engine, workload: Workload, swap: SwapFile,
    progress: Progress = lambda _done, _total: None, costs: AssumedCosts = USUAL_COSTS,
    *, port: int = 0,
) -> WorkloadResult:
    """Run a workload on a machine with one swap area, and end its processes.

    ``kernel`` has booted and runs nothing yet; it gets the huge pages that the workload needs.
    ``engine`` has the kernel's paging mode, and its ``port`` is that of data. ``costs`` change
    nothing but the times in the result. Raise ``SysError`` if the workload cannot be mapped,
    ``AccessFailed``, ``OutOfMemory``, ``SwapError``; and ``BrokenInvariant`` if the kernel is not
    sound at the end.
    """
    started = perf_counter()
    kernel.swapon(swap)
    set_huge_pages_aside(kernel, workload)
    free = _free(kernel)
    linux = LinuxKernel(kernel, workload.regions, workload.processes)
    machine = Machine(engine, kernel.state.memory, linux, port=port)
    wrong = run_workload(machine, linux, workload, Expected(workload.regions, workload.processes),
                         progress)
    kernel.check()
    machine.invalidate(linux.exit())
    kernel.check()
    memory_bytes = len(kernel.state.memory) * PAGE_BYTES
    return WorkloadResult(memory_bytes, machine.counts, swap.counters, wrong, free - _free(kernel),
                          perf_counter() - started, costs)


def set_huge_pages_aside(kernel: Kernel, workload: Workload) -> None:
    """Have as many huge pages as a workload needs; raise ``SysError(ENOMEM)``."""
    wanted = workload.huge_bytes // kernel.space.huge_page_bytes
    if wanted and kernel.set_nr_hugepages(wanted) < wanted:
        raise SysError(errno.ENOMEM)


def _free(kernel: Kernel) -> int:
    """Return the free frames and slots; what the kernel keeps of its own counts as free."""
    state = kernel.state
    state.allocator.drain_all_pages()
    frames = sum(zone.free_pages for zone in state.allocator.populated)
    frames += sum(len(pool.free_list) << pool.order for pool in state.hugetlb.values())
    frames += sum(state.kernel_tables.tables) + len(state.thp.own_frames)
    return frames + state.swap.free_slots


def run_workload(
    machine: Machine, linux: LinuxKernel, workload: Workload, expected: Expected,
    progress: Progress = lambda _done, _total: None,
) -> int:
    """Carry out a workload; return how many values differ, and accesses that were not refused.

    Raise ``AccessFailed`` for an access that cannot be completed; ``OutOfMemory``.
    """
    wrong, done = 0, 0
    for position, event in workload.events:
        wrong += _differences(machine, workload, done, position, expected)
        done = position
        progress(done, len(workload.accesses))
        machine.invalidate(linux.happens(event))
        expected.happens(event)
        if isinstance(event, Refused):
            wrong += not _is_refused(machine, event)
        elif isinstance(event, Kmap):
            wrong += _kernel_differences(machine, linux, event, expected)
    for start in range(done, len(workload.accesses), STEP):
        progress(start, len(workload.accesses))
        wrong += _differences(machine, workload, start, start + STEP, expected)
    return wrong


def _differences(
    machine: Machine, workload: Workload, start: int, end: int, expected: Expected
) -> int:
    accesses = workload.accesses[start:end]
    return int(np.count_nonzero(machine.run(accesses) != expected.values(accesses)))


def _is_refused(machine: Machine, event: Refused) -> bool:
    try:
        machine.run(event.access)
    except AccessFailed as failure:
        return failure.signal == signal.SIGSEGV
    return False


def _kernel_differences(
    machine: Machine, linux: LinuxKernel, event: Kmap, expected: Expected
) -> int:
    """Make the accesses of the kernel to a process's page; return how many values differ."""
    accesses = event.accesses
    page = int(accesses["vaddr"][0]) & -PAGE_BYTES
    with mapped_page(machine, linux, int(accesses["process"][0]), page, event.window) as address:
        vaddr = accesses["vaddr"] - np.uint64(page) + np.uint64(address)
        values = machine.run_kernel(accesses, vaddr)
    return int(np.count_nonzero(values != expected.values(accesses)))


@contextmanager
def mapped_page(
    machine: Machine, linux: LinuxKernel, process: int, vaddr: int, window: Window
) -> Iterator[int]:
    """Give the kernel's own address of a process's page, which goes whatever happens meanwhile.

    Raise as ``LinuxKernel.kmap``.
    """
    mapping = linux.kmap(process, vaddr, window)
    try:
        machine.invalidate(mapping.invalidations)
        yield mapping.address
    finally:
        machine.invalidate(linux.kunmap(mapping))
