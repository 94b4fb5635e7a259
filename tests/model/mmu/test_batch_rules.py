"""Every class of accesses against the scalar walk, over pages of every rights."""

from itertools import product

import numpy as np
import pytest

from pagewalk.model.mmu.batch import Accesses, Controls
from pagewalk.model.mmu.batch_rules import ACCESS_BITS, REGISTER_BITS
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import MODES, X86_64, Entry

from .scalar import assert_same_as_scalar

CLASSES = np.flatnonzero(np.arange(1 << 14) & 3 != 3)  # a kind is 0, 1 or 2
GRANT = Entry.P | Entry.RW | Entry.US | Entry.A | Entry.D


def fields_of(classes):
    """Return accesses fields and registers of each class, put together bit by bit."""
    return {name: sum(((classes >> place & 1).astype(np.uint64) * np.uint64(bit)
                       for bit, place in bits.items()), np.uint64(0))
            for name, bits in (ACCESS_BITS | REGISTER_BITS).items()}


def tables_of_every_rights(mode):
    """Return a memory with root 0x1000, and an address of each sort of page.

    There are pages without each combination of rights, those of an even number for want of them
    in the upper entry, those of an odd one in the leaf; of each, one per protection key 0 to 2.
    Beside them there is a large page, or where PS makes none, a table of its entries.
    """
    memory, size = PhysicalMemory(), mode.entry_bytes
    memory.add(range(1, 32))
    *above, upper, last = mode.levels
    for depth, _ in enumerate(above, 1):
        memory.write(depth << 12, 8, depth + 1 << 12 | GRANT)
    directory = len(above) + 1 << 12
    rights = [Entry.RW, Entry.US, Entry.XD][: 3 if mode is X86_64 else 2]
    vaddrs = []
    for number, flips in enumerate(product([0, 1], repeat=len(rights))):
        flipped = GRANT ^ sum(right for right, flip in zip(rights, flips, strict=True) if flip)
        entries = (GRANT, flipped) if number % 2 else (flipped, GRANT)
        memory.write(directory + number * size, size, 16 + number << 12 | entries[0])
        for key in range(3 if mode is X86_64 else 1):
            entry = 0x9000 | entries[1] | key << 59
            memory.write((16 + number << 12) + key * size, size, entry)
            vaddrs.append(number << upper.shift | key << last.shift)
    memory.write(directory + 8 * size, size, 0x8000 | GRANT | Entry.PS)
    return memory, [*vaddrs, 8 << upper.shift]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_every_class_of_accesses_meets_pages_of_every_rights(mode):
    memory, vaddrs = tables_of_every_rights(mode)
    if mode is X86_64:
        vaddrs.append(1 << 47)  # not canonical
    for vaddr in vaddrs:
        fields = fields_of(CLASSES)
        registers = {name: fields.pop(name) for name in ("cr0", "cr4", "efer")}
        # Key 0 forbids all, key 1 writes, key 2 nothing.
        control = Controls(0x1000, **registers, pkru=0b00_10_01)
        accesses = Accesses(np.full(len(CLASSES), vaddr, np.uint64), **fields)
        assert_same_as_scalar(memory, mode, control, accesses)
