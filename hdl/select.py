"""The balanced multiplexer of values by their number."""

from amaranth import Mux

__all__ = ["select"]


def select(number, values):
    """Return the one of ``values`` that has ``number``, by a tree as deep as ``number`` has bits.

    With a number that is too high it is one of the values. The values are plain, no structs.

    Parameters
    ----------
    number : value-like
        Number of the value, from 0; a single value needs no bit of it.
    values : list of value-like
        At least one value.
    """
    values = list(values)
    bit = 0
    while len(values) > 1:
        pairs = [Mux(number[bit], odd, even)
                 for even, odd in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[len(values) & ~1:]
        bit += 1
    return values[0]
