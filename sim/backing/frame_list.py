"""A list of pages and their frames, as text: a line of linear and physical address, and a size."""

from pathlib import Path

import numpy as np

from ...model.x86 import PAGE_SHIFT, PagingMode
from ..errors import InputError
from ..trace.text_words import WordLines, word_lines
from .backing_error import BackingError
from .page_source import GivenFrames

__all__ = ["frame_list"]

EXPECTED = "'vaddr,paddr' or 'vaddr,paddr,bytes', such as 0x7f0000,0x12000,4096"


def frame_list(path: str, mode: PagingMode, physical_bits: int) -> GivenFrames:
    """Return the pages in a list; raise ``BackingError`` for what no page can be.

    Addresses are hexadecimal with 0x and decimal without; lines that begin with # say nothing. A
    page without a size has 4 Kbytes. Those of all address spaces are the same.
    """
    sizes = {page.page_bytes: number for number, page in enumerate(mode.pages)}
    pages: dict[int, tuple[int, int]] = {}
    bits = mode.translated_bits
    try:
        with Path(path).open("rb") as file:
            for lines in word_lines(path, file):
                for row, values in _rows(lines):
                    vaddr, paddr, size = values
                    known = sizes.get(size)
                    if known is None or vaddr % size or paddr % size or paddr >> physical_bits:
                        raise BackingError(
                            f"{path}: line {row} is a page of {size} bytes at {vaddr:#x} in "
                            f"{paddr:#x}", f"a multiple of one of {', '.join(map(str, sizes))} "
                            f"bytes, below 2**{physical_bits}")
                    pages[(vaddr & (1 << bits) - 1) >> PAGE_SHIFT] = known, paddr >> PAGE_SHIFT
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected a list of pages"
                         ) from None
    if not pages:
        raise BackingError(f"{path}: has no page", EXPECTED)
    return GivenFrames(path, mode, pages)


def _rows(lines: WordLines) -> list[tuple[int, tuple[int, int, int]]]:
    """Return the number and the three values of each line that has some."""
    said = (lines.count > 0) & (lines.data[lines.line_start[:-1]] != ord("#"))
    lines.refuse(said & (lines.count != 2) & (lines.count != 3), EXPECTED)
    rows = np.flatnonzero(said)
    wrong = np.zeros(len(said), np.bool_)
    columns = []
    for place in range(3):
        there = lines.count[rows] > place
        words = lines.first[rows[there]] + place
        values = np.full(len(rows), 1 << PAGE_SHIFT, np.uint64)
        values[there], sound = lines.address(words)
        wrong[rows[there]] |= ~sound
        columns.append(values.tolist())
    lines.refuse(wrong, EXPECTED)
    return list(zip((rows + lines.number).tolist(), zip(*columns, strict=True), strict=True))
