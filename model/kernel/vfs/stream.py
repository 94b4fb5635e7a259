"""What is read and written as it comes: pipes, devices, files of the host that are given."""

from collections.abc import Callable
from typing import Protocol

__all__ = ["PollEvent", "Stream", "WouldBlock"]


class PollEvent:
    """What can be done with a file now. [``POLL*``]"""

    IN = 0x1
    PRI = 0x2
    OUT = 0x4
    ERR = 0x8
    HUP = 0x10
    NVAL = 0x20
    RDNORM = 0x40
    WRNORM = 0x100


class WouldBlock(Exception):
    """A call that has to wait.

    Members
    -------
    ready
        Returns whether to go on.
    done
        How many bytes were moved already: what the call returns if a signal ends it, unless it is
        0, when EINTR or a restart is due.
    resume
        Goes on with the call, and returns what it does; may raise ``WouldBlock`` again. None where
        the whole call is to be made once more.
    timeout, expired
        After how many nanoseconds not to wait any longer, None for never; and what then ends the
        call in place of ``resume``, and returns its result.
    cancel
        To be called if a signal ends the call; None where nothing is to be undone.
    """

    def __init__(self, ready: Callable[[], bool], done: int = 0,
                 resume: Callable[[], int | None] | None = None,
                 timeout: int | None = None,
                 expired: Callable[[], int | None] | None = None,
                 cancel: Callable[[], None] | None = None) -> None:
        super().__init__("The call has to wait")
        self.ready = ready
        self.done = done
        self.resume = resume
        self.timeout = timeout
        self.expired = expired
        self.cancel = cancel


class Stream(Protocol):
    """An open file whose bytes are no page cache's.

    ``look`` returns bytes that come next, at most so many, none at the end, and leaves them;
    ``take`` drops so many of them. ``put`` takes bytes at the start of ``data``, and returns how
    many. Of a write of ``total`` bytes in pieces the first is ``begins``. All raise ``SysError``,
    and ``WouldBlock`` where there are no bytes yet, or no room for any. ``poll`` returns bits of
    ``PollEvent``, ``close`` is called when nobody has it open any more. ``seek`` is as ``lseek``;
    it raises ESPIPE where there are no positions.
    """

    def look(self, count: int) -> bytes: ...

    def take(self, count: int) -> None: ...

    def put(self, data: bytes, *, total: int, begins: bool) -> int: ...

    def poll(self) -> int: ...

    def seek(self, offset: int, whence: int) -> int: ...

    def close(self) -> None: ...
