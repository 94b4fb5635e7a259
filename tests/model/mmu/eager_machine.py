"""A machine that caches all it can as soon as it can, and random histories that it goes through.

The machine, written as a simulation forward in time, holds every translation and upper entry that a
processor might have made and not dropped; ``TlbHistory`` looks back over intervals.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from pagewalk.model.mmu.tlb_history import TlbHistory
from pagewalk.model.mmu.tlb_outcome import Outcome, pcid_of
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import BusError, PhysicalMemory
from pagewalk.model.x86 import (
    X86_64,
    AccessKind,
    Cr0,
    Cr3,
    Cr4,
    Efer,
    Entry,
    InvalidateOp,
    Leaf,
    Vector,
)

TABLES = 2
USER_WRITE = {"kind": AccessKind.WRITE, "user": True}
FETCH = {"kind": AccessKind.FETCH}
EFER = Efer.LME | Efer.LMA | Efer.NXE
XD = Entry.XD


@dataclass(frozen=True)
class Cached:
    """Something made at a time: entries from the root down, under a PCID, for an address."""

    pcid: int
    vaddr: int  # of the 4-Kbyte page that it was made for
    entries: tuple[int, ...]
    is_global: bool = False


class EagerMachine:
    """Caches whatever can be cached for the addresses ``vaddrs``, at every time."""

    def __init__(self, mode, memory, control, vaddrs):
        self.mode, self.memory, self.control, self.vaddrs = mode, memory, control, vaddrs
        self.upper, self.pages = set(), set()
        self.failed = set()  # entries that ended a walk now: not present, reserved, to no memory
        self.failed_xd = set()  # the same of XD, which is reserved while NXE is clear

    def tick(self):
        """Make all walks that can be made now, from the root or from what is cached."""
        self.failed, self.failed_xd = set(), set()
        pcid = pcid_of(self.mode, self.control)
        for vaddr in self.vaddrs:
            for number in range(len(self.mode.levels)):
                starts = [()] if number == 0 else [
                    one.entries for one in self.upper
                    if (one.pcid, one.vaddr, len(one.entries)) == (pcid, vaddr, number)]
                for entries in starts:
                    self._read(pcid, vaddr, number, entries)

    def _read(self, pcid, vaddr, number, entries):
        level = self.mode.levels[number]
        table = (entries[-1] if entries else self.control.cr3) & 0xFF_FFFF_F000
        index = vaddr >> level.shift & (1 << level.index_bits) - 1
        size = self.mode.entry_bytes
        try:
            entry = self.memory.read(table + index * size, size)
        except BusError:
            self.failed.add((vaddr, entries))
            return
        chain = (*entries, entry)
        if entry & Entry.P and entry & XD and self.mode is X86_64:
            self.failed_xd.add((vaddr, chain))
        if not entry & Entry.P or (self.mode is X86_64 and entry & 1 << 51):
            self.failed.add((vaddr, chain))
        elif level.leaf is Leaf.ALWAYS or (
            level.leaf is Leaf.IF_PS and entry & Entry.PS
            and (self.mode is X86_64 or self.control.cr4 & Cr4.PSE)):
            is_global = bool(entry & Entry.G and self.control.cr4 & Cr4.PGE)
            self.pages.add(Cached(pcid, vaddr, chain, is_global))
        else:
            self.upper.add(Cached(pcid, vaddr, chain))

    def drop_pages(self, which):
        self.pages = {one for one in self.pages if not which(one)}

    def drop_upper(self, which):
        self.upper = {one for one in self.upper if not which(one)}

    def same_page(self, one, vaddr):
        shift = self.mode.levels[len(one.entries) - 1].shift
        return one.vaddr >> shift == vaddr >> shift

    def outcomes(self, vaddr, efer, **access):
        """Return the answers to an access: as the golden walk gives them for what is cached.

        While NXE is clear, nothing with XD comes from a cache, and the first XD ends a walk.
        """
        pcid, control = pcid_of(self.mode, self.control), replace(self.control, efer=efer)
        chains = {chain for at, chain in self.failed | self.failed_xd if at == vaddr}
        if efer & Efer.NXE:
            chains -= {chain for _, chain in self.failed_xd - self.failed}
        chains |= {one.entries for one in self.pages
                   if one.vaddr == vaddr and (one.pcid == pcid or one.is_global)}
        if not efer & Efer.NXE and self.mode is X86_64:
            reserved = {chain for _, chain in self.failed_xd}
            chains = {chain for chain in chains if not any(entry & XD for entry in chain[:-1])
                      and (not chain[-1] & XD or not chain[-1] & Entry.P or chain in reserved)}
        return {self._answer(vaddr, chain, control, access) for chain in chains}

    def _answer(self, vaddr, chain, control, access):
        """Return what a walk of exactly these entries gives."""
        memory, size = PhysicalMemory(), self.mode.entry_bytes
        table = self.control.cr3 & 0xFF_FFFF_F000
        for level, entry in zip(self.mode.levels, chain, strict=False):
            memory.add([table >> 12])
            index = vaddr >> level.shift & (1 << level.index_bits) - 1
            # A frame may hold entries of several levels: the walk gets to each after this write.
            memory.write(table + index * size, size, entry)
            table = entry & 0xFF_FFFF_F000
        walked = walk(memory, self.mode, control, Access(vaddr, **access))
        if walked.fault is not None:
            return Outcome(vector=walked.fault.vector, error_code=walked.fault.error_code)
        return Outcome(walked.paddr, walked.page, walked.memory_type)


class Script:
    """A random history, told to a ``TlbHistory`` and to an ``EagerMachine``."""

    def __init__(self, mode, seed, *, canonical=True):
        self.mode, self.rng, self.canonical = mode, np.random.default_rng(seed), canonical
        self.tables = [[0x100 * (number + 1) + table for table in range(TABLES)]
                       for number in range(len(mode.levels))]
        vaddrs = [0x0040_3000, 0x0040_4000, 0x0060_3000, 0x0080_3000]
        self.memory = PhysicalMemory()
        self.memory.add(pfn for tables in self.tables for pfn in tables)
        self.sites = sorted({
            (number, (pfn << 12) + (vaddr >> level.shift & (1 << level.index_bits) - 1)
             * mode.entry_bytes)
            for number, level in enumerate(mode.levels)
            for pfn, vaddr in product(self.tables[number], vaddrs)})
        for number, paddr in self.sites:
            self.memory.write(paddr, mode.entry_bytes, self.entry(number))
        cr4 = Cr4.PGE | (Cr4.PAE | Cr4.PCIDE if mode is X86_64 else Cr4.PSE)
        self.control = Control(self.tables[0][0] << 12 | 1, cr4=cr4, efer=EFER)
        self.history = TlbHistory(mode, self.memory, self.control)
        self.eager = EagerMachine(mode, self.memory, self.control, vaddrs)
        self.vaddrs = vaddrs
        self.sizes = []

    def pick(self, items):
        return items[int(self.rng.integers(len(items)))]

    def entry(self, number):
        level = self.mode.levels[number]
        entry = sum(bit for bit in (Entry.RW, Entry.US, Entry.G) if self.rng.random() < 0.6)
        entry |= Entry.A | Entry.D | Entry.P * (self.rng.random() < 0.9)
        if self.mode is X86_64 and self.rng.random() < 0.05:
            entry |= 1 << 51
        if self.mode is X86_64 and self.rng.random() < 0.1:
            entry |= XD
        large = level.leaf is Leaf.IF_PS and self.rng.random() < 0.2
        if level.leaf is Leaf.ALWAYS or large:
            return entry | int(self.rng.integers(1, 8)) << max(level.shift, 22) | Entry.PS * large
        return entry & ~Entry.G | self.pick(self.tables[number + 1]) << 12

    def play(self, length):
        """Let an event happen at every other of ``length`` times, and ask in between."""
        for time in range(2, length, 2):
            self.eager.tick()
            happened = self.pick((self.write, self.write, self.operation, self.nothing) * 15
                                 + (self.reset,))
            happened(time)
            self.ask(time + 1)

    def nothing(self, time):
        pass

    def reset(self, time):
        self.history.drops.everything(time)
        self.history.forget(time)
        self.eager.pages, self.eager.upper = set(), set()

    def write(self, time):
        number, paddr = self.pick(self.sites)
        entry = self.entry(number)
        self.memory.write(paddr, self.mode.entry_bytes, entry)
        self.history.write(time, paddr, entry)

    def ask(self, time):
        """Compare the answers to an access at ``time``; perhaps let it fault."""
        self.eager.tick()
        vaddr = self.pick(self.vaddrs)
        access, efer = self.pick(({}, USER_WRITE, FETCH)), self.pick((EFER, EFER, EFER & ~Efer.NXE))
        control = replace(self.control, efer=efer)
        found = self.history.outcomes(time, time, control, Access(vaddr, **access))
        expected = self.eager.outcomes(vaddr, efer, **access)
        assert found == expected, f"at {time}, {vaddr:#x} {access}"
        self.sizes.append(len(found))
        if any(one.vector is Vector.PF for one in found) and self.rng.random() < 0.3:
            self.page_fault(time, vaddr)

    def page_fault(self, time, vaddr):
        """A page fault at ``time``, as the architecture lets it drop what it must."""
        eager, pcid = self.eager, pcid_of(self.mode, self.control)
        self.history.drops.page_fault(time, pcid, vaddr)
        eager.drop_pages(lambda one: one.pcid == pcid and eager.same_page(one, vaddr))
        eager.drop_upper(lambda one: one.pcid == pcid and eager.same_page(one, vaddr))

    def operation(self, time):
        op = InvalidateOp(self.pick([*InvalidateOp]))
        vaddr, pcid = self.pick(self.vaddrs), self.pick((1, 2)) if self.mode is X86_64 else 0
        old, new = {
            InvalidateOp.MOV_CR3: (0, self.pick(self.tables[0]) << 12 | pcid
                                   | self.pick((0, Cr3.NO_FLUSH if self.mode is X86_64 else 0))),
            InvalidateOp.MOV_CR4: (self.control.cr4, self.control.cr4 ^ self.pick(
                (Cr4.PGE, Cr4.SMEP, Cr4.SMAP, Cr4.PSE))),
            InvalidateOp.MOV_CR0: (Cr0.PG, self.pick((0, Cr0.PG))),
        }.get(op, (0, 0))
        current = pcid_of(self.mode, self.control)
        if not self.canonical:
            vaddr |= 1 << 60
        operands = {"vaddr": vaddr, "pcid": pcid, "old": old, "new": new}
        self.history.drops.operation(time, op, operands, pcid=current, pcide=self.mode is X86_64)
        self._drop(op, vaddr, pcid, old, new, current)
        if op in (InvalidateOp.MOV_CR3, InvalidateOp.MOV_CR4):
            cr3 = new & ~Cr3.NO_FLUSH if op is InvalidateOp.MOV_CR3 else self.control.cr3
            cr4 = new if op is InvalidateOp.MOV_CR4 else self.control.cr4
            self.control = self.eager.control = Control(cr3, cr4=cr4, efer=EFER)
            self.history.set_control(time, self.control)
        if self.history.drops.dropped_everything(time):
            self.history.forget(time)

    def _drop(self, op, vaddr, pcid, old, new, current):
        """Drop in the eager machine what SDM 4.10.4.1 lists."""
        eager = self.eager
        if vaddr >> 60 and op in (InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS):
            return  # not canonical
        if op is InvalidateOp.INVLPG:
            eager.drop_pages(lambda one: eager.same_page(one, vaddr) and (
                one.is_global or one.pcid == current))
            eager.drop_upper(lambda one: one.pcid == current)
        elif op is InvalidateOp.INVPCID_ADDRESS:
            eager.drop_pages(lambda one: eager.same_page(one, vaddr) and not one.is_global
                             and one.pcid == pcid)
            eager.drop_upper(lambda one: one.pcid == pcid)
        elif op is InvalidateOp.INVPCID_ALL_NON_GLOBAL:
            eager.drop_pages(lambda one: not one.is_global)
            eager.drop_upper(lambda _one: True)
        elif op is InvalidateOp.INVPCID_ALL or (
            op is InvalidateOp.MOV_CR0 and old & ~new) or (
            op is InvalidateOp.MOV_CR4 and (old ^ new) & (Cr4.PGE | Cr4.PSE)):
            eager.drop_pages(lambda _one: True)
            eager.drop_upper(lambda _one: True)
        else:
            context = {
                InvalidateOp.INVPCID_CONTEXT: pcid,
                InvalidateOp.MOV_CR3: None if new & Cr3.NO_FLUSH else new & Cr3.PCID,
                InvalidateOp.MOV_CR4: current if new & ~old & Cr4.SMEP else None,
            }.get(op)
            eager.drop_pages(lambda one: not one.is_global and one.pcid == context)
            eager.drop_upper(lambda one: one.pcid == context)
