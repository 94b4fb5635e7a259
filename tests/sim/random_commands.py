"""Random page tables and commands for engines."""

from dataclasses import replace
from itertools import product

import numpy as np

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import Cr0, Cr4, Entry, InvalidateOp, Purpose
from pagewalk.sim.engine.command import (
    accesses,
    barrier,
    cancel,
    data_accesses,
    exchange,
    invalidation,
    read,
    reset,
    set_control,
    wait,
)

from ..hdl.tables import (
    bits,
    canonical,
    indices,
    random_access,
    random_control,
    random_tables,
    random_vaddr,
)

EPOCH = 40


def random_memory(rng, config):
    """Return page tables and pages, a few of which are where there is no memory, and the root."""
    tables = random_tables(rng, config.mode, config.physical_bits)
    memory = PhysicalMemory()
    pfns, rows = tables.memory.index()
    there = (rng.random(len(pfns)) < 0.95) | (pfns == tables.cr3 >> 12)
    # In no order, so that rows and frame numbers have nothing to do with each other.
    order = rng.permutation(np.flatnonzero(there))
    memory.load(pfns[order], tables.memory.frames[rows[order]])
    memory.add(frame for frame in mapped_frames(tables) if rng.random() < 0.9)
    return memory, tables.cr3


def mapped_frames(tables):
    """Return the frames of pages that random tables map."""
    control = Control(tables.cr3, cr4=Cr4.PAE | Cr4.PSE)
    memory, levels = tables.memory.copy(), tables.mode.levels
    for path in product(*(indices(level) for level in levels)):
        vaddr = sum(index << level.shift for index, level in zip(path, levels, strict=True))
        access = Access(canonical(tables.mode, vaddr), ac=True)
        found = walk(memory, tables.mode, control, access, 52)
        if found.fault is None:
            yield found.paddr >> 12


class Commands:
    """Random commands that have one right answer each, whatever the TLBs hold.

    The registers that change what a cached entry would be change only right before a full flush,
    page tables right after it, while nothing is cached and no walk under way.
    """

    def __init__(self, rng, config, memory, cr3):
        self.rng, self.config, self.memory, self.cr3 = rng, config, memory, cr3
        self.vaddrs, self.entries = [], []
        self.pcids = [bits(rng, 12) for _ in range(3)]

    def make(self, count):
        return np.concatenate([part for _ in range(count // EPOCH) for part in self._epoch()])

    def make_racing(self, count, longest_wait):
        """Return commands of which other processors' are carried out while walks are under way.

        The answers are a matter of cycles.
        """
        vaddrs = (random_vaddr(self.rng, self.config.mode) for _ in range(30))
        self.vaddrs = sorted(vaddrs, key=lambda vaddr: len(self._path(vaddr)))[-5:]
        races = (self._race(longest_wait) for _ in range(count // 4))
        return np.concatenate([part for race in races for part in race])

    def make_unsettled(self, count):
        """Return commands of every kind, resets and cancels at any time.

        The answers are a matter of cycles.
        """
        parts = []
        while len(parts) < count:
            parts += self._epoch()
            for _ in range(8):  # at any place in what was added just now
                place = len(parts) - int(self.rng.integers(EPOCH))
                parts.insert(place, [reset(), reset(), barrier(), wait(int(self.rng.integers(9)))][
                    int(self.rng.integers(4))])
            for _ in range(8 * self.config.cancel):
                parts.insert(len(parts) - int(self.rng.integers(EPOCH)), self._cancel())
            control = self._control(random_control(self.rng, self.config.mode, self.cr3))
            parts += [set_control(control), *(self._access(None) for _ in range(6))]
        return np.concatenate(parts)

    def _epoch(self):
        lasting = random_control(self.rng, self.config.mode, self.cr3)
        if self.rng.random() < 0.5:
            lasting = replace(lasting, cr4=lasting.cr4 | Cr4.PCIDE)
        self.vaddrs = [random_vaddr(self.rng, self.config.mode)
                       for _ in range(self.config.entries + 4)]
        self.entries = [step.paddr for vaddr in self.vaddrs for step in self._path(vaddr)]
        yield invalidation(lasting, InvalidateOp.INVPCID_ALL)
        for _ in range(4):
            yield self._from_another_processor()
        for _ in range(EPOCH - 5):
            control = self._control(lasting)
            if self.rng.random() < 0.15:
                yield self._invalidation(control)
            else:
                yield self._access(control)

    def _race(self, longest_wait):
        control = random_control(self.rng, self.config.mode, self.cr3)
        vaddr = self.vaddrs[int(self.rng.integers(len(self.vaddrs)))]
        self.entries = [step.paddr for step in self._path(vaddr)]
        yield invalidation(control, InvalidateOp.INVPCID_ALL)
        port = int(self.rng.integers(len(self.config.ports)))
        yield accesses(control, vaddr, int(self.rng.integers(3)), ac=True, port=port)
        yield wait(int(self.rng.integers(longest_wait + 1)))
        yield self._exchange(clear=Entry.A)

    def _path(self, vaddr):
        control = Control(self.cr3, cr4=Cr4.PAE | Cr4.PSE)
        return walk(self.memory.copy(), self.config.mode, control, Access(vaddr, ac=True), 52).steps

    def _from_another_processor(self):
        """Return what another processor does to an entry, or a wait."""
        sort = self.rng.random()
        if sort < 0.2:
            return wait(int(self.rng.integers(5)))
        if sort < 0.25:
            return exchange(bits(self.rng, self.config.physical_bits - 3) << 3, bits(self.rng, 64))
        return read(int(self.rng.choice(self.entries))) if sort < 0.4 else self._exchange()

    def _exchange(self, clear=0):
        """Return an exchange of an entry by one with a few other flags, and without ``clear``."""
        paddr = int(self.rng.choice(self.entries))
        entry = self.memory.read(paddr, self.config.mode.entry_bytes)
        flags = bits(self.rng, 12) & bits(self.rng, 12) & bits(self.rng, 12)
        return exchange(paddr, (entry ^ flags) & ~clear)

    def _control(self, lasting):
        cr3 = self.cr3 | int(self.rng.choice(self.pcids))
        control = random_control(self.rng, self.config.mode, cr3, lasting=lasting)
        return replace(control, cr0=control.cr0 & ~Cr0.PG) if self.rng.random() < 0.05 else control

    def _vaddr(self):
        if self.rng.random() < 0.1:  # seldom canonical, never in the tables
            return bits(self.rng, self.config.mode.vaddr_bits)
        return self.vaddrs[int(self.rng.integers(len(self.vaddrs)))] ^ bits(self.rng, 12)

    def _access(self, control):
        access = random_access(self.rng, self._vaddr())
        flags = {"user": access.user, "ac": access.ac, "stack": access.stack,
                 "port": int(self.rng.integers(len(self.config.ports)))}
        if self.rng.random() < 0.5:
            vaddr, size = self._extent(access.vaddr)
            return accesses(control, vaddr, access.kind, implicit=access.implicit,
                            purpose=self._purpose(), size=size, **flags)
        size = 1 << int(self.rng.integers(4))
        # Among few bytes, so that loads meet stores.
        vaddr = access.vaddr & ~0xFFF | bits(self.rng, 4) & -size
        return data_accesses(control, vaddr, access.kind, bits(self.rng, 64),
                             size=size, **flags)

    def _extent(self, vaddr):
        """Return where an access begins and its size: where it may have one, near a page's end."""
        longest = self.config.access_bytes
        if not longest:
            return vaddr, 0
        if self.rng.random() < 0.6:
            vaddr = (vaddr | 0xFFF) - int(self.rng.integers(longest))
        return vaddr, int(self.rng.integers(longest + 1))

    def _purpose(self):
        """Return a purpose of which the answer does not depend on what a TLB holds."""
        if not self.config.probes or self.rng.random() < 0.6:
            return Purpose.ACCESS
        return (Purpose.CHECK, Purpose.PROBE)[int(self.rng.integers(2))]

    def _cancel(self):
        return cancel(int(self.rng.integers(len(self.config.ports))), int(self.rng.integers(4)))

    def _invalidation(self, control):
        op = InvalidateOp(int(self.rng.integers(len(InvalidateOp))))
        pcid = int(self.rng.choice(self.pcids))
        if self.config.checks and op <= InvalidateOp.INVPCID_ALL_NON_GLOBAL:
            sound = self.rng.random() < 0.5
            return invalidation(control, op, vaddr=self._vaddr(), pcid=pcid * bits(self.rng, 1),
                                old=bits(self.rng, 1) * (not sound),
                                new=bits(self.rng, 64) * (not sound and bits(self.rng, 1)))
        return invalidation(control, op, vaddr=self._vaddr(), pcid=pcid, old=bits(self.rng, 32),
                            new=bits(self.rng, 52) << 12 | pcid)
