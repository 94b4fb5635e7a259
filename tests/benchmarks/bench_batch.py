"""Speed of the batch walk over large page tables, beside the scalar walk and bare numpy gathers.

Run it as a script. Random addresses are translated through four levels to 4-Kbyte pages; the
bound does nothing but the four gathers that each walk depends on, in the same chunks. All are
measured in turn, several times, in one run, by the time of the one processor that they use.
"""

import argparse
import statistics
import time

import numpy as np
from numpy.random import default_rng

from pagewalk.model.mmu.batch import CHUNK_ROWS, Accesses, Controls, FrameSource, walk_batch
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import X86_64, AccessKind, Cr0, Cr4, Efer, Entry

FIRST_PFN = 0x1000
GRANT = Entry.P | Entry.RW | Entry.US | Entry.A | Entry.D
FRAME_BITS = 0x000F_FFFF_FFFF_F000
SCALAR_ROWS = 100_000
REGISTERS = {
    "cr0": Cr0.PG | Cr0.WP,
    "cr4": Cr4.PAE | Cr4.PGE | Cr4.SMEP | Cr4.SMAP | Cr4.PKE,
    "efer": Efer.LME | Efer.LMA | Efer.NXE,
    "pkru": 0xAAAA_AAA8,  # nothing may be written by a key but key 0
}


def page_tables(rng, frames):
    """Return ``frames`` frames of page tables, the root first, and the number of page tables.

    All entries have the flags A and D. The 4-Kbyte pages are anywhere in 39 bits; 1 in 64 each
    lacks the right of user access, lacks that of writing, or has protection key 2.
    """
    directories = -(-(frames - 2) // 513)
    tables = frames - 2 - directories
    words = np.zeros((frames, 512), np.uint64)
    child = np.arange(FIRST_PFN, FIRST_PFN + frames, dtype=np.uint64) << 12 | GRANT
    words[0, 0] = child[1]
    words[1, :directories] = child[2:2 + directories]
    words[2:2 + directories].reshape(-1)[:tables] = child[2 + directories:]
    leaves = words[2 + directories:]
    leaves[:] = rng.integers(0, 1 << 27, leaves.shape, np.uint64) << 12 | GRANT
    changes = np.zeros(64, np.uint64)
    changes[:3] = Entry.US, Entry.RW, 2 << 59
    leaves ^= changes[rng.integers(0, 64, leaves.shape)]
    return words, tables


def gathers(words, vaddrs):
    """Return the entry that each walk reads last, in the fastest way there is in numpy."""
    words, first = words.reshape(-1), FIRST_PFN << 12 >> 3
    index, place, entry = np.empty((3, CHUNK_ROWS), np.uint64)
    last = np.empty_like(vaddrs)
    for start in range(0, len(vaddrs), CHUNK_ROWS):
        chunk = vaddrs[start:start + CHUNK_ROWS]
        index, place, entry = index[:len(chunk)], place[:len(chunk)], entry[:len(chunk)]
        entry.fill(FIRST_PFN << 12)
        for level in X86_64.levels:
            np.right_shift(chunk, level.shift, out=index)
            np.bitwise_and(index, 511, out=index)
            np.bitwise_and(entry, FRAME_BITS, out=place)
            np.right_shift(place, 3, out=place)
            np.subtract(place, first, out=place)
            np.add(place, index, out=place)
            np.take(words, place.view(np.intp), out=entry, mode="clip")
        last[start:start + CHUNK_ROWS] = entry
    return last


class Bench:
    """Page tables in a memory, random addresses in them, and the ways to translate these."""

    def __init__(self, seed, frames, rows):
        rng = default_rng(seed)
        self.words, tables = page_tables(rng, frames)
        self.memory = PhysicalMemory(frames)
        self.memory.load(np.arange(FIRST_PFN, FIRST_PFN + frames, dtype=np.uint64), self.words)
        self.vaddrs = rng.integers(0, tables << 21, rows, np.uint64)
        self.control = Control(FIRST_PFN << 12, **REGISTERS)
        self.kinds = rng.integers(0, 3, rows, np.uint8)
        self.user = rng.integers(0, 2, rows, np.uint8) | (self.kinds == AccessKind.FETCH)
        self.each = {name: np.full(rows, value, np.uint64) for name, value in REGISTERS.items()}

    def ways(self):
        """Return what is measured: a name, how many rows it translates, and a function."""
        rows = len(self.vaddrs)
        each = Controls(np.full(rows, self.control.cr3, np.uint64), **self.each)
        some = slice(0, min(rows, SCALAR_ROWS))
        return [
            ("numpy gathers, no rules", rows, lambda: gathers(self.words, self.vaddrs)),
            ("batch: reads", rows, lambda: self.batch(self.control, self.reads(self.vaddrs))),
            ("batch: mix of reads, writes, fetches", rows,
             lambda: self.batch(self.control, self.mix())),
            ("batch: mix, registers per row", rows, lambda: self.batch(each, self.mix())),
            ("batch: reads, with steps", some.stop,
             lambda: self.batch(self.control, self.reads(self.vaddrs[some]), steps=True)),
            ("scalar walk: reads", some.stop, lambda: self.scalar(self.vaddrs[some])),
        ]

    @staticmethod
    def reads(vaddrs):
        """Return reads by the supervisor, which are all allowed."""
        return Accesses(vaddrs, ac=True)

    def mix(self):
        """Return accesses of every kind by users, and supervisor's that SMEP and SMAP allow."""
        return Accesses(self.vaddrs, self.kinds, user=self.user, ac=self.user == 0)

    def batch(self, control, accesses, **options):
        source = FrameSource(self.memory, X86_64)
        return walk_batch(source, X86_64, control, accesses, **options)

    def scalar(self, vaddrs):
        return [walk(self.memory, X86_64, self.control, Access(vaddr, ac=True)).paddr
                for vaddr in vaddrs.tolist()]

    def check(self):
        """All ways of reading must come to the same translations."""
        some = self.vaddrs[:10_000]
        walks = self.batch(self.control, self.reads(some))
        assert not walks.fault.any()
        assert walks.paddr.tolist() == self.scalar(some)
        pages = gathers(self.words, some) & FRAME_BITS
        assert (walks.paddr == pages | (some & 0xFFF)).all()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="addresses to translate")
    parser.add_argument("--frames", type=int, default=16384, help="4-Kbyte frames of page tables")
    parser.add_argument("--repeats", type=int, default=7, help="times that each is measured")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    bench = Bench(args.seed, args.frames, args.rows)
    bench.check()
    ways = bench.ways()
    faults = bench.batch(bench.control, bench.mix()).fault.mean()
    speeds = {name: [] for name, _, _ in ways}
    for _ in range(args.repeats):
        for name, rows, translate in ways:
            start = time.process_time()
            translate()
            speeds[name].append(rows / (time.process_time() - start) / 1e6)

    print(f"{args.rows:,} addresses, {args.frames * 4096 >> 20} MiB of tables, seed {args.seed}, "
          f"median of {args.repeats} (lowest to highest); {faults:.1%} of the mix faults")
    print(f"{'million translations per second':40} {'median':>8} {'':>18} {'of the gathers':>15}")
    bound = statistics.median(speeds[ways[0][0]])
    for name, values in speeds.items():
        median = statistics.median(values)
        spread = f"({min(values):.3g} to {max(values):.3g})"
        print(f"{name:40} {median:8.3g} {spread:>18} {median / bound:15.1%}")


if __name__ == "__main__":
    main()
