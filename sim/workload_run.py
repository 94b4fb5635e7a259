"""Running a workload on a machine, every value compared with a plain dictionary's."""

import signal

import numpy as np

from .cosim import AccessFailed, Machine
from .expected import Expected
from .linux import LinuxKernel
from .workload import PAGE_BYTES, Kmap, Refused, Workload

__all__ = ["run_workload"]


def run_workload(
    machine: Machine, linux: LinuxKernel, workload: Workload, expected: Expected
) -> int:
    """Carry out a workload; return how many values differ, and accesses that were not refused.

    Raise ``AccessFailed`` for an access that cannot be completed; ``OutOfMemory``.
    """
    wrong, done = 0, 0
    for position, event in workload.events:
        wrong += _differences(machine, workload, done, position, expected)
        done = position
        machine.invalidate(linux.happens(event))
        expected.happens(event)
        if isinstance(event, Refused):
            wrong += not _is_refused(machine, event)
        elif isinstance(event, Kmap):
            wrong += _kernel_differences(machine, linux, event, expected)
    return wrong + _differences(machine, workload, done, len(workload.accesses), expected)


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
    with linux.kmap(int(accesses["process"][0]), page, event.local) as address:
        machine.invalidate(linux.kernel.state.tlb.take())
        vaddr = accesses["vaddr"] - np.uint64(page) + np.uint64(address)
        values = machine.run_kernel(accesses, vaddr)
    machine.invalidate(linux.kernel.state.tlb.take())
    return int(np.count_nonzero(values != expected.values(accesses)))
