"""Pipes: sixteen pages between those who write and those who read. [fs/pipe.c]"""

import errno
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ...address_space.errors import SysError
from ...x86 import PAGE_BYTES
from .open_flag import OpenFlag
from .stream import PollEvent, WouldBlock

__all__ = ["PIPE_BUFFERS", "BrokenPipeSignal", "NamedPipe", "Pipe", "PipeEnd"]

PIPE_BUFFERS = 16


class BrokenPipeSignal(SysError):
    """A write to a pipe that nobody reads: EPIPE, and SIGPIPE for the process."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE)


@dataclass(slots=True)
class PipeBuffer:
    """A page of a pipe: what is left in it, and where that ends. [struct pipe_buffer]"""

    data: bytearray
    end: int


class Pipe:
    """What both ends share. [struct pipe_inode_info]

    Members
    -------
    readers, writers
        How many open files read it and write to it.
    reads, writes
        How many have since it was made. [r_counter, w_counter]
    """

    def __init__(self) -> None:
        self._buffers: deque[PipeBuffer] = deque()
        self.readers = self.writers = 0
        self.reads = self.writes = 0

    @property
    def held(self) -> int:
        """How many bytes are in it. [FIONREAD]"""
        return sum(len(buffer.data) for buffer in self._buffers)

    @property
    def is_full(self) -> bool:
        """Whether no page is free."""
        return len(self._buffers) >= PIPE_BUFFERS

    @property
    def readable(self) -> bool:
        """Whether a read returns at once."""
        return bool(self._buffers) or not self.writers

    @property
    def writable(self) -> bool:
        """Whether a write returns at once."""
        return not self.is_full or not self.readers

    def look(self, count: int) -> bytes:
        """Return what comes next; nothing at the end; raise ``WouldBlock``."""
        if not self.readable:
            raise WouldBlock(lambda: self.readable)
        found = b""
        for buffer in self._buffers:
            if len(found) >= count:
                break
            found += buffer.data[: count - len(found)]
        return found

    def take(self, count: int) -> None:
        """Drop bytes that were read."""
        while count:
            first = self._buffers[0]
            step = min(count, len(first.data))
            del first.data[:step]
            count -= step
            if not first.data:
                self._buffers.popleft()

    def whole_pages(self, count: int) -> int:
        """Return how many of the next ``count`` bytes are those of pages that all of them hold."""
        found = 0
        for buffer in self._buffers:
            if found + len(buffer.data) > count:
                break
            found += len(buffer.data)
        return found

    def _joining(self, total: int, begins: bool) -> int:
        """Return how many bytes of a write join the last page."""
        odd = total % PAGE_BYTES if begins and self._buffers else 0
        return odd if odd and self._buffers[-1].end + odd <= PAGE_BYTES else 0

    def whole_parts(self, count: int, *, total: int, begins: bool) -> int:
        """Return how many of the first ``count`` bytes of a write go into a page that is complete.

        Those that join the last page do so together; the others fill pages.
        """
        joining = self._joining(total, begins)
        if count < joining:
            return 0
        return count - (count - joining) % PAGE_BYTES

    def put(self, data: bytes, *, total: int, begins: bool) -> int:
        """Add bytes, as many as there are pages for; return how many.

        What a write has beyond whole pages joins the last page if it fits there. Raise
        ``BrokenPipeSignal``, ``WouldBlock``. [pipe_write]
        """
        if not self.readers:
            raise BrokenPipeSignal
        done = self._joining(total, begins)
        if done:
            last = self._buffers[-1]
            last.data += data[:done]
            last.end += done
        while done < len(data) and not self.is_full:
            page = bytearray(data[done : done + PAGE_BYTES])
            self._buffers.append(PipeBuffer(page, len(page)))
            done += len(page)
        if not done:
            raise WouldBlock(lambda: self.writable)
        return done


class PipeEnd:
    """An open file of a pipe; see ``Stream``.

    Parameters
    ----------
    pipe
        The pipe.
    reads, writes
        What it was opened for.

    Members
    -------
    partner
        Returns whether the other end was opened, for which ``open`` waits; None if it does not.
    """

    def __init__(self, pipe: Pipe, *, reads: bool, writes: bool) -> None:
        self.pipe = pipe
        self._reads = reads
        self._writes = writes
        self.partner: Callable[[], bool] | None = None
        pipe.readers += reads
        pipe.writers += writes
        pipe.reads += reads
        pipe.writes += writes

    def look(self, count: int) -> bytes:
        """Return what comes next."""
        return self.pipe.look(count)

    def take(self, count: int) -> None:
        """Drop bytes that were read."""
        self.pipe.take(count)

    def put(self, data: bytes, *, total: int, begins: bool) -> int:
        """Add bytes; see ``Pipe.put``."""
        return self.pipe.put(data, total=total, begins=begins)

    def poll(self) -> int:
        """Return what can be done now. [pipe_poll]"""
        pipe, events = self.pipe, 0
        if self._reads:
            if pipe.held:
                events |= PollEvent.IN | PollEvent.RDNORM
            if not pipe.writers:
                events |= PollEvent.HUP
        if self._writes:
            if not pipe.is_full:
                events |= PollEvent.OUT | PollEvent.WRNORM
            if not pipe.readers:
                events |= PollEvent.ERR
        return events

    def seek(self, _offset: int, _whence: int) -> int:
        """Raise ``SysError(ESPIPE)``."""
        raise SysError(errno.ESPIPE)

    def close(self) -> None:
        """Have one reader or writer less. [pipe_release]"""
        self.pipe.readers -= self._reads
        self.pipe.writers -= self._writes


class NamedPipe:
    """A pipe with a name. [fifo_open]"""

    def __init__(self) -> None:
        self._pipe = Pipe()

    def open(self, flags: int) -> PipeEnd:
        """Return one more end; raise ``SysError(ENXIO)`` for a writer that waits for no reader.

        What has no other end yet says so by ``PipeEnd.partner``. A pipe that nobody has open is
        empty.
        """
        pipe, access = self._pipe, flags & OpenFlag.ACCESS
        if access == OpenFlag.WRONLY and flags & OpenFlag.NONBLOCK and not pipe.readers:
            raise SysError(errno.ENXIO)
        if not pipe.readers and not pipe.writers:
            pipe = self._pipe = Pipe()
        end = PipeEnd(pipe, reads=access != OpenFlag.WRONLY, writes=access != 0)
        before = pipe.writes if access == 0 else pipe.reads
        if access == 0 and not pipe.writers and not flags & OpenFlag.NONBLOCK:
            end.partner = lambda: pipe.writes > before
        elif access == OpenFlag.WRONLY and not pipe.readers:
            end.partner = lambda: pipe.reads > before
        return end
