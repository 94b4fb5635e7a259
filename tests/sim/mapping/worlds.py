"""Page tables made by hand or at random, as files of physical memory."""

import random

import numpy as np

from pagewalk.model.x86 import IA32, Leaf
from pagewalk.sim.memory_file.cpu_state import CpuState
from pagewalk.sim.memory_file.frame_file import FrameFile

FRAME = 4096


class HeldFile(FrameFile):
    """Frames that are held as bytes, by number.

    Others below ``frame_count`` are zeros, or absent if the file ``lacks`` them.
    """

    def __init__(self, frames, frame_count, *, lacks=False):
        super().__init__("held", "held")
        self.held, self.frame_count, self.lacks = frames, frame_count, lacks

    @property
    def ranges(self):
        return ((0, self.frame_count * FRAME),)

    def occupied(self):
        yield np.array(sorted(self.held), np.uint64)

    def _load(self, pfn, out):
        for row in range(len(out)):
            if pfn + row in self.held:
                out[row] = np.frombuffer(self.held[pfn + row], "<u8")
        pfns = np.arange(pfn, pfn + len(out))
        return np.isin(pfns, [*self.held]) if self.lacks else pfns < self.frame_count


def world(mode, entries, *, root=0x1000, frame_count=64):
    """Return a file with ``entries``, words by physical address, and a processor with that root."""
    frames = {}
    for paddr, word in entries.items():
        frame = frames.setdefault(paddr // FRAME, bytearray(FRAME))
        frame[paddr % FRAME : paddr % FRAME + mode.entry_bytes] = word.to_bytes(mode.entry_bytes,
                                                                               "little")
    return HeldFile(frames, frame_count), CpuState.in_mode("CPU 0", mode, root)


def random_world(mode, seed, *, tables=12, fill=6, dense=1):
    """Return a world of random tables that share, skip and end in large pages or reserved bits.

    The lowest tables have their first ``dense`` entries, so that pages follow each other.

    A table of one level points to tables of the next alone, so that none leads to itself.
    """
    rng = random.Random(seed)
    by_level = {depth: [1] if depth == 0 else
                [1 + depth * tables + number for number in range(tables // 2)]
                for depth in range(len(mode.levels))}
    slots = FRAME // mode.entry_bytes
    entries = {}
    for depth, level in enumerate(mode.levels):
        for pfn in by_level[depth]:
            lowest = range(dense if level.leaf is Leaf.ALWAYS else 1)
            for slot in [*lowest, slots - 1, *rng.sample(range(slots), fill)]:
                word = _word(rng, mode, depth, level, by_level)
                entries[pfn * FRAME + slot * mode.entry_bytes] = word
    return world(mode, entries, frame_count=2 + len(mode.levels) * tables)


def _word(rng, mode, depth, level, by_level):
    word = rng.choice((0, 1, 1, 1)) | rng.getrandbits(12) & 0xF7E | 0x2
    if rng.random() < 0.3:
        word &= ~rng.choice((2, 4))
    if mode is not IA32 and rng.random() < 0.3:
        word |= 1 << 63
    last = level.leaf is Leaf.ALWAYS
    large = level.leaf is Leaf.IF_PS and rng.random() < 0.3
    if last or large:
        size = level.page_bytes
        wide = 1 << (32 if mode is IA32 else 40)
        word |= rng.randrange(wide // size) * size | (0x80 if large else rng.choice((0, 0x80)))
        if large and rng.random() < 0.2:
            word |= 1 << 21 if mode is IA32 else 1 << 14  # reserved
        if mode is IA32 and large:
            word |= rng.getrandbits(8) << 13
    else:
        word &= ~0x80
        word |= rng.choice([*by_level[depth + 1], 9999 if rng.random() < 0.1 else 2]) * FRAME
        if mode is not IA32 and level.leaf is Leaf.NEVER and rng.random() < 0.1:
            word |= 0x80  # reserved
    return word
