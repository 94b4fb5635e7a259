"""Pieces: the last of those that overlap counts, as if each byte were painted in turn."""

from hypothesis import given
from hypothesis import strategies as st

from pagewalk.sim.memory_file.piece_map import MemoryPiece, PieceMap, joined

pieces = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15), st.integers(0, 10_000)),
                  max_size=12)


@given(pieces, st.integers(0, 50), st.integers(0, 50))
def test_every_byte_has_the_last_source(given, start, end):
    painted = {}
    for first, count, source in given:
        painted.update({first + at: source + at for at in range(count)})
    made = PieceMap(MemoryPiece(first, first + count, source) for first, count, source in given)
    found = {piece.start + at: piece.source + at for piece in made.covering(start, end)
             for at in range(piece.end - piece.start)}
    assert found == {at: source for at, source in painted.items() if start <= at < end}
    assert made.pieces == sorted(made.pieces)
    covered = {at for first, last in joined(made.pieces) for at in range(first, last)}
    assert covered == set(painted)
