"""System calls as text, in the form of strace."""

import errno
import os

from ...model.address_space.tables.software_entry import EntryKind
from ...model.kernel.process import Process
from ...model.x86 import PAGE_BYTES, PAGE_SHIFT
from ..exec.signal_delivery import signal_name
from .call_signatures import HEX_RESULTS, SIGNATURES, unknown_signature
from .flag_names import FLAGS, NUMBERS, flags_text, number_text

__all__ = ["CallText", "peek", "quoted", "result_text"]

SHOWN = 32  # bytes of a text
LONGEST_PATH = 4096
AT_FDCWD = -100
ESCAPES = {0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\"}


def peek(process: Process, address: int, size: int) -> bytes:
    """Return what is in a process's memory, up to the first page that is not there.

    Nothing changes by that: no page is read in, and no accessed bit is set.
    """
    space, found = process.space, b""
    while len(found) < size:
        at = address + len(found)
        if not 0 <= at < space.mm.space.task_size:
            break
        leaf = space.tables.lookup(at)
        if leaf is None or space.kind(leaf.entry) is not EntryKind.PRESENT:
            break
        paddr = (space.state.format.pfn(leaf.entry) << PAGE_SHIFT) + at - leaf.vaddr
        here = min(size - len(found), PAGE_BYTES - at % PAGE_BYTES)
        found += space.state.memory.read_bytes(paddr, here)
    return found


def quoted(data: bytes, *, more: bool = False) -> str:
    """Return bytes as a string of C; ``more`` says whether they go on."""
    text = "".join(ESCAPES.get(one) or (chr(one) if 32 <= one < 127 else f"\\x{one:02x}")
                   for one in data)
    return f'"{text}"' + ("..." if more else "")


def result_text(name: str, result: int | None, word_bytes: int) -> str:
    """Return what stands behind the call; None for one that does not return."""
    if result is None:
        return "?"
    if -4096 < result < 0:
        code = errno.errorcode.get(-result, str(-result))
        return f"-1 {code} ({os.strerror(-result)})"
    if name in HEX_RESULTS:
        return f"{result & (1 << 8 * word_bytes) - 1:#x}"
    return str(result)


class CallText:
    """A call that a process makes; its parts are text as soon as they are known.

    Parameters
    ----------
    process
        Who makes it.
    name, arguments
        The call, and its six registers.
    word_bytes
        The size of a register.
    """

    def __init__(self, process: Process, name: str, arguments: tuple[int, ...],
                 word_bytes: int) -> None:
        self.name = name
        self._process, self._arguments, self._word_bytes = process, arguments, word_bytes
        self._kinds = SIGNATURES.get(name) or (
            () if name in SIGNATURES else unknown_signature())
        self._told = 0  # arguments

    def begin(self) -> str:
        """Return the beginning, with the arguments up to the first that the call has to fill in.

        A text that is not in memory yet is told at the end, too.
        """
        told = []
        for place in range(len(self._kinds)):
            text = self._argument(place, None)
            if text is None:
                break
            told.append(text)
        self._told = len(told)
        more = ", " if told and len(told) < len(self._kinds) else ""
        return f"{self.name}({', '.join(told)}{more}"

    def end(self, result: int | None) -> str:
        """Return the rest, with the result; None if it does not return."""
        told = [self._argument(place, result) or f"{self._arguments[place]:#x}"
                for place in range(self._told, len(self._kinds))]
        return f"{', '.join(told)}) = {result_text(self.name, result, self._word_bytes)}"

    def _argument(self, place: int, result: int | None) -> str | None:
        """Return an argument as text, None for one that cannot be told yet."""
        kind, value = self._kinds[place], self._arguments[place]
        if kind == "s":
            return self._string(value)
        if kind == "w":
            return self._bytes(value, self._arguments[place + 1])
        if kind == "r":
            return self._bytes(value, result) if result is not None and result >= 0 else None
        if kind in FLAGS:
            return flags_text(kind, value & 0xFFFF_FFFF)
        if kind in NUMBERS:
            return number_text(kind, value & 0xFFFF_FFFF)
        return self._number(kind, value)

    def _number(self, kind: str, value: int) -> str:
        bits = 8 * self._word_bytes if kind == "l" else 32
        signed = (value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1)
        if kind == "D" and signed == AT_FDCWD:
            return "AT_FDCWD"
        if kind == "signal":
            return signal_name(signed)
        if kind in "dlfD":
            return str(signed)
        if kind == "p":
            return f"{value:#x}" if value else "NULL"
        if kind == "o":
            return f"0{value & 0o7777:o}" if value else "0"
        return str(value) if kind == "u" else f"{value:#x}"

    def _string(self, address: int) -> str | None:
        if not address:
            return "NULL"
        data = peek(self._process, address, LONGEST_PATH)
        return quoted(data[: data.index(0)]) if 0 in data else None

    def _bytes(self, address: int, size: int) -> str | None:
        data = peek(self._process, address, min(size, SHOWN))
        return quoted(data, more=size > SHOWN) if len(data) == min(size, SHOWN) else None
