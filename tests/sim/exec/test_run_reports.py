"""What is told of a run: files that cannot be written, and calls that there are not."""

import json
import shutil

import pytest

from .native import command, compiled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++"),
]
TIMER = """
#include <sys/time.h>
int main(void)
{
    struct itimerval every = {{1, 0}, {1, 0}};
    return setitimer(ITIMER_VIRTUAL, &every, 0) ? 3 : 0;
}
"""


@pytest.fixture
def timer(tmp_path):
    """A program that asks for a kind of timer that there is not."""
    source = tmp_path / "timer.c"
    source.write_text(TIMER)
    return compiled(tmp_path / "timer", source, "-static")


def test_what_is_followed_and_cannot_be_written(timer):
    output, error, status = command("--engine", "model", "--follow-to", "/dev/full", timer)
    assert (output, status) == (b"", 2)
    assert error == (b"pagewalk: error: /dev/full: cannot be written: No space left on device; "
                     b"expected a file name\n")


def test_calls_that_are_there_in_another_form_alone_are_counted(timer, tmp_path):
    figures = tmp_path / "figures"
    assert command("--engine", "model", "--json", figures, timer)[2] == 3
    assert json.loads(figures.read_text())["missing_calls"]["setitimer"] == 1
