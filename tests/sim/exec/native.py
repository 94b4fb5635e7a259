"""Programs that run on the MMU, by the command, and on this machine."""

import subprocess
import sys

import pytest

COMMAND = "from pagewalk.sim.cli.main import main; raise SystemExit(main())"


def compiled(target, source, *options):
    made = subprocess.run(["gcc", "-O2", "-w", "-o", target, source, *options],
                          capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"gcc does not work here: {made.stderr.splitlines()[0]}")
    return target


def natively(*words, folder=None):
    done = subprocess.run(list(map(str, words)), capture_output=True, cwd=folder,
                          stdin=subprocess.DEVNULL)
    return done.stdout, done.stderr, done.returncode if done.returncode >= 0 else (
        128 - done.returncode)


def command(*words, folder=None):
    """Output, errors and status of the command."""
    return natively(sys.executable, "-c", COMMAND, "exec", *words, folder=folder)


def on_mmu(*words, folder=None):
    """Output, errors without those of the command itself, and status."""
    output, errors, status = command(*words, folder=folder)
    told = [line for line in errors.splitlines(True) if not line.startswith(b"pagewalk:")]
    return output, b"".join(told), status
