"""Programs on the kernel that the tests run on, by a small runner in C++."""

import os
import select
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .program import Mapping, Outcome, Program, parse_smaps

__all__ = ["FENCE_BYTES", "FILE_BYTES", "MEMFD_BYTES", "Layout", "NativeKernel", "OwnMapping",
           "RunnerError", "file_content"]

FENCE_BYTES = 1 << 20
FILE_BYTES = (40 * 4096 + 100, 12 * 4096)
"""The sizes of the files on disk that programs use; one ends within a page."""
MEMFD_BYTES = 24 * 4096

SECONDS = 30
"""How long a program may take; it takes a few milliseconds."""


class RunnerError(Exception):
    """The runner cannot be built, or cannot do its work here; says why."""


@dataclass(frozen=True, slots=True)
class OwnMapping:
    """A mapping of the runner, its rights as ``maps`` shows them, and whether it has pages."""

    start: int
    end: int
    present: bool
    rights: str
    is_stack: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a process of the runner.

    ``own`` are the mappings of the runner itself, ``data_bytes`` what its heap counts for
    RLIMIT_DATA before it grows. Programs map by address in the arena and in the heap from ``heap``
    on, and without an address below ``fence``. There, and in the first page of the heap, shared
    memory is mapped. ``randomised`` is whether the kernel would not leave places alone.
    """

    arena: int
    heap_start: int
    heap: int
    fence: int
    mmap_base: int
    data_bytes: int
    randomised: int
    own: tuple[OwnMapping, ...]


def file_content(number: int) -> bytes:
    """Return what one of the files holds, the same in both worlds."""
    words = range(number << 20, (number << 20) + -(-FILE_BYTES[number] // 4))
    return b"".join(word.to_bytes(4, "little") for word in words)[:FILE_BYTES[number]]


class NativeKernel:
    """The runner, which has been built in ``folder`` and waits for programs.

    Raise ``RunnerError`` if that is not to be had.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = [folder / f"file{number}" for number in range(len(FILE_BYTES))]
        runner = folder / "native"
        if not runner.exists():
            build(runner)
        self._process = subprocess.Popen([runner], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         bufsize=0, start_new_session=True)
        self._text = b""
        try:
            self.layout = self._read_layout()
        except RunnerError:
            self.close()
            raise

    def close(self) -> None:
        """End the runner, and what it has left."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()

    def run(self, program: Program) -> list[Outcome]:
        """Return what the steps of a program come to."""
        limits = (program.memlock, program.address_space, program.data)
        files = ["-", "-"]
        if program.uses_files:
            self._write_files()
            files = [str(path) for path in self.paths]
        lines = [f"program {len(program.steps)} {' '.join(map(str, limits))} {' '.join(files)}"]
        for step in program.steps:
            args = " ".join(f"{arg.base} {arg.value % (1 << 64)}" for arg in step.args)
            lines.append(f"step {step.process} {step.name} {args}")
        self._process.stdin.write(("\n".join(lines) + "\n").encode())
        return self._read_outcomes()

    def _write_files(self) -> None:
        """Make new files, whose pages are in memory and clean."""
        for number, path in enumerate(self.paths):
            path.unlink(missing_ok=True)
            content = file_content(number)
            with path.open("wb", buffering=0) as file:
                for at in range(0, len(content), 4096):  # a folio a page, as in 6.1
                    file.write(content[at : at + 4096])
                os.fsync(file.fileno())

    # ---- what the runner prints

    def _line(self) -> str:
        while b"\n" not in self._text:
            if not select.select([self._process.stdout], [], [], SECONDS)[0]:
                raise RunnerError(f"The runner was silent for {SECONDS} s")
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            if not more:
                raise RunnerError("The runner has ended")
            self._text += more
        line, _, self._text = self._text.partition(b"\n")
        if line.startswith(b"error"):
            raise RunnerError(f"The runner fails with {line.decode()}")
        return line.decode()

    def _read_layout(self) -> Layout:
        numbers = [int(word) for word in self._line().split()[1:]]
        own = []
        while (line := self._line()) != "ready":
            start, end, present, rights, is_stack = line.split()[1:]
            own.append(OwnMapping(int(start), int(end), present == "1", rights, is_stack == "1"))
        return Layout(*numbers, own=tuple(own))

    def _read_outcomes(self) -> list[Outcome]:
        outcomes: list[Outcome] = []
        line = self._line()
        while not line.startswith("end"):
            if line.startswith(("step", "skip")):
                word, index, *numbers = line.split()
                assert int(index) == len(outcomes), line
                outcomes.append(Outcome(skipped=True) if word == "skip" else
                                _outcome([int(number) for number in numbers]))
                line = self._line()
                continue
            status = tuple(int(word) for word in line.split()[1:])
            shown: list[str] = []
            while not (line := self._line()).startswith(("step", "skip", "end")):
                shown.append(line)
            mappings = tuple(map(self._plain, parse_smaps(shown)))
            outcomes[-1] = Outcome(status=status, mappings=mappings)
        if int(line.split()[1]):
            raise RunnerError(f"The program ended with status {line.split()[1]}")
        return outcomes

    def _plain(self, mapping: Mapping) -> Mapping:
        """Return a mapping under the name that the model knows its file by."""
        names = {str(path): path.name for path in self.paths}
        return Mapping(mapping.start, mapping.end, mapping.rights, mapping.offset,
                       names.get(mapping.name, mapping.name), mapping.flags, mapping.figures)


def _outcome(numbers: list[int]) -> Outcome:
    result, number, code, address, minor, major = numbers
    return Outcome(result % (1 << 64), (number, code, address) if number else None, minor, major)


def build(runner: Path) -> None:
    """Compile the runner; raise ``RunnerError`` if there is no g++ or it fails."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise RunnerError("There is no g++ to build the runner with")
    source = Path(__file__).with_name("native.cc")
    done = subprocess.run([compiler, "-O1", "-o", runner, source], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise RunnerError(f"g++ cannot build the runner: {(errors or ['no message'])[0]}")
