"""Folders of the user's own: where they are, whom they are trusted to, and their locks."""

import errno
import os
import pwd
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pagewalk.hdl import user_cache
from pagewalk.hdl.user_cache import (
    CacheUnusable,
    cache_folder,
    check_trusted,
    is_trusted_file,
    locked,
    make_own,
)

REMEDY = "; set XDG_CACHE_HOME to a folder of your own that can be written"


@pytest.fixture
def stranger(monkeypatch):
    """Nothing here belongs to this user or to root."""
    monkeypatch.setattr(user_cache, "_trusted_users", lambda: {os.getuid() + 1})


def refusal(function, *args):
    with pytest.raises(CacheUnusable) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value).removesuffix(REMEDY)


@pytest.mark.parametrize(("xdg", "home", "folder"), [
    ("/a/cache", "/b", "/a/cache/x"),
    ("", "/b", "/b/.cache/x"),
    ("not/absolute", "/b", "/b/.cache/x"),
    (None, "/b", "/b/.cache/x"),
    (None, "", "/of/passwd/.cache/x"),
    (None, "b", "/of/passwd/.cache/x"),
    (None, None, "/of/passwd/.cache/x"),
])
def test_a_folder_is_where_the_specification_says(xdg, home, folder, monkeypatch):
    for name, value in (("XDG_CACHE_HOME", xdg), ("HOME", home)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir="/of/passwd"))
    assert cache_folder("x") == Path(folder)


def test_a_user_without_a_home_has_no_folder(monkeypatch):
    def unknown(_):
        raise KeyError

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert refusal(cache_folder, "x") == "this user has no home folder"


def test_a_folder_is_made_for_the_user_alone(tmp_path):
    folder = tmp_path / "cache" / "x"
    check_trusted(folder)
    assert not folder.exists()
    make_own(folder)
    make_own(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


def test_a_folder_that_a_group_can_write_is_closed_to_it(tmp_path):
    tmp_path.chmod(0o775)
    make_own(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_could_have_filled_is_not_trusted(tmp_path):
    tmp_path.chmod(0o777)
    for function in check_trusted, make_own:
        assert refusal(function, tmp_path) == f"{tmp_path} can be written by every user"


@pytest.mark.usefixtures("stranger")
def test_a_folder_of_another_user_is_not_trusted(tmp_path):
    for function in check_trusted, make_own:
        assert refusal(function, tmp_path) == f"{tmp_path} belongs to another user"


def test_a_link_of_another_user_is_not_followed(tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    check_trusted(link)
    real = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: os.stat_result(
        [*real(path)[:4], os.getuid() + 1, *real(path)[5:]]))
    assert refusal(check_trusted, link) == f"{link} belongs to another user"


def test_what_is_no_folder_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for function in check_trusted, make_own:
        assert refusal(function, file) == f"{file} is not a folder"
        assert refusal(function, file / "x") == f"{file / 'x'} cannot be used: Not a directory"
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert refusal(make_own, tmp_path / "dangling") == (
        f"{tmp_path / 'dangling'} cannot be written: File exists")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def read_only(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    check_trusted(tmp_path)
    assert refusal(make_own, tmp_path) == f"{tmp_path} cannot be written: Read-only file system"


def test_a_file_is_trusted_if_nobody_else_could_write_it(tmp_path):
    file = tmp_path / "x"
    file.touch(mode=0o600)
    assert is_trusted_file(file)
    for mode in 0o660, 0o606:
        file.chmod(mode)
        assert not is_trusted_file(file)
    file.chmod(0o600)
    (tmp_path / "link").symlink_to(file)
    assert not is_trusted_file(tmp_path / "link")
    assert not is_trusted_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        is_trusted_file(tmp_path / "nothing")


@pytest.mark.usefixtures("stranger")
def test_a_file_of_another_user_is_not_trusted(tmp_path):
    (tmp_path / "x").touch(mode=0o600)
    assert not is_trusted_file(tmp_path / "x")


# Locks


def hold(path, seconds):
    """Let a thread hold the lock for so many seconds; return when it has it."""
    held = threading.Event()

    def hold():
        with locked(path, "sleeps"):
            held.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    return thread


def test_a_lock_that_nobody_has_is_had_at_once(tmp_path, caplog):
    for _ in range(2):
        with locked(tmp_path / "lock", "sleeps") as alone:
            assert alone
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    assert caplog.messages == []


@pytest.mark.parametrize(("patience", "words"), [
    (30, []), (0.02, ["waiting for another run of pagewalk, which sleeps"])])
def test_who_waits_for_long_says_so(patience, words, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(user_cache, "PATIENCE_SECONDS", patience)
    monkeypatch.setattr(user_cache, "POLL_SECONDS", 0.01)
    thread = hold(tmp_path / "lock", 0.1)
    with locked(tmp_path / "lock", "sleeps") as alone:
        assert alone
        thread.join(1)
        assert not thread.is_alive()
    assert caplog.messages == words


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path):
    script = ("import fcntl, sys, time\nfile = open(sys.argv[1], 'w')\n"
              "fcntl.flock(file, fcntl.LOCK_EX)\nprint(flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"\n"
        holder.kill()
    with locked(tmp_path / "lock", "sleeps") as alone:
        assert alone


@pytest.mark.parametrize("kind", ["link", "folder", "nowhere"])
def test_without_a_lock_the_work_is_done_all_the_same(kind, tmp_path):
    path, other = tmp_path / "lock", tmp_path / "of another"
    other.write_text("kept")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / "nothing" / "lock"
    with locked(path, "sleeps") as alone:
        assert not alone
    assert other.read_text() == "kept"


def test_an_error_in_the_block_is_let_through_and_frees_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", "sleeps"):
        raise ZeroDivisionError
    with locked(tmp_path / "lock", "sleeps") as alone:
        assert alone
