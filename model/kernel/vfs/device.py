"""Devices without hardware: null, zero, full, random, and the terminal that is not there.

[drivers/char/mem.c, drivers/char/random.c]
"""

import errno
import stat
from collections.abc import Callable

import numpy as np

from ...address_space.errors import SysError
from .file_system import FileSystem
from .folder import Folder
from .stream import PollEvent, Stream
from .vnode import SpecialFile, SymbolicLink

__all__ = ["Device", "mount_dev"]

EVERYTHING = PollEvent.IN | PollEvent.RDNORM | PollEvent.OUT | PollEvent.WRNORM


class Device:
    """An open device; see ``Stream``. It has neither positions nor a state.

    Parameters
    ----------
    read
        Returns so many bytes, or fewer at the end.
    full
        Whether writes fail with ENOSPC; else what is written is forgotten.
    """

    def __init__(self, read: Callable[[int], bytes], *, full: bool = False) -> None:
        self._read = read
        self._full = full

    def look(self, count: int) -> bytes:
        """Return bytes; each time others, if they are random."""
        return self._read(count)

    def take(self, count: int) -> None:
        """Do nothing, as there is no end of them."""

    def put(self, data: bytes, *, total: int, begins: bool) -> int:
        """Forget bytes. [write_null, write_full]"""
        del total, begins
        if self._full:
            raise SysError(errno.ENOSPC)
        return len(data)

    def poll(self) -> int:
        """Return that all can be done."""
        return EVERYTHING

    def seek(self, _offset: int, _whence: int) -> int:
        """Return 0: every position is the first. [null_lseek]"""
        return 0

    def close(self) -> None:
        """Do nothing."""


def mount_dev(system: FileSystem, rng: np.random.Generator) -> Folder:
    """Put a ``/dev`` of a few devices into the root of a file system; return it.

    Parameters
    ----------
    rng
        Draws what ``/dev/random`` and ``/dev/urandom`` give.
    """
    def no_terminal(_flags: int) -> Stream:
        raise SysError(errno.ENXIO)

    zero, empty, drawn = Device(bytes), Device(lambda _: b""), Device(rng.bytes)
    full = Device(bytes, full=True)
    folder = system.new_root()
    devices: list[tuple[bytes, int, Callable[[int], Stream]]] = [
        (b"null", 0x103, lambda _: empty), (b"zero", 0x105, lambda _: zero),
        (b"full", 0x107, lambda _: full), (b"random", 0x108, lambda _: drawn),
        (b"urandom", 0x109, lambda _: drawn), (b"tty", 0x500, no_terminal)]
    for name, number, opener in devices:
        folder.put(name, SpecialFile(folder.volume, stat.S_IFCHR | 0o666, device=number,
                                     opener=opener))
    for name, text in ((b"fd", b"/proc/self/fd"), (b"stdin", b"/proc/self/fd/0"),
                       (b"stdout", b"/proc/self/fd/1"), (b"stderr", b"/proc/self/fd/2")):
        folder.put(name, _link(folder, text))
    system.mount(folder, b"shm", system.new_root(0o1777))
    system.mount(system.root, b"dev", folder)
    return folder


def _link(folder: Folder, text: bytes) -> SymbolicLink:
    return SymbolicLink(folder.volume, stat.S_IFLNK | 0o777, own_size=len(text),
                        text=lambda: text)
