"""The system calls of a process: from the boundary to the parts that do the work.

Each returns what Linux leaves in the register: a result, or a negative errno. Data cross the
boundary by copies that may fail in the middle.
"""

from .file_calls import FileCalls
from .limit_calls import LimitCalls
from .lock_calls import LockCalls
from .memory_calls import MemoryCalls
from .process_calls import ProcessCalls
from .protect_calls import ProtectCalls
from .swap_calls import SwapCalls

__all__ = ["SystemCalls"]


class SystemCalls(MemoryCalls, ProtectCalls, LockCalls, FileCalls, ProcessCalls,
                  LimitCalls, SwapCalls):
    """The calls of whichever process runs.

    Arguments are numbers of any size, of which a call sees what a register, or the ``int`` that
    it takes, holds of them. Every call may raise ``OomKilled``, when it does not return, as its
    process is gone, and ``execve`` raises ``LateExecError``. Each family of calls stands in a file
    of its own.
    """
