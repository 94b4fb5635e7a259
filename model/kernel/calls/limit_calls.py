"""System calls about the limits of processes. [kernel/sys.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.rlimits import INFINITY
from ..process import Process
from .arguments import as_int, as_uint
from .caller import Caller

__all__ = ["LimitCalls"]


class LimitCalls(Caller):
    """The calls that read and set limits.

    In memory each is two numbers, the soft limit and the hard one: of a word, or for ``prlimit64``
    of 8 bytes. All ones are no limit.
    """

    def getrlimit(self, resource: int, address: int) -> int:
        """Store a limit at an address. [getrlimit(2)]"""
        def work(process: Process) -> None:
            limits = process.mm.rlimits.get(as_uint(resource))
            self._store_limits(address, limits, self.kernel.space.word_bytes)
        return self._call(work)

    def setrlimit(self, resource: int, address: int) -> int:
        """Set a limit to what is at an address. [setrlimit(2)]"""
        def work(process: Process) -> None:
            soft, hard = self._load_limits(address, self.kernel.space.word_bytes)
            process.mm.rlimits.set(as_uint(resource), soft, hard,
                                   privileged=process.mm.privileged)
        return self._call(work)

    def prlimit64(self, pid: int, resource: int, new: int, old: int) -> int:
        """Set a limit of any process to what is at ``new``, and store at ``old`` what it was.

        Each is left out if its address is 0; so is ``pid`` for the process that calls. Those of
        other users are for the administrator. [prlimit(2)]
        """
        new, old = self._words(new, old)

        def work(process: Process) -> None:
            limits = self._load_limits(new, 8) if new else None
            target = self.kernel.processes.get(as_int(pid)) if as_int(pid) else process
            if target is None:
                raise SysError(errno.ESRCH)
            _check_permission(process, target)
            rlimits = target.mm.rlimits
            before = rlimits.get(as_uint(resource))
            if limits is not None:
                rlimits.set(as_uint(resource), *limits, privileged=process.mm.privileged)
            if old:
                self._store_limits(old, before, 8)
        return self._call(work)

    def _load_limits(self, address: int, size: int) -> tuple[int, int]:
        """Return a pair of limits; raise ``SysError(EFAULT)``. [rlim64_to_rlim]"""
        data, left = self.user.copy_from_user(self.kernel.space.word(address), 2 * size)
        if left:
            raise SysError(errno.EFAULT)
        soft, hard = (int.from_bytes(data[at : at + size], "little") for at in (0, size))
        most = self.kernel.space.word(-1)
        return (soft if soft < most else INFINITY), (hard if hard < most else INFINITY)

    def _store_limits(self, address: int, limits: tuple[int, int], size: int) -> None:
        """Store a pair of limits; raise ``SysError(EFAULT)``. [rlim_to_rlim64]"""
        most = (1 << 8 * size) - 1
        data = b"".join(min(limit, most).to_bytes(size, "little") for limit in limits)
        if self.user.copy_to_user(self.kernel.space.word(address), data):
            raise SysError(errno.EFAULT)


def _check_permission(process: Process, target: Process) -> None:
    """Raise ``SysError(EPERM)`` unless a process may see the limits of another.

    Both users and groups of that one must be its own. [check_prlimit_permission]
    """
    mine, its = process.credentials, target.credentials
    same = {its.uid, its.euid} == {mine.uid} and {its.gid, its.egid} == {mine.gid}
    if target is not process and not same and not process.mm.privileged:
        raise SysError(errno.EPERM)
