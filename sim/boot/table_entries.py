"""Entries of page tables as a recorded boot has them, and what a replay must leave there.

Software stores whole entries; in between processors set accessed and dirty flags. The one that was
recorded set them when it walked, and so does the one that replays; but a translation that either
still holds from before a store spares it the walk. So the flags of an entry that is present may
differ, from those that software stored to those that the walks of all accesses would set. All else
must be equal. [SDM 4.8]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PAGE_BYTES, PAGE_SHIFT, Entry, PagingMode
from ..result import Difference
from .log import STORES, BootLog, RecordKind

__all__ = ["TableEntries"]

FLAGS, PRESENT = np.uint64(Entry.A | Entry.D), np.uint64(Entry.P)

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class TableEntries:
    """The entry before each store of a log in order (N,), then every entry at the end (M,).

    Members
    -------
    record
        The record of the store; at the end, the number of records.
    address
        The physical address.
    stored
        What software stored there last, 0 if nothing.
    recorded
        What the recorded memory had there, with the flags that its processor set.
    stores
        N, the number of stores.
    ram_bytes
        Where RAM ends. What nobody has written to in it is zeros.
    """

    record: NDArray[np.int64]
    address: Words
    stored: Words
    recorded: Words
    stores: int
    ram_bytes: int

    @classmethod
    def of(cls, log: BootLog) -> "TableEntries":
        """Return the entries of ``log``."""
        special = log.of_kind(*STORES, RecordKind.AD)
        address = log.entry_address(special)
        order = np.argsort(address, kind="stable")  # by address, then by record
        address, special = address[order], special[order]
        value, by_software = log["sp_val"][special], log["sp_kind"][special] != RecordKind.AD
        first = np.ones(len(order), bool)
        first[1:] = address[1:] != address[:-1]
        # The last store to the same address, up to each of them and with it.
        last = np.maximum.accumulate(np.where(by_software | first, np.arange(len(order)), 0))
        stored = np.where(by_software[last], value[last], np.uint64(0))
        in_order = np.flatnonzero(by_software)[np.argsort(special[by_software])]
        at_end = np.roll(first, -1)
        count = int(np.count_nonzero(at_end))
        return cls(
            np.append(log.at[special[in_order]], np.full(count, len(log))),
            np.append(address[in_order], address[at_end]),
            np.append(_before(stored, first)[in_order], stored[at_end]),
            np.append(_before(value, first)[in_order], value[at_end]),
            len(in_order), log.ram_bytes)

    def memory(self) -> PhysicalMemory:
        """Return a new RAM, all zeros, that has the frames of all entries."""
        pfns = np.unique(self.address >> np.uint64(PAGE_SHIFT))
        memory = PhysicalMemory(len(pfns), zero_below=-(-self.ram_bytes // PAGE_BYTES) * PAGE_BYTES)
        memory.add(pfns.tolist())
        return memory

    def recorded_memory(self, mode: PagingMode) -> PhysicalMemory:
        """Return a new memory with all entries as the recording has them at the end."""
        memory = self.memory()
        entries = memory.frames.view(f"<u{mode.entry_bytes}").reshape(-1)
        entries[self._places(memory, mode)] = self.recorded[self.stores:]
        return memory

    def at_end(self, memory: PhysicalMemory, mode: PagingMode) -> Words:
        """Return what ``memory`` has where there are entries at the end (M,)."""
        entries = memory.frames.view(f"<u{mode.entry_bytes}").reshape(-1)
        found: Words = entries[self._places(memory, mode)].astype(np.uint64)
        return found

    def strays(self, memory: PhysicalMemory, mode: PagingMode) -> Iterator[tuple[int, int]]:
        """Yield address and value of all that is in ``memory`` where nothing was ever stored."""
        entries = memory.frames.copy().view(f"<u{mode.entry_bytes}").reshape(-1)
        entries[self._places(memory, mode)] = 0
        per_frame = PAGE_BYTES // mode.entry_bytes
        pfns, rows = memory.index()
        for place in np.flatnonzero(entries).tolist():
            pfn = int(pfns[np.flatnonzero(rows == place // per_frame)[0]])
            offset = place % per_frame * mode.entry_bytes
            yield (pfn << PAGE_SHIFT) + offset, int(entries[place])

    def _places(self, memory: PhysicalMemory, mode: PagingMode) -> NDArray[np.int64]:
        """Return the positions of the entries at the end (M,) among all those in the frames."""
        address = self.address[self.stores:]
        pfns, rows = memory.index()
        row = rows[np.searchsorted(pfns, address >> np.uint64(PAGE_SHIFT))].astype(np.int64)
        offset = (address & np.uint64(PAGE_BYTES - 1)).astype(np.int64)
        return (row * PAGE_BYTES + offset) // mode.entry_bytes

    def differences(
        self, got: Words, walked: Callable[[], Words] | None
    ) -> Iterator[Difference]:
        """Yield which of the entries ``got`` (N + M,) are not as they may be.

        ``walked`` gives the entries as they are where every access walks. It is asked only if there
        are flags that the recording lacks. It is None if they are ``got``: then there must be all
        flags of the recording.
        """
        present = self.stored & PRESENT != 0
        free = np.where(present, FLAGS, np.uint64(0))
        yield Difference.where("tables", (got ^ self.stored) & ~free != 0, self.stored, got)
        least = (self.stored if walked is not None else self.recorded) & free
        yield Difference.where("flags", least & ~got != 0, got | least, got)
        extra = got & ~self.recorded & free
        if walked is not None and extra.any():
            extra &= ~walked()
            yield Difference.where("flags", extra != 0, got & ~extra, got)


def _before(values: Words, first: NDArray[np.bool_]) -> Words:
    """Return the value in front of each, 0 for the ``first`` of an address."""
    return np.where(first, np.uint64(0), np.roll(values, 1))
