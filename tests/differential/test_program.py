"""Programs as text, and what ``smaps`` says."""

import numpy as np
import pytest

from .generate import random_program
from .program import Arg, Base, Mapping, Outcome, Program, Step, parse_smaps


@pytest.mark.parametrize("seed", range(20))
def test_a_program_is_read_back_as_it_is_printed(seed):
    program = random_program(np.random.default_rng(seed), files=True)
    limits, *lines = str(program).splitlines()
    assert limits.startswith(f"memlock {program.memlock:#x}")
    assert Program.parse("\n".join(lines)).steps == program.steps
    assert random_program(np.random.default_rng(seed), files=True) == program


@pytest.mark.parametrize(("text", "arg"), {
    "0x10": Arg(16), "-1": Arg((1 << 64) - 1), "arena+0x1000": Arg(4096, Base.ARENA),
    "heap-0x1000": Arg((1 << 64) - 4096, Base.HEAP), "file+1": Arg(1, Base.FILE),
    "result 12+0": Arg(0, Base.RESULT + 12)}.items())
def test_arguments_are_numbers_or_places(text, arg):
    assert Arg.parse(text) == arg
    assert Arg.parse(str(arg)) == arg


def test_what_is_no_step_is_named():
    with pytest.raises(ValueError, match=r"^Step must be .*, not 'mmap'$"):
        Step.parse("mmap")
    with pytest.raises(ValueError, match=r"^Argument must be .*, not 'where\+1'$"):
        Step.parse("mmap(where+1)")


def test_programs_are_of_all_kinds():
    programs = [random_program(np.random.default_rng(seed), files=True) for seed in range(100)]
    names = {step.name for program in programs for step in program.steps}
    assert names == {"mmap", "munmap", "mprotect", "mremap", "madvise", "mlock", "mlock2",
                     "munlock", "msync", "brk", "mincore", "mlockall", "munlockall", "pread",
                     "pwrite", "ftruncate", "fallocate", "load", "loadb", "store", "storeb", "fork",
                     "exit", "show"}
    assert {program.uses_files for program in programs} == {True, False}
    assert not any(random_program(np.random.default_rng(seed), files=False).uses_files
                   for seed in range(100))


def test_the_figures_of_smaps_are_those_that_are_not_0():
    text = """7f00-8000 rw-p 00001000 fe:00 12   /a file
Rss:                   4 kB
Swap:                  0 kB
THPeligible:           1
VmFlags: rd wr mr
9000-a000 ---p 00000000 00:00 0
VmFlags: mr"""
    assert parse_smaps(text.splitlines()) == [
        Mapping(0x7f00, 0x8000, "rw-p", 0x1000, "/a file", frozenset(["rd", "wr", "mr"]),
                {"Rss": 4}),
        Mapping(0x9000, 0xa000, "---p", 0, "", frozenset(["mr"]), {})]


def test_outcomes_name_errors_and_signals():
    assert str(Outcome((1 << 64) - 12)) == "-ENOMEM, faults 0 minor 0 major"
    assert str(Outcome(signal=(11, 1, 4096), minor=2)) == (
        "signal 11 code 1 at 0x1000, faults 2 minor 0 major")
    assert str(Outcome(skipped=True)) == "passed over"
