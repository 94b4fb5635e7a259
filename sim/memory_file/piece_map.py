"""Which bytes of one address space lie where in another: pieces that never overlap."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
    """Return the pieces as if each were painted over those before it."""
    done: list[MemoryPiece] = []  # by later pieces, in order, without overlap
    for piece in reversed(given):
        at = start = bisect_right(done, piece.start, key=lambda one: one.end)
        left = piece.start
        free = []
        while at < len(done) and done[at].start < piece.end:
            if done[at].start > left:
                free.append(piece.part(left, done[at].start))
            left = done[at].end
            at += 1
        if left < piece.end:
            free.append(piece.part(left, piece.end))
        done[start:at] = sorted([*done[start:at], *free])
    return done

def joined(pieces: list[MemoryPiece]) -> tuple[tuple[int, int], ...]:
    """Return the ranges that ``pieces`` cover, those that touch as one."""
    bounds = [piece.start for piece in pieces[:1]]
    for one, two in pairwise(pieces):
        if one.end != two.start:
            bounds += [one.end, two.start]
    bounds += [piece.end for piece in pieces[-1:]]
    return tuple(zip(bounds[::2], bounds[1::2], strict=True))
