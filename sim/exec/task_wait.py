"""What a task waits for in a call, and what ends that."""

import enum
from dataclasses import dataclass

from ...model.kernel.vfs.stream import WouldBlock

__all__ = ["Restart", "TaskWait", "restart_of"]


class Restart(enum.Enum):
    """What becomes of a call that a signal ends. [include/linux/errno.h]"""

    NEVER = "EINTR in any case"
    WITHOUT_HANDLER = "EINTR if a handler runs"
    UNLESS_REFUSED = "EINTR if a handler runs that does not ask for SA_RESTART"
    DEADLY = "only a signal that ends the process ends it"


@dataclass(slots=True)
class TaskWait:
    """A call that waits.

    Members
    -------
    name, arguments
        The call.
    blocked
        What it waits for.
    deadline
        When it waits no longer, in nanoseconds since the boot; None for never.
    """

    name: str
    arguments: tuple[int, ...]
    blocked: WouldBlock
    deadline: int | None = None


WITHOUT_HANDLER = frozenset({
    "poll", "ppoll", "pselect6", "select", "_newselect", "nanosleep", "clock_nanosleep", "pause",
    "clock_nanosleep_time64", "rt_sigsuspend", "sigsuspend", "ppoll_time64", "pselect6_time64"})
NEVER = frozenset({"rt_sigtimedwait", "rt_sigtimedwait_time64"})
DEADLY = frozenset({"vfork", "clone", "clone3"})


def restart_of(wait: TaskWait) -> Restart:
    """Return what becomes of a call that a signal ends."""
    if wait.name in NEVER:
        return Restart.NEVER
    if wait.name in DEADLY:
        return Restart.DEADLY
    timed_futex = wait.name.startswith("futex") and wait.deadline is not None
    if wait.name in WITHOUT_HANDLER or timed_futex:
        return Restart.WITHOUT_HANDLER
    return Restart.UNLESS_REFUSED
