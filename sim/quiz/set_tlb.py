"""A TLB in sets, each replaced by LRU, that golden walks fill: what exercises ask about."""

from ...model.mmu.walk import Access, Control, Walk, walk
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PagingMode
from ..explain.tlb_contents import TlbEntry, tlb_entry

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
        entries = self.sets[(vaddr >> self._mode.page_shift) % len(self.sets)]
        for entry in entries:
            if entry.vaddr == vaddr & -entry.page.page_bytes:
                entries.remove(entry)
                entries.insert(0, entry)
                return None
        done = walk(self._memory, self._mode, control, Access(vaddr, user=True))
        made = tlb_entry(self._mode, control, done)
        if made is not None:
            entries.insert(0, made)
            del entries[self._ways :]
        return done

    def invlpg(self, vaddr: int) -> None:
        """Drop the page of an address. [SDM 4.10.4.1]"""
        for entries in self.sets:
            entries[:] = [one for one in entries if one.vaddr != vaddr & -one.page.page_bytes]

    def mov_cr3(self) -> None:
        """Drop all pages that are not global, as there are no PCIDs. [SDM 4.10.4.1]"""
        for entries in self.sets:
            entries[:] = [one for one in entries if one.pcid is None]
