"""Frames whose writes are noted."""

import numpy as np
import pytest

from pagewalk.model.physical.memory import BusError, PhysicalMemory
from pagewalk.model.x86 import PAGE_BYTES


@pytest.fixture
def memory():
    """Four frames, of which two are watched."""
    memory = PhysicalMemory()
    memory.add([3, 4, 5, 9])
    memory.watch([4, 9])
    return memory


@pytest.mark.parametrize(("write", "written"), [
    (lambda memory: memory.write(0x4008, 4, 1), {4}),
    (lambda memory: memory.write(0x5008, 4, 1), set()),
    (lambda memory: memory.compare_exchange(0x9000, 8, 0, 7), {9}),
    (lambda memory: memory.compare_exchange(0x9000, 8, 1, 7), set()),
    (lambda memory: memory.write_bytes(0x3FFF, b"ab"), {4}),
    (lambda memory: memory.write_bytes(0x3FFE, b"ab"), set()),
    (lambda memory: memory.write_bytes(0x3000, bytes(3 * PAGE_BYTES)), {4}),
    (lambda memory: memory.load(np.array([9, 3], np.uint64), np.ones((2, 512), np.uint64)), {9}),
    (lambda memory: memory.read(0x4000, 8), set()),
])
def test_what_is_written_to_a_watched_frame_is_noted(memory, write, written):
    write(memory)
    assert memory.take_written() == written


def test_after_a_write_was_noted_nothing_is_watched(memory):
    memory.write(0x4000, 8, 1)
    assert memory.take_written() == {4}
    memory.write(0x9000, 8, 1)
    assert memory.take_written() == set()
    memory.watch([9])
    memory.write(0x9000, 8, 1)
    assert memory.take_written() == {9}


def test_without_a_write_they_are_still_watched(memory):
    assert memory.take_written() == set()
    memory.write(0x4000, 8, 1)
    assert memory.take_written() == {4}


def test_what_is_not_written_as_there_is_no_memory_is_not_noted(memory):
    with pytest.raises(BusError):
        memory.write_bytes(0x5FFF, b"ab")
    with pytest.raises(ValueError, match=r"^Value must fit 1 bytes, not be 0x100$"):
        memory.write(0x4000, 1, 256)
    assert memory.take_written() == set()
