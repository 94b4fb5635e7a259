"""The system calls of a process: from the boundary to the parts that do the work.

Each returns what Linux leaves in the register: a result, or a negative errno. Data cross the
boundary by copies that may fail in the middle.
"""

from .attribute_calls import AttributeCalls
from .exec_calls import ExecCalls
from .file_calls import FileCalls
from .limit_calls import LimitCalls
from .lock_calls import LockCalls
from .memory_calls import MemoryCalls
from .name_calls import NameCalls
from .poll_calls import PollCalls
from .process_calls import ProcessCalls
from .protect_calls import ProtectCalls
from .stat_calls import StatCalls
from .statfs_calls import StatfsCalls
from .swap_calls import SwapCalls
from .transfer_calls import TransferCalls
from .vector_calls import VectorCalls

__all__ = ["SystemCalls"]


class SystemCalls(MemoryCalls, ProtectCalls, LockCalls, FileCalls, ProcessCalls,
                  LimitCalls, SwapCalls, ExecCalls, NameCalls, StatCalls, AttributeCalls,
                  VectorCalls, PollCalls, TransferCalls, StatfsCalls):
    """The calls of whichever process runs.

    Arguments are numbers of any size, of which a call sees what a register, or the ``int`` that
    it takes, holds of them. Every call may raise ``OomKilled``, when it does not return, as its
    process is gone, ``execve`` raises ``LateExecError``, and a call that has to wait
    ``WouldBlock``. Each family of calls stands in a file
    of its own.
    """
