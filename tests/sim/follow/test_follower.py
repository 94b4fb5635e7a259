"""Tests of ``--follow``: each call, fault, signal and end is a line that is written at once."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..exec.native import COMMAND, command, compiled

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++"),
]

EXPECTED = [
    r'^openat\(AT_FDCWD, "/no\\twhere", O_RDWR\|O_CLOEXEC, 0\) = -1 ENOENT \(No such file or dir',
    r'^pwrite64\(77, "text\\n", 5, 9\) = -1 EBADF \(Bad file descriptor\)$',
    r'^openat\(AT_FDCWD, "/proc/version", O_RDONLY, 0\) = 3$',
    r'^read\(3, "Linux", 5\) = 5$',
    r"^lseek\(3, -1, SEEK_CUR\) = 4$",
    r"^mmap\(NULL, 8192, PROT_READ\|PROT_WRITE, MAP_PRIVATE\|MAP_ANONYMOUS, -1, 0x0\) = (0x\w+)$",
    r"^page fault: load in page AREA by 0x\w+, error code 0x4 \(US\): mapped the page of zeros",
    r"^page fault: store in page AREA by 0x\w+, error code 0x7 \(P\|WR\|US\): .* of the shared ",
    r"^page fault: store in page NEXT by 0x\w+, error code 0x6 \(WR\|US\): mapped a new page of ",
    r"clone\(.*SIGCHLD.*\) = 3$",
    r"^\[task 2\] wait4\(-1, NULL, 0, NULL<unfinished \.\.\.>$",
    r"^\[task 3\] page fault: store in page AREA by .*: copied the page \(copy on write\)",
    r"^\[task 3\] mprotect\(AREA, 4096, PROT_NONE\) = 0$",
    r"^\[task 3\] page fault: store in page 0x123000 by .*: SIGSEGV \(SEGV_MAPERR: nothing is map",
    r"^\[task 3\] --- SIGSEGV \{si_code=1, si_addr=0x123456\} ---$",
    r"^\[task 3\] \+\+\+ killed by SIGSEGV \+\+\+$",
    r"^\[task 2\] <\.\.\. wait4 resumed> \) = 3$",
    r"^\[task 2\] read\(3, <unfinished \.\.\.>$",
    r"^\[task 2\] page fault: store at 0x10 by the kernel, error code 0x2 \(WR\): the copy ends ",
    r"^\[task 2\] <\.\.\. read resumed> 0x10, 1\) = -1 EFAULT \(Bad address\)$",
    r"^\[task 2\] madvise\(AREA, 8192, MADV_PAGEOUT\) = 0$",
    r"^\[task 2\] page fault: load in page NEXT by .*: read the page from swap, in ",
    r"^\[task 2\] \+\+\+ exited with 3 \+\+\+$",
]


def check(lines, expected):
    """Find lines in their order; AREA is what mmap returned, NEXT the page behind it."""
    at, area = 0, 0
    for pattern in expected:
        pattern = pattern.replace("AREA", f"{area:#x}").replace("NEXT", f"{area + 4096:#x}")
        found = next((place for place in range(at, len(lines))
                      if re.search(pattern, lines[place])), None)
        assert found is not None, (pattern, lines[at:])
        match = re.search(pattern, lines[found])
        if match.groups() and match.group(1).startswith("0x"):
            area = int(match.group(1), 16)
        at = found + 1


@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_lines_of_a_known_program(engine, tmp_path):
    path = compiled(tmp_path / "followed", HERE / "followed.c", "-static", "-O1")
    file = tmp_path / "file"
    found = command("--engine", engine, "--follow-to", file, path)
    assert found == (b"", b"", 3)
    check(file.read_text().splitlines(), EXPECTED)
    output, error, status = command("--engine", engine, "--follow", path)
    assert (output, status) == (b"", 3)
    assert error.decode() == file.read_text()


def test_it_changes_nothing(tmp_path):
    path = compiled(tmp_path / "followed", HERE / "followed.c", "-static")
    one, two = tmp_path / "one", tmp_path / "two"
    command("--engine", "model", "--memory", 5, "--json", one, path)
    command("--engine", "model", "--memory", 5, "--json", two, "--follow-to", tmp_path / "f", path)
    assert json.loads(one.read_text()) == json.loads(two.read_text())


def test_swap_and_huge_pages(tmp_path):
    source = tmp_path / "touch.c"
    source.write_text("#include <sys/mman.h>\nint main(void) { int sum = 0;\n"
                      "    char *area = mmap(0, 16 << 20, 3, 0x22, -1, 0);\n"
                      "    for (int at = 0; at < 16 << 20; at += 4096) area[at] = 1;\n"
                      "    for (int at = 0; at < 16 << 20; at += 4096) sum += area[at];\n"
                      "    return sum >> 8; }\n")
    path, file = compiled(tmp_path / "touch", source, "-static"), tmp_path / "file"
    assert command("--engine", "model", "--memory", 8, "--follow-to", file, path)[2] == 16
    text = file.read_text()
    assert text.count("read the page from swap") > 3000
    assert "pages were written to swap to have room" in text
    assert command("--engine", "model", "--thp", "always", "--follow-to", file, path)[2] == 16
    assert file.read_text().count("mapped a new huge page (2 Mbytes) of zeros") >= 7


def test_a_program_that_hangs_shows_its_last_call(tmp_path):
    path = compiled(tmp_path / "followed", HERE / "followed.c", "-static")
    file = tmp_path / "file"
    with subprocess.Popen([sys.executable, "-c", COMMAND, "exec", "--engine", "model",
                           "--follow-to", file, path, "more"], stderr=subprocess.PIPE) as run:
        while run.poll() is None and (not file.exists() or "getppid" not in file.read_text()):
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
    assert "getppid() = 0" in file.read_text()
    _, _, status = command("--engine", "model", "--follow-to", file, "perl", "-e",
                           "pipe R, W; <R>")
    assert status == 1
    assert re.search(r"read\(3, $", file.read_text())
