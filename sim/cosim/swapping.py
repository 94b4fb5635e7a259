"""A program larger than memory, through the MMU in Amaranth's simulator, and the same with room.

Its loads and stores go through the hardware; the kernel model handles the faults, and swaps to a
real file. Every value loaded is compared with a plain dictionary's.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from ...hdl.config import Config
from ...model.kernel.kernel import Kernel
from ...model.kernel.swap.file import SwapFile
from ...model.x86 import X86_64
from ..engine import create
from ..workloads.memory_only import thrash
from ..workloads.workload import Workload
from .assumed_costs import USUAL_COSTS, AssumedCosts
from .workload_result import WorkloadResult
from .workload_run import run_on

__all__ = ["run_swapping", "swapping_workload"]

MIB = 1 << 20
SMALL, LARGE = 2 * MIB, 4 * MIB
FREE_FRAMES = 125  # of the small machine, beside the kernel's own
SWAP_PAGES = 1024


def swapping_workload(seed: int = 1) -> Workload:
    """Return the program: random visits to four times as many pages as the small machine has."""
    return thrash(FREE_FRAMES, visits=600, burst=2, seed=seed)


def run_swapping(
    config: Config, latency: int, progress: Callable[[str, int, int], None],
    costs: AssumedCosts = USUAL_COSTS,
) -> Mapping[str, WorkloadResult]:
    """Run the program on a machine that is too small for it, and on one that is not.

    The hardware has the parameters ``config``, but for the mode and a single port. ``progress`` is
    called with what runs and the number of runs done and of all. ``costs`` are for the result.
    """
    workload = swapping_workload()
    config = replace(config, mode=X86_64, ports=("data",))
    runs = {}
    for number, memory_bytes in enumerate((SMALL, LARGE)):
        name = f"{memory_bytes // MIB} MiB"
        progress(f"a program on {name}", number, 2)
        with (tempfile.TemporaryDirectory(prefix="pagewalk-") as folder,
              SwapFile.create(Path(folder) / "swap", SWAP_PAGES, uuid=UUID(int=1)) as swap):
            runs[name] = run_on(Kernel.boot(config.mode, memory_bytes),
                                create("amaranth", config, latency), workload, swap,
                                costs=costs)
    return runs
