"""Files of access vectors; options that make the random runs longer than a test run needs them."""

from pathlib import Path

import pytest

from pagewalk.model.x86 import LA57

DATA = Path(__file__).with_name("data")


@pytest.fixture(scope="session")
def vectors_file(tmp_path_factory):
    """Return the file of access vectors of the mode of that name.

    Those of 5-level paging are made here, by the emulator.
    """
    def file(name):
        if name != LA57.name:
            return DATA / f"vectors-{name}.npz"
        made = tmp_path_factory.getbasetemp() / "vectors-la57.npz"
        if not made.exists():
            from .oracle.write_vectors import write_vectors
            write_vectors(made, LA57, count=4000, seed=1)
        return made

    return file


def pytest_addoption(parser):
    parser.addoption("--accesses", type=int, default=200_000, metavar="N",
                     help="accesses, for each mode, while page tables change (%(default)s)")
    parser.addoption("--operations", type=int, default=300_000, metavar="N",
                     help="random operations of the buddy allocator (%(default)s)")
    parser.addoption("--programs", type=int, default=300, metavar="N",
                     help="programs that the kernel model and this machine's kernel both run "
                          "(%(default)s)")
    parser.addoption("--first-seed", type=int, default=0, metavar="SEED",
                     help="the seed of the first of them (%(default)s)")
    parser.addoption("--kernel-release", type=release, metavar="X.Y",
                     help="the release to take this machine's kernel for, known or not")


def release(text):
    """Return the two numbers of a release such as 6.18."""
    major, minor = text.split(".")
    return int(major), int(minor)
