"""The bytes of a file that is read page by page, beside plain bytes."""

import numpy as np
import pytest

from pagewalk.model.kernel.lazy_bytes import LazyBytes

PAGE = 4096


@pytest.mark.parametrize("seed", range(10))
def test_pages_are_what_was_written_last(seed):
    rng = np.random.default_rng(seed)
    start = rng.bytes(5 * PAGE + 100)
    held = LazyBytes(lambda offset, size: start[offset : offset + size], len(start))
    plain = bytearray(start)
    for _ in range(100):
        index, choice = int(rng.integers(8)), int(rng.integers(4))
        if choice == 0 and index * PAGE < len(plain):
            size = min(PAGE, len(plain) - index * PAGE)
            data = rng.bytes(size)
            held.write(index, data)
            plain[index * PAGE : index * PAGE + size] = data
        elif choice == 1:
            size = int(rng.integers(8 * PAGE))
            held.resize(size)
            plain = plain[:size].ljust(size, b"\0")
        elif choice == 2:
            held.clear(index, index + 2)
            end = min(len(plain), (index + 2) * PAGE)
            plain[index * PAGE : end] = bytes(max(0, end - index * PAGE))
        for at in range(9):
            assert held.read(at) == bytes(plain[at * PAGE : (at + 1) * PAGE]).ljust(PAGE, b"\0")


def test_only_pages_that_are_asked_for_are_read():
    asked = []

    def read(offset, size):
        asked.append((offset, size))
        return bytes(size)

    held = LazyBytes(read, 2 * PAGE + 5)
    held.write(0, b"x")
    held.read(0)
    held.read(2)
    held.read(3)
    assert asked == [(2 * PAGE, 5)]
