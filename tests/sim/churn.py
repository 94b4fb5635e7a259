"""Programs in which accesses, other processors' writes and invalidations meet at random.

Page tables are a few frames for each level; every entry of a level may point to any table of the
next, so that tables are shared, and reached under other rights. Addresses go through few indices,
of which some pages are hot, so that TLBs and walk caches hit.
"""

from dataclasses import replace
from itertools import product

import numpy as np

from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import (
    AccessKind,
    Cr0,
    Cr3,
    Cr4,
    Efer,
    Entry,
    InvalidateOp,
    Leaf,
    Purpose,
)
from pagewalk.sim.engine.command import accesses, exchange, invalidation, read, wait

TABLES = 3  # of each level; those of the root level are address spaces
HOT_PAGES = 6
PORTS = 2
SETTLED = 100  # cycles after which no walk is under way

FLAGS = ((Entry.P, 0.95), (Entry.RW, 0.8), (Entry.US, 0.75), (Entry.PWT, 0.1), (Entry.PCD, 0.1),
         (Entry.A, 0.5), (Entry.D, 0.4))


class Churn:
    """A machine's software: its page tables, its registers, and the programs it runs.

    ``flag_chances`` are those of the flags of an entry. Without ``with_global`` no entry has G, and
    every invalidation of all that is not global leaves a single answer to the next access.
    """

    flag_chances = FLAGS

    def __init__(self, mode, seed, *, with_global=True, ports=PORTS):
        self.mode, self.rng, self.ports = mode, np.random.default_rng(seed), ports
        self.long = mode.entry_bytes == 8  # whether it has what IA-32e paging has
        self.actions = ACTIONS
        self.with_global = with_global
        self.tables = [[0x100 * (number + 1) + table for table in range(TABLES)]
                       for number in range(len(mode.levels))]
        self.indices = [self._draw_indices(level) for level in mode.levels]
        self.memory = PhysicalMemory()
        self.memory.add(pfn for tables in self.tables for pfn in tables)
        self.sites = [(number, (pfn << 12) + index * mode.entry_bytes)
                      for number, tables in enumerate(self.tables)
                      for pfn, index in product(tables, self.indices[number])]
        self.entries = {paddr: self._entry(number) for number, paddr in self.sites}
        for paddr, entry in self.entries.items():
            self.memory.write(paddr, mode.entry_bytes, entry)
        long = self.long
        self.control = Control(
            self.tables[0][0] << 12 | (1 if long else 0), cr0=Cr0.PG | Cr0.PE | Cr0.WP,
            cr4=Cr4.PGE | (Cr4.PAE | Cr4.PCIDE if long else Cr4.PSE)
            | Cr4.LA57 * (len(mode.levels) == 5),
            efer=Efer.LME | Efer.LMA | Efer.NXE if long else 0)
        self.covered = self.pages()
        self.hot = [self._vaddr() for _ in range(HOT_PAGES)]

    def _draw_indices(self, level):
        """Return the highest index, and a pair that differs in one bit."""
        highest = (1 << level.index_bits) - 1
        index = int(self.rng.integers(highest - 1))
        return [highest, index, index ^ 1]

    def _bits(self, count):
        return int.from_bytes(self.rng.bytes(-(-count // 8)), "little") & (1 << count) - 1

    def _chance(self, chance):
        return self.rng.random() < chance

    def _pick(self, items):
        return items[int(self.rng.integers(len(items)))]

    def _entry(self, number):
        """Return a random entry of a level: a table of the next, or a page."""
        level, long = self.mode.levels[number], self.long
        entry = sum(bit for bit, chance in self.flag_chances if self._chance(chance))
        large = level.leaf is Leaf.IF_PS and self._chance(0.25)
        if level.leaf is Leaf.ALWAYS or large:
            entry |= self._bits(8) << max(level.shift, 24)
            entry |= Entry.G * (self.with_global and self._chance(0.25))
            entry |= Entry.PS * large | self._bits(4) * (Entry.KEY & -Entry.KEY) * long
        else:
            entry |= self._pick(self.tables[number + 1]) << 12
        entry |= Entry.XD * (long and self._chance(0.08))
        if self._chance(0.02):
            entry |= 1 << (51 if long else 21)  # reserved, in 32-bit paging of a large page only
        return entry

    def pages(self):
        """Return the address of each 4-Kbyte page that the tables cover."""
        top = self.mode.translated_bits
        upper = (1 << self.mode.vaddr_bits) - (1 << top)
        shifts = [level.shift for level in self.mode.levels]
        vaddrs = (sum(index << shift for index, shift in zip(path, shifts, strict=True))
                  for path in product(*self.indices))
        return [vaddr | upper if vaddr >> (top - 1) else vaddr for vaddr in vaddrs]

    def _vaddr(self):
        return self._pick(self.covered) | self._bits(12)

    def program(self, length):
        """Return about ``length`` commands, and the numbers of those with a single answer."""
        self.commands, self.single = [], []
        while len(self.commands) < length:
            self._pick(self.actions)(self)
        self.commands.append(wait(SETTLED))
        return np.concatenate(self.commands), self.single

    def _invalidate(self, op, **operands):
        self.commands.append(invalidation(self.control, op, **operands))

    def access(self, vaddr=None, port=None):
        """Access a page, rather a hot one, under random rights, through any port."""
        if self._chance(0.01):
            self.hot[int(self.rng.integers(HOT_PAGES))] = self._vaddr()
        if vaddr is None:
            vaddr = self._pick(self.hot) if self._chance(0.8) else self._vaddr()
        vaddr, size = self._extent(vaddr)
        lax = self._chance(0.6)  # a supervisor that may nearly everything
        bits = self._bits(8)
        kind = self._pick((AccessKind.READ, AccessKind.READ, AccessKind.WRITE, AccessKind.FETCH))
        implicit = not lax and self._chance(0.1)
        control = replace(
            self.control, cr0=self.control.cr0 & ~(Cr0.WP if lax or bits & 8 else 0),
            cr4=self.control.cr4 | Cr4.SMAP * (bits >> 4 & 1) | Cr4.PKE * (bits >> 5 & 1),
            efer=self.control.efer & ~(Efer.NXE if self._chance(0.05) else 0),
            pkru=0 if lax else self._bits(32) & self._bits(32) & self._bits(32))
        self.commands.append(accesses(
            control, vaddr, kind, user=not lax and bits >> 1 & 1, implicit=implicit,
            ac=lax or bits >> 2 & 1, port=self._port() if port is None else port,
            purpose=self._purpose(), size=size))

    def _extent(self, vaddr):
        """Return where in the page of ``vaddr`` an access begins, and its size in bytes."""
        return vaddr, 1

    def _purpose(self):
        return Purpose.ACCESS

    def _port(self):
        return int(self.rng.integers(self.ports))

    def accesses(self):
        for _ in range(int(self.rng.integers(1, 12))):
            self.access()

    def rewrite(self):
        """Replace an entry while a walk may be under way; read it again later."""
        if self._chance(0.5):
            self.access()
            self.commands.append(wait(int(self.rng.integers(1, 14))))
        number, paddr = self._pick(self.sites)
        self._exchange(paddr, self._entry(number))

    def _exchange(self, paddr, entry):
        self.commands.append(exchange(paddr, entry))
        self.entries[paddr] = entry

    def _path(self, vaddr):
        """Return the entries that a walk of ``vaddr`` would read now."""
        table, path = self.control.cr3, []
        for level in self.mode.levels:
            index = vaddr >> level.shift & (1 << level.index_bits) - 1
            path.append((table & -1 << 12) + index * self.mode.entry_bytes)
            table = self.entries.get(path[-1])
            if table is None or (table & Entry.PS and level.leaf is Leaf.IF_PS):
                break
            table &= (1 << 40) - 1
        return [paddr for paddr in path if paddr in self.entries]

    def race(self):
        """Rewrite an entry with changed flags, cycle after cycle, as it is walked."""
        vaddr = self._vaddr()
        path = self._path(vaddr)
        self.access(vaddr)
        for _ in range(int(self.rng.integers(1, 8))):
            paddr = self._pick(path)
            flags = self._pick((Entry.A, Entry.D, Entry.A | Entry.D, Entry.RW, 1 << 9))
            self._exchange(paddr, (self.entries[paddr] & ~(Entry.A | Entry.D)) ^ flags)

    def observe(self):
        self.commands.append(read(self._pick(self.sites)[1]))

    def switch(self):
        """MOV CR3 to a root, which keeps its PCID, with and without bit 63."""
        space = int(self.rng.integers(TABLES))
        cr3 = self.tables[0][space] << 12 | (space + 1 if self.long else 0)
        if self._chance(0.1):
            cr3 = cr3 & 0xFFF | self._pick(self.tables[0]) << 12  # another root under that PCID
        keep = Cr3.NO_FLUSH * (self.long and self._chance(0.7))
        self._invalidate(InvalidateOp.MOV_CR3, new=cr3 | keep)
        self._set(cr3=cr3)
        self._expect_single(not keep and not self.with_global)

    def _set(self, **registers):
        self.control = Control(**{name: getattr(self.control, name) for name in
                                  ("cr3", "cr0", "cr4", "efer")} | registers)

    def _expect_single(self, is_single, vaddr=None):
        """Access what was just invalidated, if only one answer is left."""
        if not is_single:
            return
        self.access(vaddr if vaddr is not None else self._pick(self.hot))
        self.single.append(len(self.commands) - 1)
        self.commands.append(wait(SETTLED))

    def invlpg(self):
        """Change an entry, and invalidate an address that may go through it."""
        self.rewrite()
        vaddr = self._pick(self.hot)
        self._invalidate(InvalidateOp.INVLPG, vaddr=vaddr)
        self._expect_single(True, vaddr)

    def invpcid(self):
        self.rewrite()
        vaddr, current = self._pick(self.hot), self.control.cr3 & Cr3.PCID
        pcid = current if self._chance(0.6) or not self.long else self._pick((1, 2, 3))
        op = InvalidateOp(self._pick((0, 0, 0, 1, 1, 3)))
        self._invalidate(op, vaddr=vaddr, pcid=pcid)
        reached = op is InvalidateOp.INVPCID_ALL_NON_GLOBAL or pcid == current
        self._expect_single(reached and not self.with_global, vaddr)

    def flush(self):
        self._invalidate(InvalidateOp.INVPCID_ALL)
        self._expect_single(True)

    def toggle_pge(self):
        for _ in range(2):
            new = self.control.cr4 ^ Cr4.PGE
            self._invalidate(InvalidateOp.MOV_CR4, old=self.control.cr4, new=new)
            self._set(cr4=new)
            self._expect_single(True)

    def toggle_smep(self):
        new = self.control.cr4 ^ Cr4.SMEP
        self._invalidate(InvalidateOp.MOV_CR4, old=self.control.cr4, new=new)
        self._set(cr4=new)
        self._expect_single(bool(new & Cr4.SMEP) and not self.with_global)

    def toggle_paging(self):
        for _ in range(2):
            new = self.control.cr0 ^ Cr0.PG
            self._invalidate(InvalidateOp.MOV_CR0, old=self.control.cr0, new=new)
            self._set(cr0=new)
            self._expect_single(True)


WEIGHTS = {
    Churn.accesses: 30, Churn.rewrite: 6, Churn.race: 4, Churn.observe: 4, Churn.invlpg: 3,
    Churn.invpcid: 2, Churn.switch: 3, Churn.flush: 1, Churn.toggle_pge: 1, Churn.toggle_smep: 1,
    Churn.toggle_paging: 1,
}
ACTIONS = [action for action, weight in WEIGHTS.items() for _ in range(weight)]
