"""The limits of a process. [setrlimit(2), do_prlimit in kernel/sys.c]"""

import errno
from dataclasses import dataclass, field, replace

from .errors import SysError

__all__ = ["INFINITY", "Resource", "Rlimits"]

INFINITY = (1 << 64) - 1
"""No limit. [RLIM_INFINITY]"""

MAX_OPEN_FILES = 1 << 20  # [sysctl_nr_open]


class Resource:
    """What a limit is of. [``RLIMIT_*``]"""

    CPU, FSIZE, DATA, STACK, CORE, RSS, NPROC, NOFILE, MEMLOCK, AS = range(10)
    LOCKS, SIGPENDING, MSGQUEUE, NICE, RTPRIO, RTTIME = range(10, 16)
    COUNT = 16


FIELDS = {Resource.FSIZE: "file_size", Resource.DATA: "data", Resource.STACK: "stack",
          Resource.NOFILE: "open_files", Resource.MEMLOCK: "memlock",
          Resource.AS: "address_space"}
OTHERS = {Resource.CORE: 0, Resource.MSGQUEUE: 819200, Resource.NICE: 0, Resource.RTPRIO: 0}
HARD = {Resource.NOFILE: 4096, Resource.MEMLOCK: 8 << 20, Resource.MSGQUEUE: 819200,
        Resource.NICE: 0, Resource.RTPRIO: 0}


@dataclass(slots=True)
class Rlimits:
    """The soft limits of a process, in bytes or in open files; ``INFINITY`` is no limit.

    They are those of the first process of a machine. [INIT_RLIMITS] Two that the kernel works out
    from the size of memory, for processes and pending signals, are infinite here.

    Members
    -------
    others
        Soft limits that nothing here looks at, by ``Resource``; infinite if they are not there.
    hard
        What the soft limits may be raised to, by ``Resource``; infinite if it is not there.
    """

    address_space: int = INFINITY
    data: int = INFINITY
    stack: int = 8 << 20
    memlock: int = 8 << 20
    open_files: int = 1024
    file_size: int = INFINITY
    others: dict[int, int] = field(default_factory=lambda: dict(OTHERS))
    hard: dict[int, int] = field(default_factory=lambda: dict(HARD))

    def __post_init__(self) -> None:
        """Let no hard limit be below the soft one that a caller gave."""
        for resource, most in self.hard.items():
            self.hard[resource] = max(most, self._soft(resource))

    def copy(self) -> "Rlimits":
        """Return the limits of a child. [copy_signal]"""
        return replace(self, others=dict(self.others), hard=dict(self.hard))

    def get(self, resource: int) -> tuple[int, int]:
        """Return the soft and the hard limit of a ``Resource``; raise ``SysError(EINVAL)``."""
        if not 0 <= resource < Resource.COUNT:
            raise SysError(errno.EINVAL)
        return self._soft(resource), self.hard.get(resource, INFINITY)

    def _soft(self, resource: int) -> int:
        if resource in FIELDS:
            return int(getattr(self, FIELDS[resource]))
        return self.others.get(resource, INFINITY)

    def set(self, resource: int, soft: int, hard: int, *, privileged: bool) -> None:
        """Set the limits of a ``Resource``; ``privileged`` may raise the hard one.

        Raise ``SysError``: EINVAL for no resource, or a soft limit above the hard one; EPERM to
        raise the hard one, or for more files than any process may open. [do_prlimit]
        """
        _, before = self.get(resource)
        if soft > hard:
            raise SysError(errno.EINVAL)
        too_many = resource == Resource.NOFILE and hard > MAX_OPEN_FILES
        if too_many or (hard > before and not privileged):
            raise SysError(errno.EPERM)
        self.hard[resource] = hard
        if resource in FIELDS:
            setattr(self, FIELDS[resource], soft)
        else:
            self.others[resource] = soft
