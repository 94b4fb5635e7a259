"""Mappings in the lines of QEMU's monitor: ``info tlb`` and ``info mem``.

[QEMU 7.2, target/i386/monitor.c: print_pte, mem_print]
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_SHIFT, Entry
from .entry_rules import USER, WRITE
from .page_list import Pages

__all__ = ["mem_lines", "tlb_lines"]

FLAGS = (("X", Entry.XD), ("G", Entry.G), ("P", Entry.PS), ("D", Entry.D), ("A", Entry.A),
         ("C", Entry.PCD), ("T", Entry.PWT), ("U", Entry.US), ("W", Entry.RW))
ADDRESS_BITS = 50  # of a physical address with entries of 8 bytes


def tlb_lines(chunks: Iterable[Pages]) -> Iterator[str]:
    """Yield a line for each page, as ``info tlb`` does: the flags are those of the leaf alone."""
    texts: dict[int, str] = {}
    for pages in chunks:
        flags = pages.word & np.uint64(sum(bit for _, bit in FLAGS))
        flags[pages.size == 1 << PAGE_SHIFT] &= ~np.uint64(Entry.PS)  # there it is PAT
        columns = zip(pages.vaddr.tolist(), _shown(pages).tolist(), flags.tolist(), strict=True)
        for vaddr, paddr, word in columns:
            if word not in texts:
                texts[word] = "".join(letter if word & bit else "-" for letter, bit in FLAGS)
            yield f"{vaddr:016x}: {paddr:016x} {texts[word]}"


def _shown(pages: Pages) -> NDArray[np.uint64]:
    """Return the physical addresses that QEMU shows: of a 4-Mbyte page without PSE-36."""
    bits = 8 * pages.mode.entry_bytes
    return pages.word & (np.uint64(1 << min(bits, ADDRESS_BITS)) - pages.size)


def mem_lines(chunks: Iterable[Pages]) -> Iterator[str]:
    """Yield a line for each range of equal rights, as ``info mem`` does.

    Rights are those of all levels, without XD; sizes of pages are not told apart. A range may cross
    the addresses that are not canonical, as it does there.
    """
    start, end, rights = 0, -1, 0
    sign, keep = 0, (1 << 64) - 1
    for pages in chunks:
        if pages.mode.vaddr_bits > pages.mode.translated_bits:
            sign = 1 << pages.mode.translated_bits - 1
        for first, last, allowed in _equal_ranges(pages):
            if first == end and allowed == rights:
                end = last
                continue
            if end >= 0:
                yield _mem_line(start, end, rights, sign, keep)
            start, end, rights = first, last, allowed
    if end >= 0:
        yield _mem_line(start, end, rights, sign, keep)


def _mem_line(start: int, end: int, rights: int, sign: int, keep: int) -> str:
    """Return one line; QEMU extends the sign of start, end and size alike."""
    shown = (value | -sign & keep if value & sign else value for value in
             (start, end, end - start))
    first, last, size = (f"{value:016x}" for value in shown)
    user, write = "u" if rights & USER else "-", "w" if rights & WRITE else "-"
    return f"{first}-{last} {size} {user}r{write}"


def _equal_ranges(pages: Pages) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and rights of the ranges of one chunk, without sign extension."""
    if not len(pages):
        return
    rights = pages.rights & np.uint8(USER | WRITE)
    ends = pages.index + pages.size
    breaks = np.flatnonzero((pages.index[1:] != ends[:-1]) | (rights[1:] != rights[:-1])) + 1
    firsts = np.concatenate([[0], breaks])
    lasts = np.concatenate([breaks, [len(pages)]]) - 1
    yield from zip(pages.index[firsts].tolist(), ends[lasts].tolist(), rights[firsts].tolist(),
                   strict=True)
