"""Ctrl-C at any time: one line and exit code 130."""

import os
import signal
import subprocess
import sys

import pytest

from pagewalk.sim.cli import image as image_verb
from pagewalk.sim.cli.main import main

LINE = "pagewalk: error: interrupted\n"

# What a process is made to do before the command, whose name is `command`; `interrupt()` is Ctrl-C.
START = """
import atexit, os, signal, sys, tempfile
from pagewalk.sim.cli import main as command

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have changed

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def while_working(work):
    from pagewalk.sim.cli import image
    image._image = lambda args: work() or 0

{set_up}
sys.exit(command.main())
"""

SET_UPS = {
    "while modules load": """
class Finder:
    def find_spec(self, name, *_):
        if name == "numpy":
            interrupt()
sys.meta_path.insert(0, Finder())
""",
    "while a verb works": "while_working(interrupt)",
    "while numpy works": """
def work():
    import numpy
    numpy.vectorize(lambda number: interrupt() if number == 50 else number)(numpy.arange(99))
while_working(work)
""",
    "in a finalizer": """
class Fragile:
    def __del__(self):
        interrupt()
def work():
    Fragile()
while_working(work)
""",
    "while a callback of C runs": """
def work():
    import ctypes
    called = ctypes.CFUNCTYPE(None)(interrupt)
    called()
while_working(work)
""",
    "again while it cleans up": """
def work():
    try:
        interrupt()
    finally:
        interrupt()
while_working(work)
""",
    "with half-made hardware": """
def work():
    from amaranth import Module
    m = Module()
    m.submodules.lost = Module()
    interrupt()
while_working(work)
""",
}


def run(set_up, **options):
    script = START.format(set_up=set_up)
    return subprocess.run([sys.executable, "-c", script, "image", "x"], capture_output=True,
                          text=True, check=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize("moment", SET_UPS)
def test_an_interrupt_is_one_line_at_any_time(moment):
    done = run(SET_UPS[moment])
    assert (done.returncode, done.stdout, done.stderr) == (130, "", LINE)


@pytest.mark.slow
def test_temporary_folders_go(tmp_path):
    done = run("""
def work():
    with tempfile.TemporaryDirectory():
        interrupt()
while_working(work)
""", env=os.environ | {"TMPDIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (130, LINE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_when_the_work_is_done_it_is_too_late():
    done = run("while_working(lambda: atexit.register(interrupt) and 0)")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_who_does_not_want_to_be_interrupted_is_not():
    done = run("signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile_working(interrupt)")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_the_code_stays_when_nobody_can_be_told(redirection):
    script = START.format(set_up="while_working(interrupt)")
    done = subprocess.run(["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-c", script,
                           "image", "x"], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.slow
@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_closed_stream_gives_its_number_to_no_file(stream, tmp_path):
    """Or a program that writes to it would write into that file."""
    script = START.format(set_up=f"""
def work():
    with open({str(tmp_path / "file")!r}, "w") as file:
        with open({str(tmp_path / "number")!r}, "w") as number:
            print(file.fileno(), file=number)
while_working(work)
""")
    subprocess.run(["sh", "-c", f'"$@" {stream}>&-', "sh", sys.executable, "-c", script, "image",
                    "x"], capture_output=True, check=False)
    if stream == 1:  # which is refused before
        assert not (tmp_path / "number").exists()
    else:
        assert int((tmp_path / "number").read_text()) > 2


def test_a_caller_keeps_its_own_way_with_interrupts(monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_verb, "_image", interrupt)
    before, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    assert main(["image", "x"]) == 130
    assert capsys.readouterr().err == LINE
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == (before, hook)
