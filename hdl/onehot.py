"""One-hot vectors."""

from amaranth import Cat

__all__ = ["encode"]


def encode(one_hot):
    """Return the position of the set bit of ``one_hot``, which has at most one; 0 without any."""
    width = (len(one_hot) - 1).bit_length()
    return Cat(
        Cat(one_hot[slot] for slot in range(len(one_hot)) if slot >> bit & 1).any()
        for bit in range(width)
    )
