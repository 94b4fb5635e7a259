"""The data that ``read`` and ``write`` move of pipes and devices. [fs/pipe.c]"""

import errno
from functools import partial

from ...address_space.errors import SysError
from ..file_table import OpenFile
from ..vfs.open_flag import OpenFlag
from ..vfs.pipe import PipeEnd
from ..vfs.stream import PollEvent, Stream, WouldBlock
from .user_vector import UserVector

__all__ = ["read_stream", "write_stream"]

PIECE = 1 << 16


def read_stream(opened: OpenFile, stream: Stream, to: UserVector) -> int:
    """Copy what comes next to a program; return how many bytes.

    What there is is enough. Of a pipe whose bytes the program has no memory for, whole pages are
    taken. Raise ``SysError``: EAGAIN where there is nothing yet and the file is
    not to wait, EFAULT; and ``WouldBlock``.
    """
    done = 0
    while done < to.total:
        try:
            data = stream.look(min(to.total - done, PIECE))
        except WouldBlock:
            if done:
                break
            if opened.flags & OpenFlag.NONBLOCK:
                raise SysError(errno.EAGAIN) from None
            raise
        copied = to.store(done, data)
        if copied < len(data) and isinstance(stream, PipeEnd):
            copied = stream.pipe.whole_pages(copied)
        stream.take(copied)
        done += copied
        if data and not done:
            raise SysError(errno.EFAULT)
        if copied < PIECE or not stream.poll() & PollEvent.IN:
            break
    return done


def write_stream(opened: OpenFile, stream: Stream, source: UserVector, done: int = 0) -> int:
    """Copy from a program to a stream, of which ``done`` bytes are there; return how many are.

    Of what the program has no memory for in the end, a pipe takes whole pages. Raise as
    ``read_stream``, and ``BrokenPipeSignal``; the ``WouldBlock`` goes on where this ended.
    """
    while done < source.total:
        size = min(source.total - done, PIECE)
        data = source.load(done, size)
        if len(data) < size and isinstance(stream, PipeEnd):
            data = data[: stream.pipe.whole_parts(len(data), total=source.total, begins=not done)]
        if not data:
            if done:
                break
            raise SysError(errno.EFAULT)
        try:
            done += stream.put(data, total=source.total, begins=not done)
        except WouldBlock as blocked:
            if opened.flags & OpenFlag.NONBLOCK:
                if done:
                    break
                raise SysError(errno.EAGAIN) from None
            raise WouldBlock(blocked.ready, done, partial(
                write_stream, opened, stream, source, done)) from None
        except SysError:
            if done:
                break
            raise
        if len(data) < size:
            break
    return done
