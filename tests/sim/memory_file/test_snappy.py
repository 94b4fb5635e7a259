"""Snappy: elements of every kind, put together at random."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.sim.memory_file.snappy import BadSnappy, block_length, unpack_block

from .builders import literal, snappy, varint


def copied(out, offset, length):
    """Return what a copy adds, byte by byte as the description says."""
    out = bytearray(out)
    start = len(out)
    for _ in range(length):
        out.append(out[-offset])
    return bytes(out[start:])


@pytest.mark.slow
@given(st.data())
def test_elements_of_every_kind(data):
    first = data.draw(st.binary(min_size=1, max_size=70))
    packed = bytes([len(first) - 1 << 2]) + first if len(first) <= 60 else literal(first)
    out = first
    for _ in range(data.draw(st.integers(0, 12))):
        kind = data.draw(st.integers(0, 3))
        if kind == 0:
            piece = data.draw(st.binary(min_size=1, max_size=300))
            packed, out = packed + literal(piece), out + piece
            continue
        offset = data.draw(st.integers(1, min(len(out), 2047)))
        length = data.draw(st.integers(4, 11) if kind == 1 else st.integers(1, 64))
        if kind == 1:
            element = bytes([1 | length - 4 << 2 | offset >> 8 << 5, offset & 0xFF])
        else:
            element = bytes([kind | length - 1 << 2]) + offset.to_bytes(2 if kind == 2 else 4,
                                                                       "little")
        for _ in range(data.draw(st.integers(1, 3))):
            packed, out = packed + element, out + copied(out, offset, length)
    assert unpack_block(varint(len(out)) + packed) == out


@pytest.mark.parametrize("data", [bytes(1 << 16), bytes(range(256)) * 256, b"x"])
def test_whole_blocks(data):
    assert unpack_block(snappy(data)) == data


def test_an_empty_block():
    assert unpack_block(b"\0") == b""
    assert block_length(varint(1 << 16)) == (1 << 16, 3)


BAD = {
    "no length": b"",
    "too long": varint(1 << 17),
    "a literal that is cut": varint(9) + literal(b"123456789")[:-1],
    "a copy that is cut": varint(9) + literal(b"1") + b"\x05",
    "a copy of nothing": varint(9) + b"\xfe\x01\x00",
    "a copy from before the start": varint(70) + literal(b"123456") + b"\xfe\x07\x00",
    "a copy with no offset": varint(70) + literal(b"123456") + b"\xfe\x00\x00",
    "too short": varint(9) + literal(b"1234"),
    "too much": varint(3) + literal(b"1234"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_snappy(name):
    with pytest.raises(BadSnappy, match=r"^a (block|copy) .*$"):
        unpack_block(BAD[name])


def test_far_too_much_is_refused_before_it_is_unpacked():
    with pytest.raises(BadSnappy, match=r"^a block that unpacks to more than 65536 bytes$"):
        unpack_block(varint(64) + literal(b"1") + b"\xfe\x01\x00" * 30_000)
