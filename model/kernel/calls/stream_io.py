"""The data that ``read`` and ``write`` move of pipes and devices. [fs/pipe.c]"""

import errno
from functools import partial

from ...address_space.errors import SysError
from ..file_table import OpenFile
from ..vfs.opening import OpenFlag
from ..vfs.stream import Stream, WouldBlock
from .uaccess import UserAccess

__all__ = ["StreamIo"]

PIECE = 1 << 16


class StreamIo:
    """Copies between streams and the process that runs.

    Parameters
    ----------
    user
        The copies to and from the process.
    """

    def __init__(self, user: UserAccess) -> None:
        self._user = user

    def read(self, opened: OpenFile, stream: Stream, buffer: int, count: int) -> int:
        """Copy what comes next to ``buffer``, at most ``count``; return how many bytes.

        What there is is enough. Raise ``SysError``: EAGAIN where there is nothing yet and the file
        is not to wait, EFAULT; and ``WouldBlock``.
        """
        done = 0
        while done < count:
            try:
                data = stream.look(min(count - done, PIECE))
            except WouldBlock:
                if done:
                    break
                if opened.flags & OpenFlag.NONBLOCK:
                    raise SysError(errno.EAGAIN) from None
                raise
            left = self._user.copy_to_user(buffer + done, data)
            stream.take(len(data) - left)
            done += len(data) - left
            if left and not done:
                raise SysError(errno.EFAULT)
            if left or len(data) < PIECE:
                break
        return done

    def write(self, opened: OpenFile, stream: Stream, buffer: int, count: int,
              done: int = 0) -> int:
        """Copy ``buffer`` to a stream, of which ``done`` bytes are there; return how many are then.

        Raise as ``read``, and ``BrokenPipeSignal``; the ``WouldBlock`` goes on where this ended.
        """
        while done < count:
            size = min(count - done, PIECE)
            data, left = self._user.copy_from_user(buffer + done, size)
            data = data[: size - left]
            if not data:
                if done:
                    break
                raise SysError(errno.EFAULT)
            try:
                done += stream.put(data, total=count, begins=not done)
            except WouldBlock as blocked:
                if opened.flags & OpenFlag.NONBLOCK:
                    if done:
                        break
                    raise SysError(errno.EAGAIN) from None
                raise WouldBlock(blocked.ready, done, partial(
                    self.write, opened, stream, buffer, count, done)) from None
            except SysError:
                if done:
                    break
                raise
            if left:
                break
        return done
