"""Programs that the kernel of this machine starts, with the same addresses each time."""

import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Ended", "Launcher", "Shown", "build"]

HERE = Path(__file__).parent
BARE = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-O1", "-w")
KINDS = {
    "static": ("-static", "-fno-pic", "-no-pie"),
    "static-pie": ("-static-pie", "-fpie"),
    "pie": ("-pie", "-fpie"),
    "i386": ("-m32", "-static", "-fno-pic", "-no-pie"),
}


def build(folder: Path, kind: str, name: str, *more: str) -> Path:
    """Compile the program that shows how it was started."""
    return _compile(folder / name, HERE / "dump_start.c", *BARE, *KINDS[kind], *more)


def _compile(target: Path, source: Path, *options: str) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    made = subprocess.run(["gcc", *options, "-o", target, source], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"gcc {' '.join(options)} does not work here: {made.stderr.splitlines()[0]}")
    return target


@dataclass(frozen=True)
class Ended:
    """How a program ended: the errno of execve, a signal, or an exit status; and its output."""

    errno: int | None
    signal: int | None
    status: int | None
    output: bytes
    errors: bytes

    @property
    def how(self) -> str:
        """All but the output."""
        if self.errno is not None:
            return f"errno {self.errno}"
        return f"status {self.status}" if self.signal is None else signal.Signals(self.signal).name


class Launcher:
    """Runs programs."""

    def __init__(self, folder: Path) -> None:
        self._launch = _compile(folder / "launch", HERE / "launch.c", "-O1")

    def run(self, name: bytes, argv: Sequence[bytes], envp: Sequence[bytes] = (),
            stack_limit: int = 0, *, stops: bool = False) -> Ended:
        """Run a program; ``stops`` only starts it, and has what it would find as output."""
        head = f"{stack_limit} {int(stops)} {len(argv)} {len(envp)}\n".encode()
        given = head + b"".join(one + b"\0" for one in (name, *argv, *envp))
        done = subprocess.run([self._launch], input=given, capture_output=True, timeout=20)
        failed = re.fullmatch(rb"execve (\d+)\n", done.stderr) if done.returncode == 127 else None
        code = done.returncode
        return Ended(int(failed[1]) if failed else None, -code if code < 0 else None,
                     code if code >= 0 else None, done.stdout, done.stderr)


class Shown:
    """How a program was started: registers, stack and mappings."""

    def __init__(self, word: int, sp: int, stack: bytes, maps: bytes) -> None:
        self.word, self.sp, self.stack = word, sp, stack
        self.maps = [line.split(maxsplit=5) for line in maps.decode().splitlines()]
        self.ip: int | None = None

    @classmethod
    def by_itself(cls, ended: Ended, word: int) -> "Shown":
        """Return what ``dump_start.c`` shows."""
        assert ended.how == "status 42", ended
        return cls(word, int.from_bytes(ended.output[:8], "little"), ended.output[8:],
                   ended.errors)

    @classmethod
    def stopped(cls, ended: Ended) -> "Shown":
        """Return what ``launch.c`` shows of a 64-bit program that it has stopped."""
        if ended.how == "status 126":
            pytest.skip("Programs cannot be traced here")
        assert ended.how == "status 42", ended
        ip, sp, size = (int.from_bytes(ended.output[at : at + 8], "little") for at in (0, 8, 16))
        shown = cls(8, sp, ended.output[24 + size :], ended.output[24 : 24 + size])
        shown.ip = ip
        return shown

    def read(self, address: int, size: int) -> bytes:
        return self.stack[address - self.sp : address - self.sp + size]
