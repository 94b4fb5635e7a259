"""System calls that wait for files, and ask what they are like. [fs/select.c, fs/ioctl.c]"""

import errno
from collections.abc import Callable
from struct import iter_unpack, pack

from ...address_space.errors import SysError
from ...address_space.vma import page_align
from ..file_table import OpenFile
from ..process import Process
from ..vfs.host_stream import HostStream
from ..vfs.open_flag import OpenFlag
from ..vfs.pipe import PipeEnd
from ..vfs.stream import PollEvent, WouldBlock
from ..vfs.vnode import RegularFile
from ..write_back import fsync_range
from .arguments import as_int, as_uint
from .caller import Caller

__all__ = ["Ioctl", "PollCalls"]

MSEC, NSEC = 10 ** 6, 10 ** 9
ALWAYS = PollEvent.IN | PollEvent.OUT | PollEvent.RDNORM | PollEvent.WRNORM
SELECT_SETS = (PollEvent.IN | PollEvent.RDNORM | PollEvent.HUP | PollEvent.ERR,
               PollEvent.OUT | PollEvent.WRNORM | PollEvent.ERR, PollEvent.PRI)


class Ioctl:
    """What can be asked of open files."""

    TCGETS = 0x5401
    TIOCGWINSZ = 0x5413
    FIONREAD = 0x541B
    FIONBIO = 0x5421
    FIONCLEX = 0x5450
    FIOCLEX = 0x5451


ANSWER_BYTES = {Ioctl.TCGETS: 36, Ioctl.TIOCGWINSZ: 8, Ioctl.FIONREAD: 4}


class PollCalls(Caller):
    """The calls that wait until something can be read or written."""

    def poll(self, address: int, count: int, timeout: int) -> int:
        """Wait for files, at most so many milliseconds, for ever if negative. [poll(2)]"""
        timeout = as_int(timeout)
        return self._poll(address, count, timeout * MSEC if timeout >= 0 else None)

    def ppoll(self, address: int, count: int, timeout: int, *, wide: bool = False) -> int:
        """Wait for files, for a time that is stored at ``timeout``; 0 is for ever. [ppoll(2)]

        The time has two numbers of 64 bits if ``wide``, else two words.
        """
        return self._timed(timeout, lambda limit: self._poll(address, count, limit), wide=wide)

    def _poll(self, address: int, count: int, timeout: int | None) -> int:
        address, = self._words(address)

        def work(process: Process) -> int:
            if as_uint(count) > process.mm.rlimits.open_files:
                raise SysError(errno.EINVAL)
            asked = self._load(address, 8 * as_uint(count))

            def look() -> list[tuple[int, int, int]]:
                return [(fd, events, _events(process, fd, events) if fd >= 0 else 0)
                        for fd, events, _ in iter_unpack("<iHH", asked)]

            def store() -> int:
                found = look()
                self._store(address, b"".join(pack("<iHH", *one) for one in found))
                return sum(bool(events) for _, _, events in found)
            return _wait(lambda: any(events for _, _, events in look()), store, timeout)
        return self._call(work)

    def pselect6(self, count: int, sets: tuple[int, int, int], timeout: int, *,
                 wide: bool = False) -> int:
        """Wait for those of three sets of files, given by address or 0; as ``ppoll``. [select(2)]
        """
        return self._timed(timeout, lambda limit: self.select(count, sets, limit),
                           wide=wide)

    def select(self, count: int, sets: tuple[int, int, int], timeout: int | None) -> int:
        """Wait for files at most so many nanoseconds, for ever if None. [core_sys_select]"""
        sets_at = self._words(*sets)
        word_bytes = self.kernel.space.word_bytes

        def work(process: Process) -> int:
            if as_int(count) < 0:
                raise SysError(errno.EINVAL)
            size = -(-as_int(count) // (8 * word_bytes)) * word_bytes
            asked = [int.from_bytes(self._load(at, size), "little") if at else 0
                     for at in sets_at]
            for fd in range(as_int(count)):
                if any(one >> fd & 1 for one in asked):
                    process.files.get(fd)

            def look() -> list[int]:
                return [sum(1 << fd for fd in range(as_int(count)) if one >> fd & 1
                            and _events(process, fd, mask) & mask)
                        for one, mask in zip(asked, SELECT_SETS, strict=True)]

            def store() -> int:
                found = look()
                for at, one in zip(sets_at, found, strict=True):
                    if at:
                        self._store(at, one.to_bytes(size, "little"))
                return sum(one.bit_count() for one in found)
            return _wait(lambda: any(look()), store, timeout)
        return self._call(work)

    def _timed(self, address: int, wait: Callable[[int | None], int], *, wide: bool) -> int:
        """Wait for a time that is stored; raise nothing but ``WouldBlock``."""
        address, = self._words(address)
        word_bytes = 8 if wide else self.kernel.space.word_bytes
        if not address:
            return wait(None)
        with self.kernel.acting(self._process):
            data, left = self.user.copy_from_user(address, 2 * word_bytes)
        seconds, nanoseconds = (int.from_bytes(data[at : at + word_bytes], "little", signed=True)
                                for at in (0, word_bytes))
        if left:
            return -errno.EFAULT
        if seconds < 0 or not 0 <= nanoseconds < NSEC:
            return -errno.EINVAL
        return wait(seconds * NSEC + nanoseconds)

    def ioctl(self, fd: int, request: int, argument: int) -> int:
        """Do with an open file what ``Ioctl`` lists; ENOTTY for all else. [ioctl(2)]"""
        argument, request = *self._words(argument), as_uint(request)

        def work(process: Process) -> None:
            opened = process.files.get(as_uint(fd))
            if opened.flags & OpenFlag.PATH:
                raise SysError(errno.EBADF)
            if request in (Ioctl.FIOCLEX, Ioctl.FIONCLEX):
                process.files.set_close_on_exec(as_uint(fd), request == Ioctl.FIOCLEX)
            elif request == Ioctl.FIONBIO:
                wanted = any(self._load(argument, 4))
                opened.flags = opened.flags & ~OpenFlag.NONBLOCK | wanted * OpenFlag.NONBLOCK
            else:
                self._store(argument, _ask(opened, request))
        return self._call(work)

    def fsync(self, fd: int) -> int:
        """Write back what is dirty of a file; EINVAL for what has no pages. [fsync(2)]"""
        def work(process: Process) -> None:
            opened = process.files.get(as_uint(fd))
            if opened.flags & OpenFlag.PATH:
                raise SysError(errno.EBADF)
            if opened.stream is not None:
                raise SysError(errno.EINVAL)
            if isinstance(opened.node, RegularFile):
                pages = page_align(opened.node.size)
                fsync_range(self.kernel.state, opened.file, 0, pages)
        return self._call(work)

    def _load(self, address: int, size: int) -> bytes:
        data, left = self.user.copy_from_user(address, size)
        if left:
            raise SysError(errno.EFAULT)
        return data

    def _store(self, address: int, data: bytes) -> None:
        if self.user.copy_to_user(address, data):
            raise SysError(errno.EFAULT)


def _wait(is_ready: Callable[[], bool], store: Callable[[], int], timeout: int | None) -> int:
    """Store what is there, or raise ``WouldBlock`` if there is nothing, and time."""
    if is_ready() or timeout == 0:
        return store()
    raise WouldBlock(is_ready, resume=store, timeout=timeout, expired=store)


def _events(process: Process, fd: int, wanted: int) -> int:
    """Return what can be done with a number, of what is wanted; errors in any case. [do_pollfd]"""
    try:
        opened = process.files.get(as_uint(fd))
    except SysError:
        return PollEvent.NVAL
    if opened.flags & OpenFlag.PATH:
        return PollEvent.NVAL
    there = opened.stream.poll() if opened.stream is not None else ALWAYS
    return there & (wanted | PollEvent.ERR | PollEvent.HUP)


def _ask(opened: OpenFile, request: int) -> bytes:
    """Return what an ioctl that changes nothing gives; raise ``SysError(ENOTTY)``."""
    stream, size = opened.stream, ANSWER_BYTES.get(request, 0)
    if isinstance(stream, PipeEnd) and request == Ioctl.FIONREAD:
        return stream.pipe.held.to_bytes(4, "little")
    if isinstance(opened.node, RegularFile) and request == Ioctl.FIONREAD:
        left = opened.node.size - opened.position
        return (left & 0xFFFF_FFFF).to_bytes(4, "little")
    if isinstance(stream, HostStream) and size:
        return stream.ask(request, size)
    raise SysError(errno.ENOTTY)
