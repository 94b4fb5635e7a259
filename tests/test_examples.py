"""Each program in examples/ runs, and says what it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"

# What each prints, as whole lines with single spaces; it may print more.
EXPECTED = {
    "buddyinfo.py": [
        "8 pages from frame 0x40000:",
        "Node 1, zone DMA32 0 0 0 1 0 0 1 1 1 1 255",
        "free again, but on a list of the processor: True",
        "as after boot, once that is drained: True",
    ],
    # Two cycles of the MMU, and eight of the memory: four entries are read, and get A.
    "design_with_mmu.py": ["linear 0x8040201678 is physical 0x1234678, after 10 cycles"],
    # Five pages in a loop, four entries: once MRU has filled them, about three of four hit.
    "own_policy.py": ["lru: 0 hits of 100", "mru: 72 hits of 100"],
    "own_workload.py": [
        "column sums: 600 accesses, 150 pages, 1 processes, seed 0: 0 wrong values",
        "150 minor and 300 major faults; 173 pages out, 300 in",
    ],
    "translate.py": [
        "PTE at 0x4fe0: 0x5005, now 0x5025",
        "read: physical address 0x52a8",
        "write: #PF, error code 0x7",
    ],
}


def test_every_example_is_run():
    assert sorted(EXPECTED) == sorted(path.name for path in FOLDER.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_says_what_it_should(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / name], capture_output=True, text=True,
        cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "utf-8"}, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert [line for line in EXPECTED[name] if line not in lines] == []
