"""Memories against dicts of bytes, in random sequences of what may be done to them."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from pagewalk.model.physical.memory import BusError, PhysicalMemory

FRAME_BYTES = 4096
FRAME_WORDS = 512

# Neighbours, so that an access may go wrong by one frame, and the ends of the address range.
PFNS = st.sampled_from([0, 1, 2, 3, 0x7FFFF, 0x80000, 0xFFFFF, 0x100000, (1 << 40) - 1])
SIZES = st.sampled_from([1, 2, 4, 8])


@st.composite
def places(draw):
    """An aligned physical address, near the edges of its frame more often than not, and a size."""
    size = draw(SIZES)
    last = FRAME_BYTES // size - 1
    slot = draw(st.sampled_from([0, 1, last - 1, last]) | st.integers(0, last))
    return draw(PFNS) * FRAME_BYTES + slot * size, size


VALUES = st.sampled_from([0, 1, 0xFFFF_FFFF, 0x0123_4567_89AB_CDEF, 2**64 - 1]) | st.integers(
    0, 2**64 - 1
)


class Bytes:
    """The reference: a dict of bytes by physical address; bytes never written are zero."""

    def __init__(self, pfns: list[int], data: dict[int, int]) -> None:
        self.pfns, self.data = pfns, data  # frame numbers in the order they were added

    def copy(self) -> "Bytes":
        return Bytes(list(self.pfns), dict(self.data))

    def add(self, pfns: list[int]) -> None:
        self.pfns += [pfn for pfn in dict.fromkeys(pfns) if pfn not in self.pfns]

    def has(self, paddr: int) -> bool:
        return paddr // FRAME_BYTES in self.pfns

    def read(self, paddr: int, size: int) -> int:
        each = bytes(self.data.get(paddr + i, 0) for i in range(size))
        return int.from_bytes(each, "little")

    def write(self, paddr: int, size: int, value: int) -> None:
        self.data.update(enumerate(value.to_bytes(size, "little"), start=paddr))

    def frame(self, pfn: int) -> list[int]:
        return [self.read(pfn * FRAME_BYTES + 8 * word, 8) for word in range(FRAME_WORDS)]


class MemoryMachine(RuleBasedStateMachine):
    """Does the same to several memories and their references; a copy is one more memory."""

    memories = Bundle("memories")

    @initialize(target=memories, capacity=st.integers(0, 20))
    def start(self, capacity):
        self.pairs = [(PhysicalMemory(capacity), Bytes([], {}))]
        return self.pairs[0]

    @rule(target=memories, pair=memories)
    def copy(self, pair):
        memory, reference = pair
        self.pairs.append((memory.copy(), reference.copy()))
        return self.pairs[-1]

    @rule(pair=memories, pfns=st.lists(PFNS, max_size=4))
    def add(self, pair, pfns):
        memory, reference = pair
        memory.add(pfns)
        reference.add(pfns)

    @rule(pair=memories, first=st.integers(16, 1 << 30), count=st.integers(1, 40))
    def grow(self, pair, first, count):
        """More frames than the pool was made for."""
        self.add(pair, range(first, first + count))

    @rule(
        pair=memories,
        pfns=st.lists(PFNS, max_size=3, unique=True),
        word=st.sampled_from(["<u4", "<u8"]),
        seed=st.integers(0, 9),
    )
    def load(self, pair, pfns, word, seed):
        memory, reference = pair
        data = np.random.default_rng(seed).bytes(len(pfns) * FRAME_BYTES)
        width = np.dtype(word).itemsize
        rows = np.frombuffer(data, word).reshape(len(pfns), FRAME_BYTES // width)
        memory.load(np.array(pfns, np.uint64), rows)
        reference.add(pfns)
        for row, pfn in enumerate(pfns):
            frame = data[row * FRAME_BYTES : (row + 1) * FRAME_BYTES]
            reference.data.update(enumerate(frame, start=pfn * FRAME_BYTES))

    @rule(pair=memories, place=places())
    def read(self, pair, place):
        memory, reference = pair
        if reference.has(place[0]):
            assert memory.read(*place) == reference.read(*place)
        else:
            with pytest.raises(BusError):
                memory.read(*place)

    @rule(pair=memories, place=places(), value=VALUES)
    def write(self, pair, place, value):
        memory, reference = pair
        value %= 1 << (8 * place[1])
        if reference.has(place[0]):
            memory.write(*place, value)
            reference.write(*place, value)
        else:
            with pytest.raises(BusError):
                memory.write(*place, value)

    @rule(pair=memories, place=places(), desired=VALUES, guess=st.none() | VALUES)
    def compare_exchange(self, pair, place, desired, guess):
        memory, reference = pair
        paddr, size = place
        desired %= 1 << (8 * size)
        before = reference.read(paddr, size)
        expected = before if guess is None else guess % (1 << (8 * size))
        if not reference.has(paddr):
            with pytest.raises(BusError):
                memory.compare_exchange(paddr, size, expected, desired)
            return
        assert memory.compare_exchange(paddr, size, expected, desired) == before
        if expected == before:
            reference.write(paddr, size, desired)

    @rule(pair=memories, place=places(), skip=st.integers(0, 7), count=st.integers(0, 9000))
    def read_bytes(self, pair, place, skip, count):
        memory, reference = pair
        paddr = place[0] + skip
        missing = [at for at in range(paddr, paddr + count) if not reference.has(at)]
        if missing:
            with pytest.raises(BusError) as error:
                memory.read_bytes(paddr, count)
            assert error.value.paddr == missing[0]
        else:
            each = bytes(reference.data.get(at, 0) for at in range(paddr, paddr + count))
            assert memory.read_bytes(paddr, count) == each

    @rule(pair=memories, place=places(), skip=st.integers(0, 7), count=st.integers(0, 9000),
          seed=st.integers(0, 9))
    def write_bytes(self, pair, place, skip, count, seed):
        memory, reference = pair
        paddr = place[0] + skip
        data = np.random.default_rng(seed).bytes(count)
        if all(reference.has(at) for at in range(paddr, paddr + count)):
            memory.write_bytes(paddr, data)
            reference.data.update(enumerate(data, start=paddr))
        else:
            with pytest.raises(BusError):
                memory.write_bytes(paddr, data)  # and no byte of it is written, see below

    @rule(pair=memories, place=places(), value=VALUES)
    def write_through_frames(self, pair, place, value):
        memory, reference = pair
        pfn, offset = divmod(place[0] & ~7, FRAME_BYTES)
        if pfn in reference.pfns:
            memory.frames[reference.pfns.index(pfn), offset // 8] = value
            reference.write(pfn * FRAME_BYTES + offset, 8, value)

    @invariant()
    def frames_are_those_added_in_that_order(self):
        for memory, reference in self.pairs:
            assert len(memory) == len(reference.pfns)
            assert memory.frames.shape == (len(reference.pfns), FRAME_WORDS)
            assert all(pfn in memory for pfn in reference.pfns)

    @invariant()
    def index_is_sorted_and_finds_every_frame(self):
        for memory, reference in self.pairs:
            pfns, rows = memory.index()
            assert pfns.tolist() == sorted(reference.pfns)
            assert [reference.pfns[row] for row in rows] == pfns.tolist()

    def teardown(self):
        """Every byte at the end, also where no rule looked."""
        for memory, reference in getattr(self, "pairs", []):
            written = {paddr // FRAME_BYTES for paddr in reference.data}
            for row, pfn in enumerate(reference.pfns):
                words = memory.frames[row].tolist()
                assert words == (reference.frame(pfn) if pfn in written else [0] * FRAME_WORDS)


TestMemoryAgainstADictOfBytes = pytest.mark.slow(MemoryMachine.TestCase)
TestMemoryAgainstADictOfBytes.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None
)
