"""The least kernel that demand paging takes: page tables, a few frames, and a dict as its disk.

Pages are evicted first in, first out. It trusts the dirty flags that the hardware sets: a page
without one is not written to the disk again.
"""

from collections import deque
from dataclasses import replace

from pagewalk.model.kernel.tlb_flush import Invalidation
from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import (
    PAGE_SHIFT,
    X86_64,
    Cr0,
    Cr3,
    Cr4,
    Efer,
    Entry,
    ErrorCode,
    InvalidateOp,
)
from pagewalk.sim.cosim.machine import Handled

SIGSEGV = 11
TABLE = Entry.P | Entry.RW | Entry.US
FIRST_TABLE = 0x8_0000  # frame number; data frames are below


class TinyKernel:
    """Has ``frames`` frames for data, as many as it takes for tables, and ``regions`` for all."""

    def __init__(self, mode, frames, regions, processes=1, *, with_pcid=None):
        self.mode, self.regions = mode, regions
        self.with_pcid = mode is X86_64 if with_pcid is None else with_pcid
        self.memory = PhysicalMemory(frames + 64)
        self.memory.add(range(1, frames + 1))
        self.free = deque(range(1, frames + 1))
        self.resident = {}  # page to frame, in the order in which they came
        self.entries = {}  # page to the entries that map it, by process
        self.disk = {}
        self.roots = [self._new_table() for _ in range(processes)]
        cr4 = Cr4.PAE | Cr4.PCIDE * self.with_pcid if mode is X86_64 else 0
        efer = Efer.LME | Efer.LMA | Efer.NXE if mode is X86_64 else 0
        self.process = 0
        self.control = Control(self._cr3(0), cr0=Cr0.PG | Cr0.WP, cr4=cr4, efer=efer)

    def _new_table(self):
        pfn = FIRST_TABLE + len(self.memory)
        self.memory.add([pfn])
        return pfn << PAGE_SHIFT

    def _pcid(self, process):
        return process + 1 if self.with_pcid else 0

    def _cr3(self, process):
        return self.roots[process] | self._pcid(process)

    def switch(self, process):
        self.process = process
        self.control = replace(self.control, cr3=self._cr3(process))
        keep = Cr3.NO_FLUSH if self.with_pcid else 0
        return (Invalidation(InvalidateOp.MOV_CR3, new=self.control.cr3 | keep),)

    def general_protection(self, _vector, _vaddr):
        return Handled(signal=SIGSEGV)

    def page_fault(self, vaddr, error_code):
        region = next((one for one in self.regions if one.start <= vaddr < one.end), None)
        if region is None or not error_code & ErrorCode.US:
            return Handled(signal=SIGSEGV)
        assert not error_code & (ErrorCode.P | ErrorCode.RSVD), "pages that are there are writable"
        owner = None if region.shared else self.process
        page = owner, vaddr >> PAGE_SHIFT
        invalidations, is_major = (), False
        if page not in self.resident:
            if not self.free:
                invalidations = tuple(self._evict())
            is_major = self._fill(page)
        entry = self._entry(vaddr)
        self._write(entry, self.resident[page] << PAGE_SHIFT | TABLE)
        self.entries[page][self.process] = entry
        return Handled(is_major, invalidations=invalidations)

    def _fill(self, page):
        """Give a page a frame; return whether it came from the disk."""
        frame = self.resident[page] = self.free.popleft()
        self.entries[page] = {}
        self.memory.write_bytes(frame << PAGE_SHIFT, self.disk.get(page, bytes(4096)))
        return page in self.disk

    def _evict(self):
        """Free the frame of the page that came first; yield what is to be invalidated."""
        page, frame = next(iter(self.resident.items()))
        del self.resident[page]
        is_dirty = False
        for process, entry in self.entries.pop(page).items():
            is_dirty |= bool(self._read(entry) & Entry.D)
            self._write(entry, 0)
            yield from self._invalidations(process, page[1] << PAGE_SHIFT)
        if is_dirty:
            self.disk[page] = self.memory.read_bytes(frame << PAGE_SHIFT, 4096)
        self.free.append(frame)

    def _invalidations(self, process, vaddr):
        if process == self.process:
            yield Invalidation(InvalidateOp.INVLPG, vaddr=vaddr)
        elif self.with_pcid:  # without, the next MOV to CR3 does it
            yield Invalidation(
                InvalidateOp.INVPCID_ADDRESS, vaddr=vaddr, pcid=self._pcid(process))

    def _entry(self, vaddr):
        """Return where the page-table entry of an address is, in tables that are made for it."""
        table = self.roots[self.process]
        for level in self.mode.levels:
            index = vaddr >> level.shift & (1 << level.index_bits) - 1
            entry = table + index * self.mode.entry_bytes
            if level is self.mode.levels[-1]:
                return entry
            if not self._read(entry):
                self._write(entry, self._new_table() | TABLE)
            table = self._read(entry) & -(1 << PAGE_SHIFT)
        raise AssertionError

    def _read(self, paddr):
        return self.memory.read(paddr, self.mode.entry_bytes)

    def _write(self, paddr, entry):
        self.memory.write(paddr, self.mode.entry_bytes, entry)


class Forgetful(TinyKernel):
    """Forgets to invalidate what it evicts."""

    def _invalidations(self, _process, _vaddr):
        return ()
