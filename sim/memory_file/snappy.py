"""Snappy, unpacked in Python: one block of at most 64 Kbytes.

The libraries for it are compiled extensions. Page tables are in few blocks, which are unpacked one
by one, so that their speed is not needed; a run of copies, which is what zeros become, is one step
here. [snappy, format_description.txt and framing_format.txt]
"""

import re

__all__ = ["BadSnappy", "block_length", "unpack_block"]

MOST_BYTES = 1 << 16  # of a block in a framed stream


class BadSnappy(Exception):
    """A block that is no snappy; it tells why in a few words."""


def block_length(data: bytes) -> tuple[int, int]:
    """Return how many bytes the block unpacks to, and where its elements begin."""
    length = 0
    for at, byte in enumerate(data[:5]):
        length |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            if length > MOST_BYTES:
                break
            return length, at + 1
    raise BadSnappy(f"a block that does not begin with a length up to {MOST_BYTES}")


def unpack_block(data: bytes) -> bytes:
    """Return what a block of snappy unpacks to; raise ``BadSnappy``."""
    length, at = block_length(data)
    out = bytearray()
    try:
        while at < len(data) and len(out) <= length:
            at = _element(data, at, out)
    except IndexError:
        raise BadSnappy("a block that is cut") from None
    if len(out) != length or at != len(data):
        raise BadSnappy(f"a block that unpacks to {len(out)} bytes in place of {length}")
    return bytes(out)


def _element(data: bytes, at: int, out: bytearray) -> int:
    """Add what the element at ``at`` stands for to ``out``; return where the next one is."""
    tag = data[at]
    kind = tag & 3
    if kind == 0:
        return _literal(data, at, out)
    if kind == 1:
        _copy(out, (tag >> 5) << 8 | data[at + 1], (tag >> 2 & 7) + 4)
        return at + 2
    size = 2 if kind == 2 else 4
    element = data[at : at + 1 + size]
    if len(element) <= size:
        raise IndexError
    # Equal copies in a row go on with each other: they are one long copy.
    found = re.compile(b"(?:" + re.escape(element) + b")+", re.DOTALL).match(data, at)
    assert found is not None
    count = len(found[0]) // (1 + size)
    if count * 64 > 2 * MOST_BYTES:
        raise BadSnappy(f"a block that unpacks to more than {MOST_BYTES} bytes")
    _copy(out, int.from_bytes(element[1:], "little"), (tag >> 2) + 1, count)
    return found.end()


def _literal(data: bytes, at: int, out: bytearray) -> int:
    count = data[at] >> 2
    at += 1
    if count >= 60:
        size = count - 59
        count = int.from_bytes(data[at : at + size], "little")
        at += size
    piece = data[at : at + count + 1]
    if len(piece) <= count:
        raise IndexError
    out += piece
    return at + count + 1


def _copy(out: bytearray, offset: int, length: int, count: int = 1) -> None:
    """Repeat what is ``offset`` bytes back, for ``count`` times ``length`` bytes."""
    if not 0 < offset <= len(out):
        raise BadSnappy(f"a copy from {offset} bytes back of {len(out)}")
    length *= count
    pattern = bytes(out[-offset:][:length])
    out += (pattern * (length // len(pattern) + 1))[:length]
