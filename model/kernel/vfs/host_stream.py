"""Files of the host that a program is given: its standard input, output and error."""

import errno
import fcntl
import io
import os
import select
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from ...address_space.errors import SysError
from .pipe import BrokenPipeSignal
from .stream import PollEvent
from .vnode import SpecialFile, Volume

Result = TypeVar("Result")

__all__ = ["GivenFile", "HostStream", "given_file"]


class HostStream:
    """A binary file of Python as an open file; see ``Stream``.

    Its reads wait as those of the file do, and nothing else runs meanwhile.

    Parameters
    ----------
    file
        The file, which stays the caller's, and open.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held = b""

    def look(self, count: int) -> bytes:
        """Return what comes next; no more is read ahead than was asked for."""
        if not self._held:
            read = getattr(self._file, "read1", self._file.read)
            found = _carry_out(lambda: read(count))
            if found is None:
                raise SysError(errno.EAGAIN)
            self._held = found
        return self._held[:count]

    def take(self, count: int) -> None:
        """Drop bytes that were read."""
        self._held = self._held[count:]

    def put(self, data: bytes, *, total: int, begins: bool) -> int:
        """Write bytes at once; raise ``BrokenPipeSignal``, and what the host raises."""
        del total, begins

        def write() -> int | None:
            done = self._file.write(data)
            self._file.flush()
            return done
        done = _carry_out(write)
        if done is None:
            raise SysError(errno.EAGAIN)
        return done

    def poll(self) -> int:
        """Return what can be done now; all of it, where the host cannot tell."""
        events = PollEvent.OUT | PollEvent.WRNORM
        if self._held or self._has_input():
            events |= PollEvent.IN | PollEvent.RDNORM
        return events

    def _has_input(self) -> bool:
        number = _number(self._file)
        return number is None or bool(select.select([number], [], [], 0)[0])

    def seek(self, offset: int, whence: int) -> int:
        """Go to a position; raise ``SysError``: ESPIPE, EINVAL."""
        if not self._file.seekable():
            raise SysError(errno.ESPIPE)
        if whence == os.SEEK_CUR:
            offset -= len(self._held)
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise SysError(errno.EINVAL)
        self._held = b""
        try:
            return _carry_out(lambda: self._file.seek(offset, whence))
        except ValueError:
            raise SysError(errno.EINVAL) from None

    def ask(self, request: int, size: int) -> bytes:
        """Return what an ioctl of the host gives that changes nothing; raise ENOTTY, say."""
        number = _number(self._file)
        if number is None:
            raise SysError(errno.ENOTTY)
        return _carry_out(lambda: fcntl.ioctl(number, request, bytes(size)))

    def close(self) -> None:
        """Do nothing: the file is its owner's."""


@dataclass(slots=True, eq=False)
class GivenFile(SpecialFile):
    """The node of a file that a program was given, as the host sees it.

    Members
    -------
    look_size
        Returns its bytes now.
    """

    look_size: Callable[[], int] = int

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.look_size()


def given_file(file: BinaryIO, clock: Callable[[], int]) -> GivenFile:
    """Return the node of a file: what the host says of it, or a pipe if it is none of the host."""
    stream, number = HostStream(file), _number(file)
    if number is None:
        return GivenFile(Volume(0, 0, clock), stat.S_IFIFO | 0o600, opener=lambda _: stream)
    found = os.fstat(number)
    node = GivenFile(Volume(os.major(found.st_dev), os.minor(found.st_dev), clock), found.st_mode,
                     found.st_ino, opener=lambda _: stream,
                     look_size=lambda: os.fstat(number).st_size)
    node.uid, node.gid, node.links = found.st_uid, found.st_gid, found.st_nlink
    node.blocks, node.device = found.st_blocks, found.st_rdev
    node.own_size = found.st_size
    node.accessed, node.modified = found.st_atime_ns, found.st_mtime_ns
    node.changed = found.st_ctime_ns
    return node


def _number(file: BinaryIO) -> int | None:
    """Return the descriptor of a file, None if it has none."""
    try:
        return file.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return None


def _carry_out(work: Callable[[], Result]) -> Result:
    """Do what may fail on the host; give the program its errno."""
    try:
        return work()
    except BrokenPipeError:
        raise BrokenPipeSignal from None
    except OSError as error:
        raise SysError(error.errno or errno.EIO) from error
