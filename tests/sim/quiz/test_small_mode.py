"""The golden walk on small geometries, next to plain arithmetic on bytes."""

import random

import pytest

from pagewalk.model.mmu.batch import Accesses, FrameSource, walk_batch
from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import X86_64, AccessKind
from pagewalk.sim.quiz.small_mode import ONE_LEVEL, RIGHTS, TWO_LEVELS, small_control


def memory_of(data):
    memory = PhysicalMemory(1)
    memory.add([0])
    for paddr, byte in enumerate(data):
        memory.write(paddr, 1, byte)
    return memory


def by_hand(data, root, vaddr, indices):
    """Return the physical address and how many entries were read; None for the address if none."""
    table, shift = root, 5 * indices
    for depth in range(1, indices + 1):
        entry = data[table * 32 + (vaddr >> shift) % 32]
        if entry < 128:
            return None, depth
        table, shift = entry - 128, shift - 5
    return table * 32 + vaddr % 32, indices


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("mode", "levels"), [(TWO_LEVELS, 2), (ONE_LEVEL, 1)])
def test_a_walk_through_entries_of_one_byte(mode, levels, seed):
    rng = random.Random(seed)
    data = bytes(rng.randrange(256) for _ in range(4096))
    memory, faults = memory_of(data), 0
    for _ in range(300):
        vaddr, root = rng.randrange(1 << mode.vaddr_bits), rng.randrange(128)
        done = walk(memory, mode, small_control(root), Access(vaddr, AccessKind.WRITE, user=True))
        paddr, read = by_hand(data, root, vaddr, levels)
        assert len(done.steps) == read
        assert (done.paddr if done.fault is None else None) == paddr
        assert paddr is not None or done.fault.error_code == 6  # P=0, W/R=1, U/S=1
        faults += paddr is None
    assert 50 < faults < 290
    assert bytes(memory.read(at, 1) for at in range(4096)) == data  # there are no A and D to set


@pytest.mark.parametrize("seed", range(3))
def test_entries_of_two_bytes_have_rights(seed):
    rng = random.Random(seed)
    data = bytes(rng.randrange(256) for _ in range(4096))
    memory, codes = memory_of(data), set()
    for _ in range(300):
        vaddr, root, user = rng.randrange(512), rng.randrange(128), rng.random() < 0.7
        kind = rng.choice(list(AccessKind))
        done = walk(memory, RIGHTS, small_control(root), Access(vaddr, kind, user=user))
        at = root * 32 + 2 * (vaddr >> 5)
        entry = data[at] + 256 * data[at + 1]
        writes = kind is AccessKind.WRITE
        valid, writable, users = entry >> 15, entry >> 14 & 1, entry >> 13 & 1
        if valid and (not user or (users and (writable or not writes))):
            assert (done.fault, done.paddr) == (None, entry % 128 * 32 + vaddr % 32)
        else:
            assert done.fault.error_code == valid + 2 * writes + 4 * user
            codes.add(done.fault.error_code)
    assert codes == {0, 2, 4, 5, 6, 7}


def test_walks_over_arrays_know_the_entries_of_x86_alone():
    source = FrameSource(memory_of(b""), X86_64)
    with pytest.raises(ValueError, match=r"^Batch walks are of x86 entries, not those of small$"):
        walk_batch(source, TWO_LEVELS, small_control(0), Accesses(0))
