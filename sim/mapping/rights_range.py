"""Ranges of linear addresses whose pages follow each other and permit the same."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .entry_rules import EXECUTE, USER, WRITE
from .page_list import Pages

__all__ = ["RightsRange", "merged", "rights_text"]


@dataclass(frozen=True, slots=True)
class RightsRange:
    """Linear addresses from ``start`` up to ``end``, which is not in it.

    All pages have ``page_bytes`` and permit ``rights``, bits of ``entry_rules``; ``paddr`` is the
    physical address of the first. The others may be anywhere.
    """

    start: int
    end: int
    page_bytes: int
    rights: int
    paddr: int

    @property
    def pages(self) -> int:
        """How many pages it has."""
        return (self.end - self.start) // self.page_bytes


def rights_text(rights: int) -> str:
    """Return rights as four letters: ``urwx``, a hyphen for what is not permitted."""
    return (("u" if rights & USER else "-") + "r" + ("w" if rights & WRITE else "-")
            + ("x" if rights & EXECUTE else "-"))


def merged(chunks: Iterable[Pages]) -> Iterator[RightsRange]:
    """Yield the ranges of pages that come in order of address."""
    last: RightsRange | None = None
    for chunk in chunks:
        for one in _ranges(chunk):
            if last is not None and _continues(last, one):
                last = RightsRange(last.start, one.end, last.page_bytes, last.rights, last.paddr)
                continue
            if last is not None:
                yield last
            last = one
    if last is not None:
        yield last


def _continues(one: RightsRange, two: RightsRange) -> bool:
    return (one.end == two.start and one.page_bytes == two.page_bytes
            and one.rights == two.rights)


def _ranges(pages: Pages) -> Iterator[RightsRange]:
    """Yield the ranges of one chunk."""
    if not len(pages):
        return
    vaddr, size, rights = pages.vaddr, pages.size, pages.rights
    breaks = ((vaddr[1:] != vaddr[:-1] + size[:-1]) | (size[1:] != size[:-1])
              | (rights[1:] != rights[:-1]))
    bounds = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(pages)]])
    firsts = bounds[:-1]
    paddr = pages.take(firsts).paddr.tolist()
    columns = zip(vaddr[firsts].tolist(), size[firsts].tolist(), rights[firsts].tolist(), paddr,
                  pairwise(bounds.tolist()), strict=True)
    for start, page_bytes, allowed, first, (begin, end) in columns:
        yield RightsRange(start, start + page_bytes * (end - begin), page_bytes, allowed, first)
