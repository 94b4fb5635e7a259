"""Programs that try to leave their root and to write to the host's files: nothing changes there."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .native import COMMAND, command, compiled

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++"),
]


def snapshot(folder):
    """All that is to be seen of a folder, but when it was last read."""
    found = []
    for path in sorted([folder, *folder.rglob("*")]):
        one = path.lstat()
        held = (path.readlink() if path.is_symlink() else
                path.read_bytes() if path.is_file() and one.st_size < 1 << 20 else None)
        found.append((path, one.st_mode, one.st_nlink, one.st_uid, one.st_gid, one.st_size,
                      one.st_blocks, one.st_mtime_ns, one.st_ctime_ns, held))
    return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a secret and a root, where there are links out of it, devices and a pipe."""
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (tmp_path / "secret").write_text("SECRET")
    (root / "kept").write_text("kept" * 2000)
    (root / "d" / "inner").write_text("in")
    os.link(root / "kept", root / "hard")
    for name, text in (("relative", "../secret"), ("absolute", tmp_path / "secret"),
                       ("chain", "second"), ("second", "d/../relative"), ("up", "..")):
        (root / name).symlink_to(text)
    for name, mode in (("unreadable", 0), ("private", 0o600)):
        (root / name).write_text("x")
        (root / name).chmod(mode)
    os.mkfifo(root / "fifo")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    if not os.getuid():
        os.mknod(root / "device", 0o20666, os.makedev(1, 5))
        os.mknod(root / "disk", 0o60666, os.makedev(254, 0))
    (root / os.fsdecode(b"\xff\xfe name")).write_text("odd")
    with (root / "huge").open("wb") as file:
        file.truncate(1 << 42)
    compiled(root / "escape", HERE / "escape.c", "-O1", "-static", "-pthread")
    return tmp_path


@pytest.mark.parametrize("who", ["child", "thread", "program"])
def test_a_program_that_tries_all_that_it_knows(who, place, monkeypatch):
    before = snapshot(place)
    victim = subprocess.Popen(["sleep", "300"])
    monkeypatch.setenv("HOST", str(victim.pid))
    try:
        found = command("--engine", "model", "--root", place / "root", "/escape",
                        place / "secret", who)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()
    name = b"itself" if who == "program" else who.encode()
    assert found == (name + b": 1 opened, 1 written, 0 leaks\n", b"", 0)
    assert snapshot(place) == before


def test_the_attempts_find_a_secret_that_is_within(place, monkeypatch):
    """A control: what lies in the root is found, and seems to be written; the host's stays."""
    before = snapshot(place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOST", "999999")
    output, _, status = command("--engine", "model", "--root", place, "/root/escape",
                                  "/secret", "itself")
    assert status == 0
    assert b" leaks\n" in output
    assert not output.endswith(b" 0 leaks\n")
    assert snapshot(place) == before


def test_a_file_that_is_standard_input_is_not_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("given\n")
    source = tmp_path / "writes.c"
    source.write_text(
        "#include <fcntl.h>\n#include <stdio.h>\n#include <sys/mman.h>\n#include <unistd.h>\n"
        "int main(void) { char line[9] = {0};\n"
        '    int fd = open("/proc/self/fd/0", O_RDWR | O_TRUNC);\n'
        '    write(fd, "attack", 6), write(0, "attack", 6), ftruncate(0, 0), fchmod(0, 0);\n'
        "    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 0);\n"
        "    if (page != MAP_FAILED) page[0] = 'X';\n"
        '    printf("%d %s", (int)read(0, line, 8), line); return 0; }\n')
    path = compiled(tmp_path / "writes", source, "-static")
    before = snapshot(tmp_path)
    with file.open("rb") as given:
        done = subprocess.run([sys.executable, "-c", COMMAND, "exec", "--engine", "model", path],
                              stdin=given, capture_output=True)
    assert done.stdout == b"6 given\n"
    assert snapshot(tmp_path) == before
