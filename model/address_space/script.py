"""Scripts: the first line of a file names the program that is to run it. [fs/binfmt_script.c]"""

import errno
from dataclasses import dataclass

from .errors import ExecError

__all__ = ["SCRIPT_HEAD_BYTES", "Script", "parse_script"]

SCRIPT_HEAD_BYTES = 256
"""How much of a file the kernel looks at. [BINPRM_BUF_SIZE]"""

SPACES = b" \t"


@dataclass(frozen=True, slots=True)
class Script:
    """What a script asks for: a program by its name, and perhaps one argument for it.

    The argument is all that follows the first gap in the line, gaps within it included.
    """

    interpreter: bytes
    argument: bytes | None = None


def parse_script(head: bytes, file: str) -> Script | None:
    """Return what the first line asks for, None unless it begins with ``#!``.

    Raise ``ExecError(ENOEXEC)`` if it names nothing, or if the name may go on beyond what the
    kernel looks at. An argument is cut off there. [load_script]

    Parameters
    ----------
    head
        The first ``SCRIPT_HEAD_BYTES`` of the file, fewer if there are no more.
    file
        The name of the file, for the error.
    """
    if not head.startswith(b"#!"):
        return None
    buffer = head[:SCRIPT_HEAD_BYTES].ljust(SCRIPT_HEAD_BYTES, b"\0")
    end = _string(buffer).find(b"\n")
    if end < 0:
        end = SCRIPT_HEAD_BYTES - 1
        first = _skip(buffer, 2)
        if first > end or _gap(buffer, first) > end:
            raise _wrong(file, f"longer than {SCRIPT_HEAD_BYTES} bytes")
    while buffer[end - 1] in SPACES:
        end -= 1
    first = _skip(buffer, 2)
    if first >= end:
        raise _wrong(file, "empty")
    gap = _gap(buffer, first)
    if gap > end or not buffer[gap] or _skip(buffer, gap) > end:
        return Script(_string(buffer[first:end]))
    return Script(_string(buffer[first:gap]), _string(buffer[_skip(buffer, gap) : end]))


def _skip(buffer: bytes, start: int) -> int:
    """Return where the next byte is that is no space or tab. [next_non_spacetab]"""
    return next((at for at in range(start, len(buffer)) if buffer[at] not in SPACES), len(buffer))


def _gap(buffer: bytes, start: int) -> int:
    """Return where the next space, tab or zero byte is. [next_terminator]"""
    return next((at for at in range(start, len(buffer)) if buffer[at] in b" \t\0"), len(buffer))


def _string(data: bytes) -> bytes:
    return data.split(b"\0")[0]


def _wrong(file: str, found: str) -> ExecError:
    return ExecError(errno.ENOEXEC, file, "the name of the interpreter after #!", found,
                     f"a name within the first {SCRIPT_HEAD_BYTES} bytes")
