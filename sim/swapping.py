"""A program larger than memory, through the MMU in Amaranth's simulator, and the same with room.

Its loads and stores go through the hardware; the kernel model handles the faults, and swaps to a
real file. Every value loaded is compared with a plain dictionary's.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from ..hdl.config import Config
from ..model.kernel.disk import DiskCounters
from ..model.kernel.kernel import Kernel
from ..model.kernel.swap_file import SwapFile
from ..model.x86 import X86_64
from .cosim import Counts, Machine
from .data_workloads import thrash
from .engine import create
from .expected import Expected
from .linux import LinuxKernel
from .workload import Workload

__all__ = ["MINOR_FAULT_CYCLES", "Swapping", "run_swapping", "swapping_workload"]

MIB = 1 << 20
SMALL, LARGE = 2 * MIB, 4 * MIB
FREE_FRAMES = 125  # of the small machine, beside the kernel's own
SWAP_PAGES = 1024
MINOR_FAULT_CYCLES = 1000
"""What the kernel's own work on a fault is taken to cost: about a microsecond at 1 GHz."""


@dataclass(frozen=True, slots=True)
class Swapping:
    """A run: ``wrong`` counts values that differ, ``disk`` is what the swap file has done."""

    memory_bytes: int
    counts: Counts
    disk: DiskCounters
    wrong: int

    @property
    def access_cycles(self) -> float:
        """The effective access time in cycles of 1 ns: MMU, handling of faults, and disk."""
        return (self.counts.access_time(MINOR_FAULT_CYCLES, MINOR_FAULT_CYCLES)
                + self.disk.time_ns / max(self.counts.accesses, 1))

    def as_json(self) -> dict[str, Any]:
        """Return the run as what ``json`` can write."""
        counts, disk = self.counts, self.disk
        return {
            "memory_bytes": self.memory_bytes, "accesses": counts.accesses, "wrong": self.wrong,
            "minor_faults": counts.minor, "major_faults": counts.major,
            "pages_in": disk.pages_in, "pages_out": disk.pages_out, "disk_ns": disk.time_ns,
            "cycles": counts.cycles, "access_cycles": round(self.access_cycles, 2),
            "events": dict(counts.events),
        }


def swapping_workload(seed: int = 1) -> Workload:
    """Return the program: random visits to four times as many pages as the small machine has."""
    return thrash(FREE_FRAMES, visits=600, burst=2, seed=seed)


def run_swapping(
    config: Config, latency: int, progress: Callable[[str, int, int], None]
) -> Mapping[str, Swapping]:
    """Run the program on a machine that is too small for it, and on one that is not.

    The hardware has the parameters ``config``, but for the mode and a single port. ``progress`` is
    called with what runs and the number of runs done and of all.
    """
    workload = swapping_workload()
    runs = {}
    for number, memory_bytes in enumerate((SMALL, LARGE)):
        name = f"{memory_bytes // MIB} MiB"
        progress(f"a program on {name}", number, 2)
        runs[name] = _run(replace(config, mode=X86_64, ports=("data",)), latency, workload,
                          memory_bytes)
    return runs


def _run(config: Config, latency: int, workload: Workload, memory_bytes: int) -> Swapping:
    with (tempfile.TemporaryDirectory(prefix="pagewalk-") as folder,
          SwapFile.create(Path(folder) / "swap", SWAP_PAGES, uuid=UUID(int=1)) as swap):
        kernel = Kernel.boot(config.mode, memory_bytes)
        kernel.swapon(swap)
        linux = LinuxKernel(kernel, workload.regions, workload.processes)
        machine = Machine(create("amaranth", config, latency), kernel.state.memory, linux)
        expected = Expected(workload.regions).values(workload.accesses)
        wrong = int(np.count_nonzero(machine.run(workload.accesses) != expected))
        kernel.check()
        return Swapping(memory_bytes, machine.counts, swap.counters, wrong)
