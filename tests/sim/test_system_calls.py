"""System calls whose copies go through the MMU hardware, like the loads and stores around them."""

from uuid import UUID

import numpy as np
import pytest

from pagewalk.model.kernel.swap_file import SwapFile
from pagewalk.model.x86 import MODES

from .call_worlds import PAGE, Golden, Hardware, Plain, Program

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def content(pages, seed):
    return np.random.default_rng(seed).bytes(pages * PAGE)


def differences(world, program):
    """Take the steps of a program; return those with another result than dictionaries have."""
    wrong = []
    for (what, arguments), expected in zip(program.steps, program.results, strict=True):
        found = getattr(world, what)(*arguments)
        if found != expected:
            wrong.append((what, arguments, found, expected))
    return wrong


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 2048, uuid=UUID(int=1)) as file:
        yield file


@pytest.mark.parametrize("seed", [1, 2])
@every_mode
@pytest.mark.parametrize("world", ["golden", "model", "cxxrtl"])
def test_calls_and_accesses_see_the_same_memory(world, mode, seed, swap):
    start = content(20, seed)
    program = Program(Plain(mode, start), 500, seed).make(3000)
    made = (Golden(mode, start, swap) if world == "golden"
            else Hardware(mode, start, swap, world))
    assert differences(made, program) == []
    first = next(iter(made.kernel.processes.values()))
    assert first.maj_flt > 20
    assert any(result < 0 for result in program.results)
    assert made.end() == bytes(program.plain.content)
