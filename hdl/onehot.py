"""The encoder of one-hot vectors."""

from amaranth import Cat

__all__ = ["encode"]


def encode(one_hot):
    """Return the position of the one bit that is set in ``one_hot``, or 0 if none is."""
    width = (len(one_hot) - 1).bit_length()
    return Cat(
        Cat(one_hot[slot] for slot in range(len(one_hot)) if slot >> bit & 1).any()
        for bit in range(width)
    )
