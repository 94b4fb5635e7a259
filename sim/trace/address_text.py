"""Accesses as plain text: a line of an address, ``r``, ``w`` or ``x``, and a process or nothing.

Commas or spaces stand between them. Addresses are hexadecimal with 0x and decimal without. Lines
that begin with # say nothing, nor does a first line of names.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import AccessKind
from .page_runs import AccessBlock
from .text_words import WordLines, word_lines

__all__ = ["MOST_SPACE", "address_blocks"]

EXPECTED = "'addr,rw' or 'addr,rw,pid', such as 0x7f001000,w,12"
MOST_SPACE = (1 << 32) - 1

_KINDS = np.full(256, 255, np.uint8)
for _kind, _letters in ((AccessKind.READ, b"rRlL0"), (AccessKind.WRITE, b"wWsS1"),
                        (AccessKind.FETCH, b"xXfFiI2")):
    _KINDS[list(_letters)] = _kind


def address_blocks(path: str | Path, stream: BinaryIO) -> Iterator[AccessBlock]:
    """Yield the accesses; raise ``TraceError`` for a line that is none.

    Those of a file without processes are in one address space.
    """
    for lines in word_lines(path, stream):
        yield _accesses(lines)


def _accesses(lines: WordLines) -> AccessBlock:
    said = lines.count > 0
    said &= lines.data[lines.line_start[:-1]] != ord("#")
    if lines.number == 1:
        _pass_names(lines, said)
    lines.refuse(said & (lines.count != 2) & (lines.count != 3), EXPECTED)
    rows = np.flatnonzero(said)
    word = lines.first[rows]
    kind = _KINDS[lines.letter(word + 1)]
    vaddr, sound = lines.address(word)
    wrong = np.zeros(len(said), np.bool_)
    wrong[rows] = (kind == 255) | ~sound
    space = np.zeros(len(rows), np.int64)
    named = np.flatnonzero(lines.count[rows] == 3)
    number, known = lines.decimal(word[named] + 2)
    space[named] = np.minimum(number, MOST_SPACE).astype(np.int64)
    wrong[rows[named]] |= ~known | (number > MOST_SPACE)
    lines.refuse(wrong, EXPECTED)
    return AccessBlock(vaddr, kind, space=space if len(named) else None,
                       instructions=int(np.count_nonzero(kind == AccessKind.FETCH)))


def _pass_names(lines: WordLines, said: NDArray[np.bool_]) -> None:
    """Take the first line that says something for one of names, if its first word is a name."""
    rows = np.flatnonzero(said)
    if len(rows):
        letter = lines.data[lines.start[lines.first[rows[0]]]]
        said[rows[0]] = not chr(letter).isalpha()
