"""A program's system calls by name: what carries each out, and what becomes of the others."""

import errno
from collections import Counter
from collections.abc import Mapping

from ...model.address_space.errors import SysError
from ...model.kernel.vfs.stream import WouldBlock
from .call_context import Call, CallContext, WaitsForEver
from .exec_family import EXEC_CALLS
from .file_family import DIRECT_FILES, FILE_CALLS
from .memory_family import DIRECT_MEMORY, MEMORY_CALLS
from .process_family import PROCESS_CALLS
from .signal_family import SIGNAL_CALLS
from .time_family import TIME_CALLS

__all__ = ["CALLS", "CallTable"]

DIRECT = DIRECT_FILES | DIRECT_MEMORY
OLD_FORMS = frozenset({"stat", "lstat", "fstat", "getrlimit"})
"""Calls with structures that 32-bit programs have not used for long, and that are left out."""

CALLS: Mapping[str, Call] = {
    **FILE_CALLS, **MEMORY_CALLS, **PROCESS_CALLS, **SIGNAL_CALLS, **TIME_CALLS,
    **EXEC_CALLS}
"""The calls in a form of their own, by name."""


class CallTable:
    """Carries out calls, and counts them.

    Members
    -------
    made
        How often each call was made, by name.
    missing
        How often each call was made that there is not: it ended with ENOSYS.
    """

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()

    def call(self, context: CallContext, name: str, arguments: tuple[int, ...]) -> int:
        """Carry out a call; return its result, or a negative errno.

        Raise ``ProgramExited``, ``ProgramKilled``, ``ProgramReplaced``, ``SignalHandled``,
        ``WaitsForEver``; what ``SystemCalls`` raises.
        """
        self.made[name] += 1
        try:
            if name in OLD_FORMS and context.word_bytes == 4:
                return self._missing(name)
            if name in DIRECT:
                method, count = DIRECT[name]
                result: int = getattr(context.calls, method)(*arguments[:count])
                return result
            if name in CALLS:
                return CALLS[name](context, *arguments)
        except SysError as error:
            return -error.errno
        except WouldBlock as blocked:
            return self._wait(context, name, blocked)
        return self._missing(name)

    def _missing(self, name: str) -> int:
        self.missing[name] += 1
        return -errno.ENOSYS

    def _wait(self, context: CallContext, name: str, blocked: WouldBlock) -> int:
        """Let the time pass that a call waits at most, as nobody else is there to end it."""
        if blocked.timeout is None or blocked.expired is None:
            raise WaitsForEver(f"{name} waits for what only another process could do")
        context.clock.slept += blocked.timeout
        return blocked.expired() or 0
