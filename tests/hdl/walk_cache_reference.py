"""Plain Python that does to lists of entries what the walk cache does to its own."""

from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import Efer, Entry, Vector

from .walker_bench import expected_accesses


class RefLevelCache:
    """The cache of one level; an entry is found by a PCID and the page number above ``low``."""

    def __init__(self, low, entries):
        self.low = low
        self.slots = [None] * entries
        self.turn = 0

    def find(self, vpn, pcid):
        """Return what the only entry of this key holds, or None."""
        found = [table for key, table in filter(None, self.slots) if key == (vpn >> self.low, pcid)]
        assert len(found) <= 1
        return found[0] if found else None

    def fill(self, vpn, pcid, table):
        """Replace the entry of this key, or else the next one in turn, whether valid or not."""
        key = vpn >> self.low, pcid
        slots = [slot for slot, entry in enumerate(self.slots) if entry and entry[0] == key]
        if not slots:
            slots = [self.turn]
            self.turn = (self.turn + 1) % len(self.slots)
        self.slots[slots[0]] = key, table

    def drop(self, pcid=None, vpn=None):
        """Drop the entries of a PCID, or of all; with ``vpn`` only those for this page number."""
        self.slots = [None if entry and pcid in (None, entry[0][1])
                      and (vpn is None or vpn >> self.low == entry[0][0]) else entry
                      for entry in self.slots]


class RefWalkCache:
    """A cache for each level but the last, with the numbers of entries ``sizes``, root first."""

    def __init__(self, mode, sizes):
        self.levels = [RefLevelCache(level.shift - 12, size)
                       for level, size in zip(mode.levels[:-1], sizes, strict=True)]

    def find(self, vpn, pcid, nxe):
        """Return the level to begin at and its table, or 0 and None."""
        for number, level in reversed([*enumerate(self.levels)]):
            table = level.find(vpn, pcid)
            if table and (nxe or not table["execute_disable"]):
                return number + 1, table
        return 0, None

    def drop(self, pcid=None, vpn=None):
        for level in self.levels:
            level.drop(pcid, vpn)


# (mode, entries of the lowest level) to the entries of each level, from the root down.
SIZES = {
    ("x86_64", 1): (1, 1, 1), ("x86_64", 2): (1, 1, 2), ("x86_64", 3): (1, 1, 3),
    ("x86_64", 8): (2, 4, 8), ("ia32", 1): (1,), ("ia32", 2): (2,), ("ia32", 3): (3,),
    ("ia32", 8): (8,),
}


class Prediction:
    """Which entries each walk reads, and from which level on, if nothing is stale.

    ``log`` has the accesses to page-table memory, without those that end in a bus error; ``begun``
    the level of the first entry of each walk.
    """

    def __init__(self, mode, sizes, memory, paddr_bits):
        self.mode, self.memory, self.paddr_bits = mode, memory, paddr_bits
        self.cache = RefWalkCache(mode, sizes)
        self.log = []
        self.begun = []

    def walk(self, access, control):
        """Return the golden walk, and note what it takes."""
        walked = walk(self.memory, self.mode, control, access, self.paddr_bits)
        key = access.vaddr % (1 << self.mode.translated_bits) >> 12, control.cr3 & 0xFFF
        level, _ = self.cache.find(*key, bool(control.efer & Efer.NXE))
        self.begun.append(level)
        assert all(step.entry & Entry.A for step in walked.steps[:level])
        self.log += expected_accesses(walked.steps[level:])
        # Memory that is not there is found by a table like any other.
        tables = walked.steps if walked.fault and walked.fault.vector is Vector.MC else (
            walked.steps[:-1])
        execute_disable = False
        for number, step in enumerate(tables):
            execute_disable |= bool(step.entry & Entry.XD)
            if number >= level and not step.entry & Entry.PS:
                self.cache.levels[number].fill(*key, {"execute_disable": execute_disable})
        return walked
