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
    """The locks of one file."""

    held: list[RangeLock] = field(default_factory=list)

    def conflict(self, wanted: RangeLock) -> RangeLock | None:
        """Return the first lock of another owner that forbids one. [posix_test_lock]"""
        for one in sorted(self.held, key=lambda lock: lock.start):
            if one.owner is not wanted.owner and one.overlaps(wanted) and (
                    one.exclusive or wanted.exclusive):
                return one
        return None

    def lock(self, wanted: RangeLock) -> None:
        """Add a lock in place of what its owner had there; raise ``SysError(EAGAIN)``.

        [posix_lock_inode]
        """
        if self.conflict(wanted) is not None:
            raise SysError(errno.EAGAIN)
        self.unlock(wanted.owner, wanted.start, wanted.end)
        self.held.append(wanted)

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
