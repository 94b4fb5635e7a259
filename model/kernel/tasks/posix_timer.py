"""Timers that a process makes, beside its alarm. [struct k_itimer]"""

from dataclasses import dataclass

__all__ = ["PosixTimer"]


@dataclass(slots=True, eq=False)
class PosixTimer:
    """A timer.

    Members
    -------
    number, clock
        What it is known by, and whose time it was made for.
    signal
        What it sends, 0 for nothing.
    value
        What a handler is given with it.
    tid
        The task that gets the signal, 0 for the process.
    at, every
        When it is due in nanoseconds since the boot, None for never, and how often then.
    overrun
        How often it was due while the signal before still waited.
    """

    number: int
    clock: int
    signal: int
    value: int = 0
    tid: int = 0
    at: int | None = None
    every: int = 0
    overrun: int = 0

    def ring(self, now: int) -> int:
        """Return how often it was due until now, and move it on. [hrtimer_forward]"""
        if self.at is None or self.at > now:
            return 0
        if not self.every:
            self.at = None
            return 1
        times = (now - self.at) // self.every + 1
        self.at += times * self.every
        return times
