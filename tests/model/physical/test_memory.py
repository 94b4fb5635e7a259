import numpy as np
import pytest

from pagewalk.model.physical.memory import BusError, PhysicalMemory

FRAME_BYTES = 4096
FRAME_WORDS = 512


@pytest.fixture
def memory():
    """Three frames, not in ascending order, filled with their own frame number."""
    memory = PhysicalMemory()
    memory.add([7, 2, 0x123456])
    for row, pfn in enumerate([7, 2, 0x123456]):
        memory.frames[row] = pfn
    return memory


def test_a_new_memory_has_no_frames_whatever_its_capacity():
    memory = PhysicalMemory(100)
    assert len(memory) == 0
    assert memory.frames.shape == (0, FRAME_WORDS)
    assert [array.tolist() for array in memory.index()] == [[], []]


def test_capacity_is_room_that_adding_frames_does_not_move():
    memory = PhysicalMemory(100)
    memory.add([0])
    frames = memory.frames
    memory.add(range(100))
    assert np.shares_memory(frames, memory.frames)


def test_values_are_little_endian(memory):
    memory.write(0x2008, 8, 0x0123_4567_89AB_CDEF)
    assert memory.read(0x2008, 4) == 0x89AB_CDEF
    assert memory.read(0x200C, 4) == 0x0123_4567


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_values_of_each_size_lie_side_by_side(size):
    memory = PhysicalMemory()
    memory.add([5, 3])
    top = (1 << 8 * size) - 1
    for start in (3 * FRAME_BYTES, 5 * FRAME_BYTES):
        for at in (0, size, FRAME_BYTES - size):
            value = (0x8182_8384_8586_8788 + at) & top
            memory.write(start + at, size, value)
            assert memory.read(start + at, size) == value
            assert memory.read_bytes(start + at, size) == value.to_bytes(size, "little")
        memory.write(start + size, size, 0)
        assert memory.read(start, size) == 0x8182_8384_8586_8788 & top
        assert memory.read(start + size, size) == 0
        with pytest.raises(ValueError, match=r"^Value must .*"):
            memory.write(start, size, top + 1)


def test_bytes_cross_frames_that_do_not_follow_each_other_in_the_pool():
    memory = PhysicalMemory()
    memory.add([8, 3, 7])
    memory.write_bytes(0x7FFD, b"abcdef")
    assert memory.read_bytes(0x7FFC, 8) == b"\0abcdef\0"
    assert memory.read(0x8000, 4) == int.from_bytes(b"def\0", "little")
    assert not memory.frames[1].any()


def test_bytes_that_do_not_all_lie_in_memory_are_not_written(memory):
    with pytest.raises(BusError, match=r"^No memory at physical address 0x8000$"):
        memory.write_bytes(0x7FFE, b"abcd")
    assert memory.frames.tolist() == [[pfn] * FRAME_WORDS for pfn in (7, 2, 0x123456)]


def test_no_bytes_need_no_memory(memory):
    memory.write_bytes(0x9000, b"")
    assert memory.read_bytes(0x9000, 0) == b""


def test_arrays_have_the_types_that_compiled_code_expects(memory):
    pfns, rows = memory.index()
    assert (pfns.dtype, rows.dtype, memory.frames.dtype) == (np.uint64, np.uint32, np.dtype("<u8"))
    assert memory.frames.flags.c_contiguous


def test_frames_added_again_keep_their_row_and_content(memory):
    memory.add([0x123456, 7, 9])
    assert memory.frames[:, 0].tolist() == [7, 2, 0x123456, 0]


def test_growing_keeps_every_frame(memory):
    memory.add(range(0x1000, 0x1000 + 1000))
    assert len(memory) == 1003
    assert memory.frames[:4, 511].tolist() == [7, 2, 0x123456, 0]
    memory.write(0x7FF8, 8, 1)
    assert memory.frames[0, 511] == 1  # scalar accesses and the view are of the same pool


def test_absent_frames_below_a_bound_read_as_zero_until_they_are_added():
    memory = PhysicalMemory(15, zero_below=0x8000)
    memory.add([0, 1])
    memory.write(0x1000, 8, 5)
    for other in (memory, memory.copy()):
        assert other.zero_below == 0x8000
        assert other.read(0x1000, 8) == 5
        assert [other.read(0x7FF8, 8), other.read(0x2000, 1)] == [0, 0]
        assert other.read_bytes(0x1000, 0x1001) == bytes([5, *[0] * 0x1000])
        assert other.compare_exchange(0x3000, 4, 1, 2) == 0
        for refused in (lambda one: one.read(0x8000, 8), lambda one: one.write(0x2000, 8, 1),
                        lambda one: one.write_bytes(0x1FFF, b"12"),
                        lambda one: one.compare_exchange(0x2000, 8, 0, 1),
                        lambda one: one.read_bytes(0x7FFF, 2)):
            with pytest.raises(BusError):
                refused(other)
        assert other.read(0x1FFF, 1) == 0
        with pytest.raises(ValueError, match=r"^Physical address of 8 bytes must be a multiple"):
            other.read(0x2004, 8)
        for _ in range(40):  # the zeros stay where no frame is, however often the pool moves
            other.add([0x1000 + len(other)])
            assert not other.frames_and_zeros[-1].any()
            assert len(other.frames_and_zeros) == len(other) + 1
        other.add([2])
        other.write(0x2000, 8, 7)
        assert [other.read(0x2000, 8), other.read(0x3000, 8)] == [7, 0]


@pytest.mark.parametrize("bound", [1, -4096, (1 << 52) + 4096], ids=hex)
def test_the_bound_of_zeros_is_one_of_frames(bound):
    with pytest.raises(ValueError, match=(
            r"^Memory that reads as zero must end at a multiple of 4096 up to 2\*\*52, "
            rf"not {bound:#x}$")):
        PhysicalMemory(zero_below=bound)


def test_growing_one_frame_at_a_time_seldom_moves_the_pool(memory):
    moves = 0
    for pfn in range(1000, 2000):
        frames = memory.frames
        memory.add([pfn])
        moves += not np.shares_memory(frames, memory.frames)
    assert 1 <= moves <= 10


def test_load_replaces_frames_that_exist(memory):
    memory.load(np.array([2, 3], np.uint64), np.full((2, FRAME_WORDS), 5, np.uint64))
    assert memory.frames[:, 0].tolist() == [7, 5, 0x123456, 5]


def test_load_takes_arrays_that_are_not_contiguous():
    memory = PhysicalMemory()
    data = np.arange(4 * FRAME_WORDS, dtype=np.uint64).reshape(2, 2 * FRAME_WORDS)[:, ::2]
    memory.load(np.array([1, 0], np.uint64), data)
    assert memory.read(0x1008, 8) == 2
    assert memory.read(0x0008, 8) == 2 * FRAME_WORDS + 2


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("paddr", [0, 0x6FF8, 0x8000, 0x12_3457_0000, 1 << 60])
@pytest.mark.parametrize(
    "access",
    [
        lambda memory, paddr, size: memory.read(paddr, size),
        lambda memory, paddr, size: memory.write(paddr, size, 1),
        lambda memory, paddr, size: memory.compare_exchange(paddr, size, 0, 1),
    ],
    ids=["read", "write", "compare_exchange"],
)
def test_an_access_where_there_is_no_memory_is_a_bus_error(memory, access, paddr, size):
    with pytest.raises(BusError, match=rf"^No memory at physical address {paddr:#x}$") as error:
        access(memory, paddr, size)
    assert error.value.paddr == paddr
    assert memory.frames.tolist() == [[pfn] * FRAME_WORDS for pfn in (7, 2, 0x123456)]


def test_frame_data_of_another_shape_is_refused_and_changes_nothing():
    memory = PhysicalMemory()
    pfns = np.array([1, 2], np.uint64)
    for shape in [(1, 512), (2, 511), (1024,)]:
        with pytest.raises(ValueError, match=r"^Frame data must be 2 rows of 4096 bytes, not an "):
            memory.load(pfns, np.zeros(shape, np.uint64))
    assert not len(memory)


def test_a_negative_frame_number_is_refused_and_changes_nothing():
    memory = PhysicalMemory()
    with pytest.raises(ValueError, match=r"^Frame number must not be negative, not -1$"):
        memory.add([5, -1])
    assert not len(memory)
