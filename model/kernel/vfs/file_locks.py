"""Locks on ranges of files, which those ask for who mind them. [fs/locks.c]"""

import errno
from dataclasses import dataclass, field

from ...address_space.errors import SysError

__all__ = ["END", "FileLocks", "RangeLock"]

END = 1 << 63
"""Where a range ends that has no end. [OFFSET_MAX + 1]"""


@dataclass(frozen=True, slots=True, eq=False)
class RangeLock:
    """A lock on the bytes ``start`` up to ``end``.

    ``owner`` is the table of open files of a process, or an open file; ``pid`` is told to others,
    -1 for an open file's.
    """

    owner: object
    start: int
    end: int
    exclusive: bool
    pid: int = -1

    def overlaps(self, other: "RangeLock") -> bool:
        """Return whether both have a byte in common."""
        return self.start < other.end and other.start < self.end


@dataclass(slots=True, eq=False)
class FileLocks:
    """The locks of one file, owner after owner, each from low to high."""

    held: list[RangeLock] = field(default_factory=list)

    def conflict(self, wanted: RangeLock) -> RangeLock | None:
        """Return the first lock of another owner that forbids one. [posix_test_lock]"""
        for one in self.held:
            if one.owner is not wanted.owner and one.overlaps(wanted) and (
                    one.exclusive or wanted.exclusive):
                return one
        return None

    def lock(self, wanted: RangeLock) -> None:
        """Add a lock in place of what its owner had there; raise ``SysError(EAGAIN)``.

        It becomes one with those of its kind that it touches. [posix_lock_inode]
        """
        if self.conflict(wanted) is not None:
            raise SysError(errno.EAGAIN)
        owner, start, end = wanted.owner, wanted.start, wanted.end
        place = next((at for at, one in enumerate(self.held) if one.owner is owner),
                     len(self.held))
        for one in [one for one in self.held if one.owner is owner]:
            if one.exclusive == wanted.exclusive and one.start <= end and start <= one.end:
                start, end = min(start, one.start), max(end, one.end)
        self.unlock(owner, start, end)
        merged = RangeLock(owner, start, end, wanted.exclusive, wanted.pid)
        own = sorted([merged, *(one for one in self.held if one.owner is owner)],
                     key=lambda one: one.start)
        others = [one for one in self.held if one.owner is not owner]
        self.held = [*others[:place], *own, *others[place:]]

    def unlock(self, owner: object, start: int = 0, end: int = END) -> None:
        """Take what an owner has of a range away; what is around it stays."""
        kept = []
        for one in self.held:
            if one.owner is not owner or one.end <= start or end <= one.start:
                kept.append(one)
                continue
            for low, high in ((one.start, start), (end, one.end)):
                if low < high:
                    kept.append(RangeLock(owner, low, high, one.exclusive, one.pid))
        self.held = kept
