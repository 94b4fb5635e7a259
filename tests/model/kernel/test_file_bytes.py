"""The bytes of a file, near its start and terabytes on, beside a plain dictionary."""

import numpy as np
import pytest

from pagewalk.model.kernel.file_bytes import FileBytes

PAGE = 4096


def test_bytes_that_were_given_change_in_place():
    start = bytearray(b"a" * (PAGE + 10))
    held = FileBytes(start)
    assert held.read(1) == (b"a" * 10).ljust(PAGE, b"\0")
    held.write(1, b"b" * 10)
    held.resize(2 * PAGE)
    assert start == b"a" * PAGE + b"b" * 10 + bytes(PAGE - 10)
    held.resize(3)
    assert start == b"aaa"
    held.clear(0, 5)
    assert start == bytes(3)


def test_a_large_file_is_given_whole():
    start = bytearray(b"x" * (17 << 20))
    held = FileBytes(start)
    held.write((17 << 8) - 1, b"y" * PAGE)
    assert start[-PAGE:] == b"y" * PAGE
    held.resize(1 << 40)
    assert len(start) == 17 << 20


@pytest.mark.parametrize("seed", range(5))
def test_pages_are_what_was_written_last(seed):
    """Pages on both sides of the first 16 Mbytes."""
    rng = np.random.default_rng(seed)
    held, pages, size = FileBytes(bytearray()), {}, 0
    around = 16 << 8
    for _ in range(200):
        index = int(rng.integers(around - 3, around + 3))
        at = index * PAGE
        match int(rng.integers(4)):
            case 0:
                size = at + int(rng.integers(PAGE + 1))
                held.resize(size)
                pages = {one: data[: max(0, size - one * PAGE)].ljust(PAGE, b"\0")
                         for one, data in pages.items()}
            case 1 if at < size:
                data = rng.bytes(min(PAGE, size - at))
                held.write(index, data)
                pages[index] = data.ljust(PAGE, b"\0")
            case 2:
                held.clear(index, index + 2)
                pages.pop(index, None)
                pages.pop(index + 1, None)
        for one in range(around - 3, around + 3):
            assert held.read(one) == pages.get(one, bytes(PAGE))
