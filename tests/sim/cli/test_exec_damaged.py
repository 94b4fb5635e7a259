"""Damaged programs: each runs, ends by a signal or is refused in one line; never a traceback."""

import os
import random
import shutil

import pytest

from pagewalk.sim.cli.main import main

from ..exec.native import compiled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++"),
]
SOURCE = """
static char zeros[9000];
static int data[2000] = {1, 2, 3};
void _start(void)
{
    for (int at = 0; at < 9000; at += 100)
        zeros[at] = data[at % 2000];
#ifdef __x86_64__
    __asm__ volatile("syscall" : : "a"(231), "D"(zeros[100] + 5));
#else
    __asm__ volatile("int $0x80" : : "a"(252), "b"(zeros[100] + 5));
#endif
    for (;;) ;
}
"""
ODD = (0, 1, 0xFFF, 0x1000, 1 << 31, (1 << 32) - 1, 1 << 47, (1 << 47) - 4096, (1 << 63) - 1,
       (1 << 64) - 1)
COUNT = int(os.environ.get("PAGEWALK_EXAMPLES", "60"))


def damaged(whole, header, rng):
    """A program with bytes and words of its headers changed, code changed, or its end cut off."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        kind, top = rng.random(), min(header, len(data) - 8)
        if kind < 0.6:
            data[rng.randrange(top)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        elif kind < 0.75:
            at = rng.randrange(0, top, 4)
            data[at : at + 8] = rng.choice(ODD).to_bytes(8, "little")
        elif kind < 0.9:
            data[rng.randrange(len(data))] = rng.randrange(256)
        else:
            data = data[: max(16, rng.randrange(len(data)))]
    return bytes(data)


@pytest.mark.parametrize("bits", [32, 64])
def test_damaged_programs(bits, tmp_path, capsys):
    source = tmp_path / "tiny.c"
    source.write_text(SOURCE)
    options = ("-O1", "-nostdlib", "-static", "-fno-pic", "-no-pie", "-fno-stack-protector")
    whole = compiled(tmp_path / "whole", source, f"-m{bits}", *options).read_bytes()
    path, statuses = tmp_path / "damaged", set()
    for seed in range(COUNT):
        path.write_bytes(damaged(whole, 340, random.Random(seed)))
        path.chmod(0o755)
        status = main(["exec", "--engine", "model", "--limit", "20000", "--memory", "8", "--swap",
                       "0", str(path)])
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) <= 1, (seed, lines)
        assert all(line.startswith("pagewalk: ") for line in lines), (seed, lines)
        statuses.add(status)
    assert {2, 5, 139} <= statuses


def test_flags_that_nobody_would_set_are_refused(refused):
    assert refused("exec", "--ad", "fault", "/bin/true") == (
        "argument --ad: fault needs somebody below the kernel who sets flags; expected exchange or "
        "write")
