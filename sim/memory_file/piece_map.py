"""Which bytes of one address space lie where in another: pieces that never overlap."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise

__all__ = ["MemoryPiece", "PieceMap", "joined"]


@dataclass(frozen=True, slots=True, order=True)
class MemoryPiece:
    """Bytes from ``start`` up to ``end``, which is not in it; the first lies at ``source``."""

    start: int
    end: int
    source: int

    def part(self, start: int, end: int) -> "MemoryPiece":
        """Return what of the piece lies from ``start`` to ``end``."""
        first = max(start, self.start)
        return MemoryPiece(first, min(end, self.end), self.source + first - self.start)


class PieceMap:
    """Pieces in ascending order; where some that are given overlap, the last counts."""

    def __init__(self, pieces: Iterable[MemoryPiece]) -> None:
        given = [piece for piece in pieces if piece.end > piece.start]
        ordered = sorted(given, key=lambda piece: piece.start)
        apart = all(one.end <= two.start for one, two in pairwise(ordered))
        self.pieces = ordered if apart else _painted(given)
        self._starts = [piece.start for piece in self.pieces]

    def covering(self, start: int, end: int) -> Iterator[MemoryPiece]:
        """Yield the parts of the pieces that lie from ``start`` to ``end``."""
        at = max(0, bisect_right(self._starts, start) - 1)
        while at < len(self.pieces) and self.pieces[at].start < end:
            if self.pieces[at].end > start:
                yield self.pieces[at].part(start, end)
            at += 1


def _painted(given: list[MemoryPiece]) -> list[MemoryPiece]:
    """Return the pieces as if each were painted over those before it.

    From bound to bound of all pieces, the last that covers these bytes is on top of the heap.
    """
    order = sorted(range(len(given)), key=lambda number: given[number].start)
    bounds = sorted({bound for piece in given for bound in (piece.start, piece.end)})
    done: list[MemoryPiece] = []
    heap: list[int] = []  # numbers of pieces, negative so that the last is first
    at = 0
    for start, end in pairwise(bounds):
        while at < len(order) and given[order[at]].start == start:
            heappush(heap, -order[at])
            at += 1
        while heap and given[-heap[0]].end <= start:
            heappop(heap)
        if heap:
            part = given[-heap[0]].part(start, end)
            last = done[-1] if done else None
            if last and last.end == start and last.source + start - last.start == part.source:
                part = MemoryPiece(done.pop().start, end, last.source)
            done.append(part)
    return done


def joined(pieces: list[MemoryPiece]) -> tuple[tuple[int, int], ...]:
    """Return the ranges that ``pieces`` cover, those that touch as one."""
    bounds = [piece.start for piece in pieces[:1]]
    for one, two in pairwise(pieces):
        if one.end != two.start:
            bounds += [one.end, two.start]
    bounds += [piece.end for piece in pieces[-1:]]
    return tuple(zip(bounds[::2], bounds[1::2], strict=True))
