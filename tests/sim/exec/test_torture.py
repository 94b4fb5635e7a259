"""Programs that seeds choose: stores and faults of all kinds, forks, threads, signals, new code.

Each writes a hash after each step, which must be the native one.
"""

import shutil
from pathlib import Path

import pytest

from .native import compiled, natively, on_mmu

SOURCE = Path(__file__).with_name("torture.c")
OPTIONS = ("-O1", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie",
           "-static", "-msse2", "-mfpmath=sse", "-mstackrealign", "-fno-toplevel-reorder",
           "-fno-tree-loop-distribute-patterns")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++"),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The program, by its bits."""
    folder = tmp_path_factory.mktemp("torture")
    return {bits: compiled(folder / f"torture{bits}", SOURCE, f"-m{bits}", *OPTIONS)
            for bits in (32, 64)}


@pytest.mark.parametrize(("bits", "seed", "steps", "options"), [
    *((64, seed, 20, ("--engine", "model")) for seed in (1, 7, 12)),
    *((32, seed, 20, ("--engine", "model")) for seed in (2, 6)),
    (64, 16, 32, ("--engine", "model")),  # forks of forks
    (64, 3, 20, ("--engine", "cxxrtl", "--memory", "4")),
    (32, 3, 20, ("--engine", "cxxrtl", "--memory", "4")),
])
def test_a_program_of_a_seed(bits, seed, steps, options, programs):
    path = programs[bits]
    found = on_mmu(*options, path, seed, steps, "tell")
    expected = natively(path, seed, steps, "tell")
    assert found[0].decode().splitlines() == expected[0].decode().splitlines()
    assert found == expected
    assert found[0].count(b"\n") > steps - 2
