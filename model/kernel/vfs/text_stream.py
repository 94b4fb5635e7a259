"""Files whose text is made when it is read, as those of /proc are. [fs/seq_file.c]"""

import errno
import os
from collections.abc import Callable

from ...address_space.errors import SysError
from .stream import PollEvent

__all__ = ["TextStream"]


class TextStream:
    """An open file of a text; see ``Stream``.

    The text is made anew when it is read from its start.

    Parameters
    ----------
    make
        Returns the text.
    write
        Takes what is written, whole; None where nobody may write.
    """

    def __init__(self, make: Callable[[], bytes],
                 write: Callable[[bytes], None] | None = None) -> None:
        self._make = make
        self._write = write
        self._text = b""
        self._position = 0

    def look(self, count: int) -> bytes:
        """Return what comes next."""
        if not self._position:
            self._text = self._make()
        return self._text[self._position : self._position + count]

    def take(self, count: int) -> None:
        """Go on."""
        self._position += count

    def put(self, data: bytes, *, total: int, begins: bool) -> int:
        """Have all that is written taken at once; raise ``SysError``."""
        del total, begins
        if self._write is None:
            raise SysError(errno.EIO)
        self._write(data)
        return len(data)

    def poll(self) -> int:
        """Return that it can be read."""
        return PollEvent.IN | PollEvent.RDNORM

    def seek(self, offset: int, whence: int) -> int:
        """Go to a position; raise ``SysError(EINVAL)`` for one counted from the end. [seq_lseek]"""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence != os.SEEK_SET:
            raise SysError(errno.EINVAL)
        if offset < 0:
            raise SysError(errno.EINVAL)
        if offset and not self._position:
            self._text = self._make()
        self._position = offset
        return offset

    def close(self) -> None:
        """Do nothing."""
