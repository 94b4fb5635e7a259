"""The table of programs: which there are, what they do natively, and what on the MMU."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pagewalk.model.address_space.elf import ExecFile, elf_mode
from pagewalk.model.address_space.errors import ExecError
from pagewalk.model.address_space.vma import File
from pagewalk.model.x86 import IA32

from .program_inputs import make_inputs

HERE = Path(__file__).parent
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/", "TZ": "UTC", "USER": "root",
               "COLUMNS": "80", "TERM": "dumb"}
I386 = Path(os.environ.get("PAGEWALK_I386", "~/.cache/pagewalk/i386")).expanduser()
"""Where 32-bit programs are looked for: what ``dpkg -x`` makes of Debian's packages."""
OPTIONS = ("--swap", "4096")  # fewer than usual, as all are looked at in the end
SECONDS = 60  # that a program may take natively


@dataclass(frozen=True)
class Row:
    """A command: a program of so many bits, its arguments, its standard input, or nothing."""

    section: str
    bits: int
    words: tuple[str, ...]
    stdin: str = ""
    quick: bool = False

    @property
    def name(self):
        text = shlex.join(self.words) + (f" < {self.stdin}" if self.stdin else "")
        return f"{self.bits}: {text}"

    @property
    def environment(self):
        """Its environment, in which programs of as many bits come first."""
        path = ENVIRONMENT["PATH"]
        return ENVIRONMENT | ({"PATH": f"{I386 / 'bin'}:{path}"} if self.bits == 32 else {})

    @property
    def program(self):
        """Its path, None if this machine has none."""
        if self.bits == 32:
            path = I386 / "bin" / self.words[0]
            return str(path) if path.exists() else None
        return shutil.which(self.words[0], path=ENVIRONMENT["PATH"])


@dataclass(frozen=True)
class Outcome:
    """What a program wrote, and its status as a shell has it."""

    stdout: bytes
    stderr: bytes
    status: int


def read_rows():
    """All rows; those of a section for both kinds of programs twice."""
    rows, section = [], ""
    for path in sorted((HERE / "programs").iterdir()):
        for line in path.read_text().splitlines():
            if line.startswith("== "):
                section = line[3:]
            elif line and not line.startswith("#"):
                rows += _row(section, line)
    return rows


def _row(section, line):
    quick, words, stdin = line.startswith("* "), shlex.split(line.removeprefix("* ")), ""
    if len(words) > 2 and words[-2] == "<":
        words, stdin = words[:-2], words[-1]
    name, *bits = section.split()
    first = ("busybox",) if name == "busybox" else ()
    return [Row(name, int(one), (*first, *words), stdin, quick) for one in bits]


def _default_signals():
    """Ignore no signals, as what starts in the background does."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def natively(row, folder):
    """What a program does on this machine."""
    with (folder / row.stdin if row.stdin else Path(os.devnull)).open("rb") as stdin:
        done = subprocess.run([row.program, *row.words[1:]], cwd=folder, env=row.environment,
                              stdin=stdin, capture_output=True, timeout=SECONDS,
                              preexec_fn=_default_signals)
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Outcome(done.stdout, done.stderr, status)


def fresh(folder):
    """Make the folder with the inputs anew."""
    if folder.exists():
        shutil.rmtree(folder)
    make_inputs(folder)
    return snapshot(folder)


def snapshot(folder):
    """Names, kinds, times and bytes of all that is in a folder."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        found[path] = status.st_mode, status.st_mtime_ns, status.st_uid, status.st_nlink, data
    return found


class Server:
    """A process that runs the command for one job after the other (``program_server``)."""

    def __init__(self, engines, scratch):
        self._scratch = scratch
        self._process = subprocess.Popen(
            [sys.executable, HERE / "program_server.py", *engines], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})

    def run(self, row, folder, *options):
        """What a program does on the MMU."""
        output, errors = self._scratch / "stdout", self._scratch / "stderr"
        job = {"words": [*OPTIONS, *options, row.program, *row.words[1:]], "folder": str(folder),
               "environment": row.environment, "stdout": str(output), "stderr": str(errors),
               "stdin": str(folder / row.stdin) if row.stdin else os.devnull}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        told = [line for line in errors.read_bytes().splitlines(True)
                if not line.startswith(b"pagewalk:")]
        return Outcome(output.read_bytes(), b"".join(told), status)

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def server(engines, scratch):
    made = Server(engines, scratch)
    try:
        yield made
    finally:
        made.close()


def runs_here(row):
    """Whether the machine has the program, as an ELF file of so many bits."""
    if row.program is None:
        return False
    with Path(row.program).open("rb") as file:
        data = file.read(1 << 12)
    source = ExecFile(File(row.program), lambda at, size: data[at : at + size])
    try:
        return (elf_mode(source) is IA32) == (row.bits == 32)
    except ExecError:
        return False
