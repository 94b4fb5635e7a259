"""Folders of the user's own, where compilations stay from one run to the next.

What stands there is machine code, to be loaded later. So nothing is taken from a folder that
anybody but the user and root could have filled, and no link that another has planted is followed.
"""

import fcntl
import logging
import os
import pwd
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG, S_IWGRP, S_IWOTH

__all__ = ["LOG", "REMEDY", "CacheUnusable", "cache_folder", "check_trusted", "is_trusted_file",
           "locked", "make_own"]

PATIENCE_SECONDS = 1.0  # how long a process waits for another without a word
POLL_SECONDS = 0.05
REMEDY = "set XDG_CACHE_HOME to a folder of your own that can be written"

LOG = logging.getLogger("pagewalk")


class CacheUnusable(Exception):
    """A folder that nothing can be kept in; the message has its name, the reason and the remedy."""


def cache_folder(name: str) -> Path:
    """Return the user's folder for what ``name`` keeps, after the XDG base directory specification.

    It need not be there. Raise ``CacheUnusable`` for a user without a home.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else _home() / ".cache") / name


def _home() -> Path:
    home = Path(os.environ.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise CacheUnusable(f"this user has no home folder; {REMEDY}") from None


def check_trusted(folder: Path, remedy: str = REMEDY) -> None:
    """Raise ``CacheUnusable`` if anybody but the user and root may have filled ``folder``.

    A folder that is not there is fine. The message ends with the ``remedy``.
    """
    try:
        owners = {folder.lstat().st_uid, folder.stat().st_uid}  # of a link and what it leads to
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise CacheUnusable(f"{folder} cannot be used: {error.strerror}; {remedy}") from None
    if not S_ISDIR(mode):
        raise CacheUnusable(f"{folder} is not a folder; {remedy}")
    if not owners <= _trusted_users():
        raise CacheUnusable(f"{folder} belongs to another user; {remedy}")
    if mode & S_IWOTH:
        raise CacheUnusable(f"{folder} can be written by every user; {remedy}")


def make_own(folder: Path, remedy: str = REMEDY) -> None:
    """Make ``folder``, for the user alone, if it is not there; raise ``CacheUnusable``.

    That is raised for one that is not to be trusted or cannot be written, too.
    """
    check_trusted(folder, remedy)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_mode & S_IWGRP and status.st_uid == os.geteuid():
            folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheUnusable(f"{folder} cannot be written: {error.strerror}; {remedy}") from None


def is_trusted_file(path: Path) -> bool:
    """Return whether ``path`` is a file that only the user or root could have written.

    Raise ``OSError`` if it cannot be looked at.
    """
    status = path.lstat()
    return (S_ISREG(status.st_mode) and status.st_uid in _trusted_users()
            and not status.st_mode & (S_IWGRP | S_IWOTH))


def _trusted_users() -> set[int]:
    root = 0
    return {root, os.geteuid()}


@contextmanager
def locked(path: Path, other: str) -> Iterator[bool]:
    """Let one process at a time into the block, by a lock on the file ``path``.

    A process that waits for longer than a second says so; ``other`` tells what the one does that it
    waits for. If the lock cannot be had at all, as on a file system without locks, the block is
    entered without. Give whether it was had.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor is not None and _wait(descriptor, other)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _wait(descriptor: int, other: str) -> bool:
    """Wait until the lock of an open file is ours; return whether it ever is."""
    end = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < end:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(POLL_SECONDS)
        LOG.warning("waiting for another run of pagewalk, which %s", other)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    except OSError:
        return False
