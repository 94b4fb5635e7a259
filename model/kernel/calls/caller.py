"""What all families of system calls share: the process that calls, and how a call ends."""

from collections.abc import Callable

from ...address_space.errors import SysError
from ...address_space.exec_program import LateExecError
from ...address_space.shmem_mapping import putting_files
from ..kernel import Kernel
from ..process import Process
from ..vfs.pipe import BrokenPipeSignal
from ..vfs.stream import WouldBlock
from .file_io import FileIo
from .uaccess import UserAccess

__all__ = ["Caller"]


class Caller:
    """Makes calls for whichever process runs.

    Parameters
    ----------
    kernel
        The kernel.
    user
        The copies to and from the process; by the golden walk if None.

    Members
    -------
    user
        The copies to and from the process.
    io
        The copies between files and the process.
    broken_pipe
        Called with a process that wrote to a pipe that nobody reads: it is to get SIGPIPE.
    """

    def __init__(self, kernel: Kernel, user: UserAccess | None = None) -> None:
        self.kernel = kernel
        self.user = user if user is not None else UserAccess(kernel)
        self.io = FileIo(kernel, self.user)
        self.broken_pipe: Callable[[Process], None] = lambda _process: None

    @property
    def _process(self) -> Process:
        process = self.kernel.current
        if process is None:
            raise ValueError("No process runs that could call")
        return process

    def _call(self, work: Callable[[Process], int | None]) -> int:
        """Do the work of a call; return its result, by default 0, or a negative errno.

        Raise ``LateExecError``, as no program is left that could look at an errno, and
        ``WouldBlock``, with which the call goes on when it can, for the same process.
        """
        process = self._process
        try:
            with self.kernel.acting(process), putting_files(process.mm):
                result = work(process)
        except LateExecError:
            raise
        except WouldBlock as blocked:
            self._bind(blocked, work)
            raise
        except BrokenPipeSignal as error:
            self.broken_pipe(process)
            return -error.errno
        except SysError as error:
            return -error.errno
        return result or 0

    def _bind(self, blocked: WouldBlock, work: Callable[[Process], int | None]) -> None:
        """Have what goes on with a call that waits end as a call does, too."""
        go_on, expired = blocked.resume, blocked.expired
        again = work if go_on is None else lambda _: go_on()
        blocked.resume = lambda: self._call(again)
        if expired is not None:
            blocked.expired = lambda: self._call(lambda _: expired())

    def _words(self, *values: int) -> tuple[int, ...]:
        """Return what registers hold of ``values``."""
        return tuple(map(self.kernel.space.word, values))
