"""The format of recorded accesses: header, records, trailer. All numbers are little-endian.

==========================  ========================================================================
bytes                       what
==========================  ========================================================================
0 to 7                      ``MAGIC``
8 to 11                     the version of the format, ``VERSION``
12 to 15                    H, the bytes of the header, a multiple of 16
16 to 19                    the bytes of a record, 16
20 to 23                    T, the bytes of the text
24 to 31                    0
32 to 31 + T                a text, JSON in UTF-8, with the keys of ``TraceHeader``; then
                            zeros up to H
H + 16 n to H + 16 n + 15   record number n, from 0, as ``RECORD``
the last 32                 the trailer, as ``TRAILER``
==========================  ========================================================================

A record is one translation, in the order in which they were made. A file without a trailer was
not written to its end.
"""

import enum
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import MODES, PAGE_BYTES

__all__ = ["END", "FIXED", "KIND_BITS", "MAGIC", "RECORD", "TRAILER", "TRAILER_MAGIC", "VERSION",
           "RecordFlag", "TraceHeader", "header_bytes", "kinds", "pages", "trailer_bytes"]

MAGIC = b"PWACCESS"
TRAILER_MAGIC = b"PWFINISH"
VERSION = 1

RECORD = np.dtype([("access", "<u8"), ("space", "<u4"), ("task", "<u4")])
"""A record. Bits 63 to 12 of ``access`` are the linear address of the page as it stands in a
register, bits 3 to 0 what the access did, an ``AccessKind``, and bits 4 to 6 are ``RecordFlag``;
bits 7 to 11 are 0. ``space`` numbers the address space: each fork and execve makes a new one.
``task`` is the number of the task that ran, as gettid has it."""

TRAILER = np.dtype([("end", "<u8"), ("records", "<u8"), ("instructions", "<u8"), ("magic", "S8")])
"""What follows the last record. ``end`` is ``END``, which no record begins with; ``records`` counts
the records, ``instructions`` those that the processor has begun; ``magic`` is ``TRAILER_MAGIC``."""

FIXED = np.dtype([("magic", "S8"), ("version", "<u4"), ("header_bytes", "<u4"),
                  ("record_bytes", "<u4"), ("text_bytes", "<u4"), ("zero", "<u8")])
"""The first 32 bytes of the header."""

END = 15
KIND_BITS = 4


class RecordFlag(enum.IntFlag):
    """Bits of ``access`` beside the kind."""

    REFUSED = 1 << 4
    """The MMU answered with a fault; the access is made again if the kernel deals with that."""
    SUPERVISOR = 1 << 5
    """The kernel made it, at CPL 0, for a copy from or to the program: one for each page."""
    EXTRA = 1 << 6
    """It belongs to no instruction of the program: the emulator looked at an instruction, or made
    one again to find out where it faults."""


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """What a trace was recorded of.

    Members
    -------
    mode
        The name of the paging mode.
    check
        ``"each"`` if all accesses are in it; ``"fast"`` if only those that the emulator's own TLB
        asked for.
    program, arguments
        The program, and what it was given.
    version
        The version of pagewalk.
    """

    mode: str
    check: str
    program: str
    arguments: tuple[str, ...] = ()
    version: str = ""

    @classmethod
    def from_text(cls, text: bytes) -> "TraceHeader":
        """Return the header that a text holds; raise ``ValueError`` if it holds none."""
        found: Any = json.loads(text.decode())
        if not isinstance(found, dict) or found.get("mode") not in MODES or found.get(
                "check") not in ("fast", "each"):
            raise ValueError("no paging mode or check")
        arguments = found.get("arguments", [])
        words = [found.get("program"), found.get("version", "")]
        if not isinstance(arguments, list) or not all(
                isinstance(word, str) for word in words + arguments):
            raise ValueError("no program")
        return cls(found["mode"], found["check"], words[0], tuple(arguments), words[1])


def header_bytes(header: TraceHeader) -> bytes:
    """Return a header as it stands in a file."""
    text = json.dumps(asdict(header)).encode()
    size = FIXED.itemsize + len(text)
    size += -size % RECORD.itemsize
    fixed = np.array((MAGIC, VERSION, size, RECORD.itemsize, len(text), 0), FIXED)
    return (fixed.tobytes() + text).ljust(size, b"\0")


def trailer_bytes(records: int, instructions: int) -> bytes:
    """Return a trailer as it stands in a file."""
    return np.array((END, records, instructions, TRAILER_MAGIC), TRAILER).tobytes()


def kinds(records: NDArray[np.void]) -> NDArray[np.uint8]:
    """Return what each of some records did (N,), as numbers of ``AccessKind``."""
    found: NDArray[np.uint8] = (records["access"] & np.uint64((1 << KIND_BITS) - 1)).astype(
        np.uint8)
    return found


def pages(records: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return the linear address of the page of each of some records (N,)."""
    found: NDArray[np.uint64] = records["access"] & np.uint64(-PAGE_BYTES & (1 << 64) - 1)
    return found
