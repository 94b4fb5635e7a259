"""A program's system calls by name: what carries each out, and what becomes of the others."""

import errno
from collections import Counter
from collections.abc import Mapping

from ...model.address_space.errors import SysError
from ...model.kernel.vfs.stream import WouldBlock
from .call_context import Call, CallContext, WaitsForEver
from .file_family import DIRECT_FILES, FILE_CALLS
from .memory_family import DIRECT_MEMORY, MEMORY_CALLS
from .process_family import PROCESS_CALLS
from .signal_family import SIGNAL_CALLS
from .time_family import TIME_CALLS

__all__ = ["CALLS", "CallTable"]

DIRECT = DIRECT_FILES | DIRECT_MEMORY
CALLS: Mapping[str, Call] = {
    **FILE_CALLS, **MEMORY_CALLS, **PROCESS_CALLS, **SIGNAL_CALLS, **TIME_CALLS}
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

        Raise ``ProgramExited``, ``ProgramKilled``, ``SignalHandled``, ``WaitsForEver``; what
        ``SystemCalls`` raises.
        """
        self.made[name] += 1
        try:
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
        self.missing[name] += 1
        return -errno.ENOSYS

    def _wait(self, context: CallContext, name: str, blocked: WouldBlock) -> int:
        """Let the time pass that a call waits at most, as nobody else is there to end it."""
        if blocked.timeout is None or blocked.expired is None:
            raise WaitsForEver(f"{name} waits for what only another process could do")
        context.clock.slept += blocked.timeout
        return blocked.expired() or 0
