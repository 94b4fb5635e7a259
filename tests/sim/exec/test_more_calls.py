"""System calls of programs of both kinds: what they return and store is what Linux does."""

import shutil
from pathlib import Path

import pytest

from .native import compiled, natively, on_mmu

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++"),
]
BARE = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie", "-static",
        "-idirafter", "/usr/include/x86_64-linux-gnu")


@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
@pytest.mark.parametrize("bits", [64, 32])
def test_calls_return_what_linux_returns(bits, engine, tmp_path):
    path = compiled(tmp_path / "program", HERE / "morecalls.c", f"-m{bits}", *BARE)
    folders = [tmp_path / name for name in ("mmu", "native")]
    for folder in folders:
        folder.mkdir()
    found = on_mmu("--engine", engine, path, folder=folders[0])
    assert not list(folders[0].iterdir())
    expected = natively(path, folder=folders[1])
    assert found[0].decode().splitlines() == expected[0].decode().splitlines()
    assert found == expected
    assert found[2] == 5
    assert found[0].count(b"\n") > 110
