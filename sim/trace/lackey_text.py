"""The accesses that Valgrind's tool lackey prints, with --trace-mem=yes.

A line is ``I  addr,size`` for an instruction, `` L addr,size`` for a load, `` S`` for a store and
`` M`` for a load and a store of the same bytes; addresses are hexadecimal. Valgrind's own lines
begin with ``==``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...model.x86 import AccessKind
from .page_runs import AccessBlock
from .text_words import WordLines, word_lines

__all__ = ["is_lackey", "lackey_blocks"]

EXPECTED = "'I  addr,size', ' L addr,size', ' S addr,size' or ' M addr,size'"
WORDS = 3

_KINDS = np.full(256, 255, np.uint8)
_KINDS[ord("I")], _KINDS[ord("L")], _KINDS[ord("S")] = (
    AccessKind.FETCH, AccessKind.READ, AccessKind.WRITE)
MODIFY = ord("M")
_KINDS[MODIFY] = AccessKind.READ


def is_lackey(lines: list[bytes]) -> bool:
    """Return whether the first of some lines that is not Valgrind's own is one of lackey.

    Lines that all are Valgrind's own will do.
    """
    own = False
    for line in lines:
        words = line.replace(b",", b" ").split()
        if line.startswith((b"==", b"--")):
            own = True
        elif words:
            return len(words) == WORDS and words[0] in (b"I", b"L", b"S", b"M")
    return own


def lackey_blocks(path: str | Path, stream: BinaryIO) -> Iterator[AccessBlock]:
    """Yield the accesses; a modification is a load, and a store after it.

    Raise ``TraceError`` for a line that is none of lackey.
    """
    for lines in word_lines(path, stream):
        yield _accesses(lines)


def _accesses(lines: WordLines) -> AccessBlock:
    head = lines.data[lines.line_start[:-1]]
    own = (lines.count == 0) | (head == ord("=")) | (head == ord("-"))
    lines.refuse(~own & (lines.count != WORDS), EXPECTED)
    rows = np.flatnonzero(~own)
    word = lines.first[rows]
    letter = lines.letter(word)
    kind = _KINDS[letter]
    vaddr, sound = lines.hexadecimal(word + 1)
    size, small = lines.decimal(word + 2)
    wrong = np.zeros(len(own), np.bool_)
    wrong[rows] = (kind == 255) | ~sound | ~small | (size == 0) | (size > 1 << 16)
    lines.refuse(wrong, EXPECTED)
    modify = letter == MODIFY
    instructions = int(np.count_nonzero(letter == ord("I")))
    if modify.any():
        times = modify + 1
        vaddr, size, kind = np.repeat(vaddr, times), np.repeat(size, times), np.repeat(kind, times)
        kind[np.cumsum(times)[modify] - 1] = AccessKind.WRITE
    return AccessBlock(vaddr, kind, size.astype(np.int64), instructions=instructions)
