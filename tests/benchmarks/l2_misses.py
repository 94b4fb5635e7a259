"""What a second-level TLB leaves of the misses of two set-associative ones, on a recorded trace.

Run it with a trace to print a table. A trace is an ``.npz`` of three arrays, a row for each run of
accesses to one page: ``va``, an address in the page; ``kind``, 0 for fetches, 1 for loads, 2 if the
first access is a store; ``count``, the accesses. The first level is a TLB for fetches and one for
data, LRU, with the set selected by bits of the page number folded once by XOR; a store to a page
that is held as clean is a miss. The second level is the reference that the hardware's tests use.
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import X86_64, AccessKind

KINDS = AccessKind.FETCH, AccessKind.READ, AccessKind.WRITE
RIGHTS = {"writable": 1, "user": 1, "execute_disable": 0, "key": 0}
SHAPES = [(sets, ways, policy) for sets, ways, policy in (
    (256, 4, "plru"), (256, 4, "lru"), (256, 4, "fifo"), (256, 4, "random"), (128, 8, "plru"),
    (512, 2, "plru"), (128, 4, "plru"), (512, 4, "plru"))]


class FirstLevel:
    """A set-associative LRU TLB of pages, each clean or dirty."""

    def __init__(self, sets, ways):
        self.sets = [OrderedDict() for _ in range(sets)]
        self.bits, self.ways = (sets - 1).bit_length(), ways

    def access(self, vpn, write):
        """Return whether an access hits; if not, it is entered."""
        pages = self.sets[(vpn ^ vpn >> self.bits) % len(self.sets)]
        dirty = pages.get(vpn)
        if dirty is not None and (dirty or not write):
            pages.move_to_end(vpn)
            return True
        if dirty is None and len(pages) == self.ways:
            pages.popitem(last=False)
        pages[vpn] = write
        pages.move_to_end(vpn)
        return False


def first_level_misses(trace, sets, ways):
    """Return the page number and kind of each access that misses the first level, in order."""
    tlbs = FirstLevel(sets, ways), FirstLevel(sets, ways)
    vpns = (trace["va"] >> np.uint64(12)).tolist()
    return [(vpn, kind) for vpn, kind in zip(vpns, trace["kind"].tolist(), strict=True)
            if not tlbs[kind > 0].access(vpn, kind == 2)]


def walks(reference, misses):
    """Return how many of the misses are walked. A store leaves its page dirty in memory."""
    control, dirty, count = Control(0), set(), 0
    for vpn, kind in misses:
        found, _ = reference.lookup(Access(vpn << 12, KINDS[kind], user=True), control)
        if found is None:
            count += 1
            if kind == 2:
                dirty.add(vpn)
            reference.fill(vpn, 0, {
                "frame": vpn, "page": 0, "rights": RIGHTS, "memory_type": 0,
                "dirty": int(vpn in dirty), "global_page": 0})
    return count


def main():
    from tests.hdl.l2_reference import RefL2

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trace", type=Path, help="a trace, .npz")
    parser.add_argument("--sets", type=int, default=16, help="sets of each first level (16)")
    parser.add_argument("--ways", type=int, default=4, help="ways of each first level (4)")
    args = parser.parse_args()
    trace = np.load(args.trace)
    total = int(trace["count"].sum())
    misses = first_level_misses(trace, args.sets, args.ways)
    print(f"{total:,} accesses, {1000 * len(misses) / total:.3f} of 1,000 miss the first level")
    for sets, ways, policy in SHAPES:
        count = walks(RefL2(X86_64, sets, ways, policy), misses)
        print(f"{sets:4} sets of {ways} ways, {policy:6} {1000 * count / total:.4f} walks for 1,000"
              f" accesses, {100 * (1 - count / len(misses)):.2f} % of the misses hit")


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
