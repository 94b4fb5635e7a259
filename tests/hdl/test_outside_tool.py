"""Running programs: their output, their end, and what they leave behind."""

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from pagewalk.hdl import outside_tool
from pagewalk.hdl.outside_tool import ToolFailed, last_words, run_tool, work_folder


def shell(script, folder, **options):
    return run_tool(["sh", "-c", script], folder, **options)


def test_exit_code_and_both_streams_come_back(tmp_path):
    assert shell("echo one; echo two >&2; exit 3", tmp_path) == (3, "one\ntwo\n")
    assert shell("kill -SEGV $$", tmp_path) == (-signal.SIGSEGV, "")
    assert shell(r"printf '\377'", tmp_path) == (0, "\ufffd")


def test_a_tool_works_in_its_folder_and_reads_nothing(tmp_path):
    assert shell("pwd; echo $TMPDIR; cat; echo $ONE", tmp_path, environment={
        "ONE": "1", "PATH": os.environ["PATH"]}) == (0, f"{tmp_path}\n{tmp_path}\n1\n")


def is_alive(pid):
    """Return whether a process runs: one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


GRANDCHILD = "sh -c 'echo $$ > pid; exec sleep 60' &"


def test_a_line_can_end_a_tool_and_all_that_it_started(tmp_path):
    script = f"{GRANDCHILD} while [ ! -s pid ]; do sleep 0.01; done; echo enough; wait"
    assert shell(script, tmp_path, until=lambda line: line == "enough\n") == (None, "")
    wait_for(lambda: not is_alive((tmp_path / "pid").read_text().strip()))


def test_an_interrupt_ends_a_tool_and_all_that_it_started(tmp_path):
    def interrupt():
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            shell(f"{GRANDCHILD} wait", tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    wait_for(lambda: not is_alive((tmp_path / "pid").read_text().strip()))


def test_a_tool_that_does_not_want_to_end_is_made_to(tmp_path, monkeypatch):
    monkeypatch.setattr(outside_tool, "GRACE_SECONDS", 0.05)
    script = "trap '' TERM; echo $$ > pid; echo stay; while :; do sleep 0.05; done"
    assert shell(script, tmp_path, until=lambda _: True) == (None, "")
    assert not is_alive((tmp_path / "pid").read_text().strip())


def test_a_tool_that_is_not_there(tmp_path):
    with pytest.raises(ToolFailed, match=r"^no-such cannot be started: No such file or directory$"):
        run_tool(["no-such"], tmp_path)


def test_a_work_folder_goes():
    with work_folder() as folder:
        (folder / "x").write_text("x")
    assert not folder.exists()


def test_a_work_folder_that_cannot_be_made(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    expected = r"^No temporary folder can be made: No such .*; set TMPDIR to a folder that can be"
    with pytest.raises(ToolFailed, match=expected), work_folder():
        pass


def test_of_a_traceback_the_error_is_left(tmp_path):
    _, output = run_tool([sys.executable, "-c", "raise OSError('disk full')"], tmp_path)
    assert last_words(output) == "OSError: disk full"
    assert last_words("much\n" * 1000 + " the end \n").endswith("much\n the end")
    assert len(last_words("x" * 9999)) == 2000
