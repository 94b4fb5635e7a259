"""The time that programs see: a nanosecond for each instruction, so that runs are the same."""

from collections.abc import Callable

__all__ = ["BOOT_TIME", "ProgramClock"]

NSEC = 10 ** 9
BOOT_TIME = 1_767_225_600 * NSEC
"""When every machine is started: at the beginning of 2026, in nanoseconds since 1970."""


class ProgramClock:
    """A clock that instructions and waiting move on.

    Members
    -------
    count
        Returns how many instructions have begun.
    slept
        Nanoseconds that the machine has waited.
    """

    def __init__(self) -> None:
        self.count: Callable[[], int] = int
        self.slept = 0

    @property
    def uptime(self) -> int:
        """Nanoseconds since the machine was started. [CLOCK_MONOTONIC]"""
        return self.count() + self.slept

    def now(self) -> int:
        """Return the nanoseconds since 1970. [CLOCK_REALTIME]"""
        return BOOT_TIME + self.uptime
