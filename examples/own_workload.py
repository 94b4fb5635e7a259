"""A workload of one's own on the co-simulation: hardware, page faults and swap included.

A program adds up a matrix by columns although it lies in memory by rows, so that each access is on
another page than the one before. Its pages are more than the machine has free. Every value that it
loads is compared with that in a plain dictionary.
"""

import tempfile
from pathlib import Path
from uuid import UUID

import numpy as np

from pagewalk.hdl.config import Config
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import PAGE_BYTES, X86_64
from pagewalk.sim.cosim.workload_run import run_on
from pagewalk.sim.engine import create
from pagewalk.sim.workloads.workload import DATA_ACCESS, Region, Workload

ROWS, COLUMNS = 150, 2  # a row is a page
START = 0x10_0000


def column_sums():
    """Return the workload: the matrix is filled by rows, then read by columns."""
    row, column = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    accesses = np.zeros(2 * ROWS * COLUMNS, DATA_ACCESS)
    fill, read = np.split(accesses, 2)
    fill["store"], fill["value"] = True, 1000 * row + column
    fill["vaddr"] = START + row * PAGE_BYTES + 8 * column
    read["vaddr"] = fill["vaddr"].reshape(ROWS, COLUMNS).T.reshape(-1)
    accesses["size"] = 8
    return Workload("column sums", 0, 1, (Region(START, ROWS),), accesses)


def main():
    """Run it on a machine of 2 Mbytes, in Amaranth's simulator."""
    workload = column_sums()
    kernel = Kernel.boot(X86_64, 2 << 20)
    engine = create("amaranth", Config(X86_64, ports=("data",), entries=4, walk_cache=2))
    with (tempfile.TemporaryDirectory() as folder,
          SwapFile.create(Path(folder) / "swap", 256, uuid=UUID(int=1)) as swap):
        result = run_on(kernel, engine, workload, swap)
    counts = result.counts
    print(f"{workload}: {result.wrong} wrong values")
    print(f"{counts.minor} minor and {counts.major} major faults; "
          f"{result.disk.pages_out} pages out, {result.disk.pages_in} in")


if __name__ == "__main__":
    main()
