"""A program's system calls by name: what carries each out, and what becomes of the others."""

import errno
from collections import Counter
from collections.abc import Callable, Mapping

from ...model.address_space.errors import SysError
from .call_context import Call, CallContext
from .exec_family import EXEC_CALLS
from .file_family import DIRECT_FILES, FILE_CALLS
from .futex_family import FUTEX_CALLS
from .identity_family import IDENTITY_CALLS
from .memory_family import DIRECT_MEMORY, MEMORY_CALLS
from .old_family import OLD_CALLS
from .personal_family import PERSONAL_CALLS
from .poll_family import POLL_CALLS
from .process_family import PROCESS_CALLS
from .signal_family import SIGNAL_CALLS
from .task_family import TASK_CALLS
from .task_wait import TaskWait
from .time_family import TIME_CALLS
from .timer_family import TIMER_CALLS
from .usage_family import USAGE_CALLS

__all__ = ["CALLS", "CallTable"]

DIRECT = DIRECT_FILES | DIRECT_MEMORY
OLD_FORMS = {"stat": "old_stat", "lstat": "old_lstat", "fstat": "old_fstat",
             "getrlimit": "old_getrlimit", "select": "old_select", "chown": "old_chown",
             "lchown": "old_lchown", "fchown": "old_fchown"}
"""What calls are in 32-bit programs that have another form there than in 64-bit ones."""

CALLS: Mapping[str, Call] = {
    **FILE_CALLS, **MEMORY_CALLS, **PROCESS_CALLS, **SIGNAL_CALLS, **TIME_CALLS,
    **EXEC_CALLS, **TASK_CALLS, **FUTEX_CALLS, **POLL_CALLS, **USAGE_CALLS, **IDENTITY_CALLS,
    **PERSONAL_CALLS, **TIMER_CALLS, **OLD_CALLS}
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

        Raise ``TaskExited``, ``GroupExited``, ``ProgramReplaced``, ``WouldBlock``; what
        ``SystemCalls`` raises.
        """
        self.made[name] += 1
        return self._result(lambda: self._make(context, name, arguments))

    def go_on(self, context: CallContext, wait: TaskWait) -> int:
        """Go on with a call that need not wait any more; as ``call``."""
        resume = wait.blocked.resume
        if resume is None:
            return self._result(lambda: self._make(context, wait.name, wait.arguments))
        return self._result(resume)

    def expired(self, wait: TaskWait) -> int:
        """End a call that has waited as long as it may; as ``call``."""
        assert wait.blocked.expired is not None, "it has a limit"
        return self._result(wait.blocked.expired)

    def _result(self, act: Callable[[], int | None]) -> int:
        try:
            return act() or 0
        except SysError as error:
            return -error.errno

    def _make(self, context: CallContext, name: str, arguments: tuple[int, ...]) -> int:
        asked, name = name, (OLD_FORMS.get(name, name) if context.word_bytes == 4 else name)
        if name in DIRECT:
            method, count = DIRECT[name]
            result: int = getattr(context.calls, method)(*arguments[:count])
            return result
        try:
            return self._call(name)(context, *arguments)
        except SysError as error:
            if error.errno == errno.ENOSYS:  # a call that there is not, or not in this form
                self.missing[asked] += 1
            raise

    @staticmethod
    def _call(name: str) -> Call:
        """Return what carries out a call; raise ``SysError(ENOSYS)``."""
        if name not in CALLS:
            raise SysError(errno.ENOSYS)
        return CALLS[name]
