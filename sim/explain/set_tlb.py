"""A TLB in sets, each replaced by LRU, that golden walks fill: what is shown and asked about."""

from ...model.mmu.walk import Access, Control, Walk, walk
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import Cr3, Cr4, PagingMode
from .tlb_contents import TlbEntry, tlb_entry

__all__ = ["SetTlb"]


class SetTlb:
    """A TLB, empty at first.

    It decides nothing about rights: what it is asked for must be permitted. Pages larger than the
    smallest need a single set, as the lowest bits of the page number select the set.

    Parameters
    ----------
    memory, mode
        Where the page tables are, and what they are.
    sets, ways
        How many sets, a power of two, and how many entries each has.

    Members
    -------
    sets
        The entries of each set, the one that was used last first.
    """

    def __init__(self, memory: PhysicalMemory, mode: PagingMode, sets: int, ways: int) -> None:
        self._memory, self._mode, self._ways = memory, mode, ways
        self.sets: list[list[TlbEntry]] = [[] for _ in range(sets)]

    def access(self, control: Control, vaddr: int) -> Walk | None:
        """Return the walk that a user's read needs, None if it hits."""
        entries, found = self._set(vaddr), self.lookup(control, vaddr)
        if found is not None:
            entries.remove(found)
            entries.insert(0, found)
            return None
        done = walk(self._memory, self._mode, control, Access(vaddr, user=True))
        made = tlb_entry(self._mode, control, done)
        if made is not None:
            entries.insert(0, made)
            del entries[self._ways :]
        return done

    def lookup(self, control: Control, vaddr: int) -> TlbEntry | None:
        """Return the entry that an access would use, None if there is none."""
        pcid = control.cr3 & Cr3.PCID if control.cr4 & Cr4.PCIDE else 0
        return next((one for one in self._set(vaddr) if one.pcid in (None, pcid)
                     and one.vaddr == vaddr & -one.page.page_bytes), None)

    def invlpg(self, control: Control, vaddr: int) -> None:
        """Drop the page of an address, of the PCID in use or global. [SDM 4.10.4.1]"""
        found = self.lookup(control, vaddr)
        if found is not None:
            self._set(vaddr).remove(found)

    def mov_cr3(self, pcid: int = 0) -> None:
        """Drop all pages of a PCID that are not global. [SDM 4.10.4.1]"""
        for entries in self.sets:
            entries[:] = [one for one in entries if one.pcid != pcid]

    def _set(self, vaddr: int) -> list[TlbEntry]:
        return self.sets[(vaddr >> self._mode.page_shift) % len(self.sets)]
