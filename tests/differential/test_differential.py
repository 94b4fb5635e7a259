"""Random programs come to the same on the model and on the kernel that the tests run on."""

import pytest

from .compare import first_difference, minimised
from .later import DIFFERENCES

pytestmark = pytest.mark.slow


def test_random_programs_come_to_the_same(worlds, request):
    first, count = (request.config.getoption(name) for name in ("first_seed", "programs"))
    print(f"programs of the seeds {first} to {first + count - 1}, files: {worlds.has_files}")
    calls = signals = faults = 0
    for seed in range(first, first + count):
        program = worlds.program(seed)
        difference = first_difference(program, worlds.run)
        if difference is not None:
            pytest.fail(f"Seed {seed}: {minimised(difference, worlds.run)}", pytrace=False)
        native, _ = worlds.run(program) if seed % 50 == 0 else ([], [])
        calls += len(program.steps)
        signals += sum(one.signal is not None for one in native)
        faults += sum(one.minor for one in native)
    print(f"{calls} calls and accesses")
    assert count < 50 or (signals and faults)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.what.strip("."))
def test_each_difference_of_later_kernels_is_there_and_is_allowed_for(worlds, difference):
    if worlds.host.release < difference.since:
        pytest.skip(f"Linux {difference.since[0]}.{difference.since[1]} brought it")
    run = worlds.run
    if difference.rule is not None:
        assert first_difference(difference.example, run) is None
        run = worlds.leaving_out(difference.what)
    assert first_difference(difference.example, run) is not None
