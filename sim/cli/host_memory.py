"""The memory of this computer, which a run may ask too much of."""

import re
from pathlib import Path

from ..errors import InputError

__all__ = ["require_memory"]

MEMINFO = Path("/proc/meminfo")
MIB = 1 << 20


def require_memory(argument: str, needed: int) -> None:
    """Raise ``InputError`` if ``argument`` makes a run need more bytes than the computer has left.

    Linux would promise them, and end the process without a word when it uses them.
    """
    free = _available()
    if free is not None and needed > free:
        raise InputError(f"argument {argument}: needs about {needed // MIB} Mbytes of this "
                         f"computer's memory, which has {free // MIB} left; expected less")


def _available() -> int | None:
    """Return the bytes that can be had without swapping, None if the system does not say."""
    try:
        found = re.search(r"^MemAvailable: +(\d+) kB$", MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) << 10 if found else None
