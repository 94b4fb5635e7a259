"""What memory refuses: sizes, addresses, values and frame numbers out of range."""

import pytest

from pagewalk.model.physical.memory import PhysicalMemory

FRAME_WORDS = 512


@pytest.fixture
def memory():
    """Three frames, not in ascending order, filled with their own frame number."""
    memory = PhysicalMemory()
    memory.add([7, 2, 0x123456])
    for row, pfn in enumerate([7, 2, 0x123456]):
        memory.frames[row] = pfn
    return memory


def unchanged(memory):
    return memory.frames.tolist() == [[pfn] * FRAME_WORDS for pfn in (7, 2, 0x123456)]


ACCESSES = {
    "read": lambda memory, paddr, size: memory.read(paddr, size),
    "write": lambda memory, paddr, size: memory.write(paddr, size, 1),
    "compare_exchange": lambda memory, paddr, size: memory.compare_exchange(paddr, size, 2, 1),
}
every_access = pytest.mark.parametrize("access", ACCESSES.values(), ids=ACCESSES)


@every_access
@pytest.mark.parametrize(("paddr", "size"), [
    (0x2003, 8), (0x2004, 8), (0x2FFC, 8), (0x2FFF, 2), (0x2002, 4), (0x2001, 4),
    (0x9001, 2)])
def test_an_address_that_is_not_aligned_is_refused_and_changes_nothing(memory, access, paddr, size):
    """Those that cross into another frame among them, and those where there is no memory."""
    with pytest.raises(ValueError, match=rf"^Physical address of {size} bytes must be a multiple "
                                         rf"of {size}, not {paddr:#x}$"):
        access(memory, paddr, size)
    assert unchanged(memory)


@every_access
@pytest.mark.parametrize("size", [0, 3, 5, 6, 7, 16, -1, -8, "8", None])
def test_another_size_is_refused(memory, access, size):
    with pytest.raises(ValueError, match=rf"^Size must be 1, 2, 4 or 8 bytes, not {size!r}$"):
        access(memory, 0x2000, size)
    assert unchanged(memory)


@every_access
@pytest.mark.parametrize("paddr", [-1, -8, -0x1000, -(1 << 64) + 0x2000], ids=hex)
def test_a_negative_address_is_no_bus_error(memory, access, paddr):
    with pytest.raises(ValueError, match=rf"^Physical address must not be negative, "
                                         rf"not {paddr:#x}$"):
        access(memory, paddr, 1)
    assert unchanged(memory)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("excess", ["above", "below"])
def test_a_value_that_does_not_fit_is_refused_and_changes_nothing(memory, size, excess):
    value = 1 << 8 * size if excess == "above" else -1
    message = rf"^Value must fit {size} bytes, not be {value:#x}$"
    with pytest.raises(ValueError, match=message):
        memory.write(0x2000, size, value)
    with pytest.raises(ValueError, match=message):
        memory.compare_exchange(0x2000, size, value, 0)  # would never be equal
    for expected in (2, 3):  # also where nothing would be stored
        with pytest.raises(ValueError, match=message):
            memory.compare_exchange(0x2000, size, expected, value)
    assert unchanged(memory)


@pytest.mark.parametrize("value", [1.0, "1", None])
def test_a_value_that_is_no_integer_is_refused(memory, value):
    with pytest.raises(TypeError, match=rf"^Value must be an integer, not {value!r}$"):
        memory.write(0x2000, 8, value)
    assert unchanged(memory)


def test_runs_of_bytes_have_no_negative_address_or_count(memory):
    for call in (lambda: memory.read_bytes(-1, 4), lambda: memory.write_bytes(-1, b"abcd")):
        with pytest.raises(ValueError, match=r"^Physical address must not be negative, not -0x1$"):
            call()
    with pytest.raises(ValueError, match=r"^Byte count must not be negative, not -4$"):
        memory.read_bytes(0x2000, -4)
    assert unchanged(memory)


@pytest.mark.parametrize("pfn", [1 << 40, 1 << 52, 1 << 64], ids=hex)
def test_a_frame_number_wider_than_physical_addresses_is_refused_and_changes_nothing(pfn):
    memory = PhysicalMemory()
    with pytest.raises(ValueError, match=rf"^Frame number must have at most 40 bits, "
                                         rf"not {pfn:#x}$"):
        memory.add([5, pfn])
    assert not len(memory)
    memory.add([(1 << 40) - 1])
    assert memory.index()[0].tolist() == [(1 << 40) - 1]


def test_a_frame_number_that_is_no_integer_is_refused():
    memory = PhysicalMemory()
    with pytest.raises(TypeError):
        memory.add([5, 1.5])
    assert not len(memory)


def test_a_negative_capacity_is_refused():
    with pytest.raises(ValueError, match=r"^Frame count must not be negative, not -1$"):
        PhysicalMemory(-1)
