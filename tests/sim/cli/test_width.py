"""No width of a terminal, and no COLUMNS, changes what a verb prints."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

from pagewalk.model.x86 import IA32
from pagewalk.sim.image import UNMAPPED, Image

DATA = Path(__file__).parents[2] / "data"

COMMAND = [sys.executable, "-c",
           "import sys; from pagewalk.sim.cli.main import main; sys.exit(main())"]

VERBS = {
    "cosim": ["cosim", "zipf", "--engine", "model", "--accesses", "50"],
    "replay": ["replay", "IMAGE", "--engine", "model"],
    "conform": ["conform", DATA / "vectors-ia32.npz", "--engine", "model", "--limit", "20"],
    "boot": ["boot", DATA / "boot" / "pge.ltr.xz", "--engine", "model", "--limit", "20"],
    "buddy": ["buddy", DATA / "i686-A.trace-buddy.txt.gz", DATA / "i686-A.freelists.npz",
              "--limit", "100"],
    "image": ["image", "IMAGE"],
    "dump": ["dump", DATA / "dumps" / "i686.kdump.xz"],
}
FIGURES = re.compile(  # of the moment
    r"^(seconds|(events|translations) per second) .*$", re.MULTILINE)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """An image of which one record is wrong, so that there is a picture to show."""
    path = tmp_path_factory.mktemp("image") / "ia32.npz"
    Image.shipped(IA32).cut(limit=40).save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["probe_pa"][np.flatnonzero(arrays["probe_pa"] != UNMAPPED)[0]] ^= 1 << 20
    np.savez_compressed(path, **arrays)
    return path


@pytest.fixture
def words(image):
    return lambda verb: [image if word == "IMAGE" else word for word in VERBS[verb]]


@pytest.mark.parametrize("verb", VERBS)
def test_columns_do_not_change_what_a_pipe_gets(verb, words, pagewalk, monkeypatch):
    outputs = set()
    for columns in ("20", "40", "200", ""):
        monkeypatch.setenv("COLUMNS", columns)
        code, out, err = pagewalk(*words(verb))
        assert (code, err) == (int(verb == "replay"), "")
        outputs.add(FIGURES.sub("", out))
    output, = outputs
    assert "…" not in output


def on_a_terminal(columns, words, **environment):
    """Return what a terminal so wide is sent, without escape sequences."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    with subprocess.Popen([*COMMAND, *map(str, words)], stdin=theirs, stdout=theirs,
                          stderr=subprocess.DEVNULL,
                          env=keep | {"TERM": "xterm-256color"} | environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # how Linux says that nobody holds the other end any more
                break
            shown += chunk
        process.wait()
    os.close(ours)
    text = re.sub(r"\x1b\[[\d;?]*\w", "", shown.decode()).replace("\r\n", "\n")
    return FIGURES.sub("", text)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_narrow_terminal_gets_all_that_a_wide_one_gets(verb, words):
    wide = on_a_terminal(200, words(verb))
    assert wide.count("\n") >= 2
    for columns in (20, 40):
        assert on_a_terminal(columns, words(verb)) == wide
    assert on_a_terminal(200, words(verb), COLUMNS="40") == wide


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "bar"), [(60, False), (80, True)])
def test_a_progress_bar_is_shown_where_it_has_room(columns, bar, words):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # With COLUMNS set, as a runner of tests may set it, nobody asks the terminal.
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen([*COMMAND, *map(str, words("replay"))], stdout=subprocess.DEVNULL,
                          stderr=theirs, env=environment | {"TERM": "xterm"}) as process:
        process.wait()
    os.close(theirs)
    try:
        shown = os.read(ours, 1 << 16).decode()
    except OSError:
        shown = ""
    os.close(ours)
    assert ("replaying ia32" in shown) == bar
    assert "…" not in shown
