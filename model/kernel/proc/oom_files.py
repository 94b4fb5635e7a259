"""``/proc/PID/oom_score_adj`` and ``oom_score``: who is killed when memory runs out.

[fs/proc/base.c]
"""

import errno
import re

from ...address_space.errors import SysError
from ..oom import oom_badness
from ..process import Process
from ..state import KernelState

__all__ = ["oom_score", "oom_score_adj", "write_oom_score_adj"]

MOST = 1000
INT_MIN, INT_MAX = -1 << 31, (1 << 31) - 1
NUMBER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")


def oom_score(state: KernelState, process: Process) -> str:
    """Return ``/proc/PID/oom_score``: 0 for never, up to 2000, a third less. [proc_oom_score]"""
    total = state.commit.limit
    badness = oom_badness(process, total)
    if badness is None:
        return "0\n"
    scaled = abs(badness * 1000) // total * (-1 if badness < 0 else 1)
    return f"{(1000 + scaled) * 2 // 3}\n"


def oom_score_adj(process: Process) -> str:
    """Return ``/proc/PID/oom_score_adj``."""
    return f"{process.oom_score_adj}\n"


def write_oom_score_adj(process: Process, text: str, *, privileged: bool) -> None:
    """Write to ``/proc/PID/oom_score_adj``; ``privileged`` is whether the administrator does.

    Raise ``SysError``: EINVAL for what is no number from -1000 to 1000, but ERANGE for one that no
    ``int`` holds; EACCES for less than what the administrator wrote last.
    [oom_score_adj_write, kstrtoint, __set_oom_adj]
    """
    found = NUMBER.fullmatch(text.strip())
    if found is None:
        raise SysError(errno.EINVAL)
    sign, hexadecimal, octal, decimal = found.groups()
    value = (int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal))
    value *= -1 if sign == "-" else 1
    if not INT_MIN <= value <= INT_MAX:
        raise SysError(errno.ERANGE)
    if not -MOST <= value <= MOST:
        raise SysError(errno.EINVAL)
    if value < process.oom_score_adj_min and not privileged:
        raise SysError(errno.EACCES)
    process.oom_score_adj = value
    if privileged:
        process.oom_score_adj_min = value
