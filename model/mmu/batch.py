"""The architectural walk over arrays of accesses: ``walk.py`` for bulk work, row for row.

All rows go down the levels together, in chunks that stay in the processor's cache. Picking out
single rows is what costs time in numpy. So each level first asks, with one OR and one AND over all
its entries, whether any walk could fault, end in a large page or have a flag to set. As a rule none
does, and all go on to the next table; only otherwise is a mask made for each row, and the rows
sorted out. The rules themselves are in ``batch_rules.py``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..x86 import PAGE_SHIFT, Entry, ErrorCode, Leaf, PagingMode, Vector, lowest_bit
from .batch_rows import Accesses, Controls, Front, Rows, part
from .batch_rules import LevelRules, access_rules, level_rules, paddr_mask
from .batch_source import EntrySource, FrameSource, RowSource
from .batch_trail import FlagTrail, Steps, StepTrail, Trail
from .flag_rules import FLAGS_ON_USE, FlagRules
from .walk import Control
from .widths import physical_bits

__all__ = ["Accesses", "Controls", "EntrySource", "FrameSource", "RowSource", "Steps", "Walks",
           "walk_batch"]

CHUNK_ROWS = 1 << 14

ALL_BITS = (1 << 64) - 1
KEY_SHIFT, PWT_SHIFT = lowest_bit(Entry.KEY), lowest_bit(Entry.PWT)

Words = NDArray[np.uint64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Walks:
    """The outcome of every walk, as arrays (N,).

    Members
    -------
    accessed
        The linear addresses, as they were passed and not a copy.
    paddr
        The physical address, 0 on a fault.
    page
        The size of the page as an index into ``PagingMode.pages``, -1 on a fault and without
        paging.
    memory_type
        The index into the PAT, 0 on a fault. [SDM 4.9.2]
    vector, error
        The vector and the error code of the fault, 0 if there is none.
    steps
        Every step of every walk; None unless asked for.
    """

    accessed: Words
    paddr: Words
    page: NDArray[np.int8]
    memory_type: NDArray[np.uint8]
    vector: NDArray[np.uint8]
    error: NDArray[np.uint16]
    steps: Steps | None

    @property
    def fault(self) -> Bools:
        """Whether the walk ended in a fault."""
        fault: Bools = self.vector != 0
        return fault

    @property
    def vaddr(self) -> Words:
        """The linear address of the fault, which a page fault loads into CR2; 0 if there is none.

        It is made only when asked for, as scattered writes to memory are what costs time.
        """
        return np.where(self.fault, self.accessed, np.uint64(0))


def walk_batch(
    source: EntrySource,
    mode: PagingMode,
    control: Control | Controls,
    accesses: Accesses,
    paddr_bits: int = 40,
    *,
    steps: bool = False,
    flags: FlagRules = FLAGS_ON_USE,
) -> Walks:
    """Walk each row as ``walk`` does, one after the other, setting flags in ``source``.

    The outcome, and the entries afterwards, are as if each walk had met the accessed and dirty
    flags that the rows before it set. ``paddr_bits`` is MAXPHYADDR. ``steps`` asks for every step
    too, which takes a few times as long; ``flags`` says when and how flags are set. Raise
    ``ValueError`` for entries that are not those of x86, for an access kind that does not exist,
    for fields that are neither one value nor as many as the others, and as ``walk`` does, with
    ``source`` as it was; ``TypeError`` as ``Rows`` does.
    """
    paddr_bits = physical_bits(mode, paddr_bits)
    if mode.flags is not Entry:
        raise ValueError(f"Batch walks are of x86 entries, not those of {mode.name}")
    rows = Rows(control, accesses)
    rows.check_vaddrs(mode)
    count, levels = len(rows), len(mode.levels)
    walks = Walks(
        accessed=rows.vaddr,
        paddr=np.zeros(count, np.uint64),
        page=np.full(count, -1, np.int8),
        memory_type=np.zeros(count, np.uint8),
        vector=np.zeros(count, np.uint8),
        error=np.zeros(count, np.uint16),
        steps=Steps.empty(count, levels) if steps else None,
    )
    batch = _Batch(source, mode, paddr_bits, rows, walks, flags)
    for first in range(0, count, CHUNK_ROWS):
        batch.walk(slice(first, min(first + CHUNK_ROWS, count)))
    return walks


class _Batch:
    """The walks of one call: the rules that apply, where entries are, where outcomes go.

    A method that ends some of the walks of a ``Front`` returns the front of those that go on.
    """

    def __init__(
        self, source: EntrySource, mode: PagingMode, paddr_bits: int, rows: Rows, walks: Walks,
        flags: FlagRules,
    ) -> None:
        self.source = source
        self.mode = mode
        self.rows = rows
        self.walks = walks
        self.rules = access_rules(mode)
        self.levels = level_rules(mode, paddr_bits)
        self.address_bits = paddr_mask(mode, paddr_bits)
        # Of rows that fault no flag is set, if flags are set at the end of a walk.
        vector = walks.vector if flags.at_the_end else None
        self.trail: Trail = (FlagTrail(source, vector) if walks.steps is None
                             else StepTrail(source, mode, walks.steps, vector))
        self.lacking = np.zeros(len(rows), bool) if flags.ad == "fault" else None
        # One set of arrays for all chunks, so that it stays in the processor's cache.
        size = min(CHUNK_ROWS, len(rows))
        self.tables, self.entries, self.rights, self.scratch = np.empty((4, size), np.uint64)
        self.places = np.empty(size, np.intp)

    def walk(self, chunk: slice) -> None:
        """Walk the rows of ``chunk`` from the root to their ends."""
        front = self._canonical(self._paged(self._begin(chunk)))
        for level in self.levels:
            if not len(front):
                break
            front = self._sound(level, self._read(level, front))
            self._combine(front)
            if level.leaf is Leaf.ALWAYS:
                self._leaf(level, front)
                break
            front = self._large_pages(level, front)
            self._descend(level, front)
        self.trail.commit(chunk)

    def _begin(self, chunk: slice) -> Front:
        rows, count = self.rows, chunk.stop - chunk.start
        self.tables[:count] = (part(rows.cr3, chunk) & self.address_bits) >> PAGE_SHIFT
        self.rights[:count] = ALL_BITS
        return Front(
            chunk, np.ascontiguousarray(rows.vaddr[chunk]), *rows.classes(chunk),
            part(rows.pkru, chunk), self.tables[:count], self.places[:count],
            self.entries[:count], self.rights[:count],
        )

    def _paged(self, front: Front) -> Front:
        """End the walks without paging: a linear address is physical, and has 32 bits."""
        paging = self.rules.paging[front.plain]
        if paging.all():
            return front
        paging = np.broadcast_to(paging, len(front))
        off = front.select(~paging)
        self.walks.paddr[off.rows] = off.vaddr & 0xFFFF_FFFF
        return front.select(paging)

    def _canonical(self, front: Front) -> Front:
        """End the walks of addresses that are not canonical. [SDM vol. 1, 3.3.7.1]"""
        bits = self.mode.translated_bits
        if bits == self.mode.vaddr_bits:
            return front
        # With half of the range added (modulo 2**64) the two canonical halves lie together, from
        # 0 up: an address is canonical if no bit above the translated ones is left.
        folded = np.add(front.vaddr, 1 << (bits - 1), out=self.scratch[:len(front)])
        if not _union(folded) >> bits:
            return front
        canonical = folded >> bits == 0
        bad = front.select(~canonical)
        self._fault(bad, self.rules.not_canonical[bad.classes], 0)
        return front.select(canonical)

    def _read(self, level: LevelRules, front: Front) -> Front:
        """Read the entries; end the walks that find no memory there, in a machine check."""
        indices = level.index(front.vaddr, self.scratch[:len(front)])
        self.source.locate(level.number, front.rows, front.tables, indices, front.places)
        if np.bitwise_or.reduce(front.places) < 0:
            there = front.places >= 0
            self._fault(front.select(~there), Vector.MC, 0)
            front = front.select(there)
        words = self.source.words
        if words.dtype == front.entries.dtype:
            np.take(words, front.places, out=front.entries, mode="clip")
        else:
            front.entries[:] = words[front.places]
        return front

    def _sound(self, level: LevelRules, front: Front) -> Front:
        """End the walks whose entry is not present or has a reserved bit set. [SDM 4.7]"""
        # All is well if P is in every entry, and none has a bit that is reserved or could make
        # others so: PS of a large page.
        large = self._large(level, front)
        reserved = np.bitwise_or(self.rules.reserved[front.plain], level.reserved)
        doubtful = _union(large) | _union(reserved)
        if _common(front.entries) & Entry.P and not _union(front.entries) & doubtful:
            return front
        reserved = reserved | (front.entries & large != 0) * np.uint64(level.reserved_large)
        present, bad = front.entries & Entry.P != 0, front.entries & reserved != 0
        sound = present & ~bad
        if sound.all():
            return front
        unsound = front.select(~sound)
        self.trail.step(level, unsound, 0)
        reserved_code = ErrorCode.P | ErrorCode.RSVD
        self._page_fault(unsound, np.where(present[~sound], reserved_code, 0))
        return front.select(sound)

    def _combine(self, front: Front) -> None:
        """Take in the rights of the entries, XD inverted so that all are an AND. [SDM 4.6.1]"""
        rights = np.bitwise_xor(front.entries, Entry.XD, out=self.scratch[:len(front)])
        np.bitwise_and(front.rights, rights, out=front.rights)

    def _large(self, level: LevelRules, front: Front) -> Words:
        """Return PS where it makes a leaf of an entry, shape (n,) or (). [SDM 4.3, table 4-3]"""
        return np.bitwise_and(self.rules.large[front.plain], level.large)

    def _large_pages(self, level: LevelRules, front: Front) -> Front:
        """End the walks whose entry maps a large page. [SDM 4.3, 4.5]"""
        large = self._large(level, front)
        if not _union(front.entries) & _union(large):
            return front
        is_leaf = front.entries & large != 0
        self._leaf(level, front.select(is_leaf))
        return front.select(~is_leaf)

    def _descend(self, level: LevelRules, front: Front) -> None:
        """Go on to the tables that the entries point to, which sets their accessed flags."""
        flags = self.rules.passed[front.classes] if self.rows.purposeful else Entry.A
        self.trail.step(level, front, flags)
        if self.lacking is not None:
            self.lacking[front.rows] |= ~front.entries & flags != 0
        np.bitwise_and(front.entries, self.address_bits, out=front.tables)
        np.right_shift(front.tables, PAGE_SHIFT, out=front.tables)

    def _leaf(self, level: LevelRules, front: Front) -> None:
        """End walks at the leaf: with the physical address, or in a page fault. [SDM 4.6]"""
        # A right is denied if it is not as it must be (XOR want) and the access cares (AND care).
        denied = np.bitwise_xor(front.rights, self.rules.want[front.classes],
                                out=self.scratch[:len(front)])
        np.bitwise_and(denied, self.rules.care[front.classes], out=denied)
        blocked = self._key_blocks(front)
        used = self.rules.used[front.classes]
        lacking = self._lacking(front, used)
        if not _union(denied) and not blocked.any() and not lacking.any():
            self.trail.step(level, front, used)
            self._translate(level, front)
            return
        refused = (denied != 0) | blocked | lacking
        self.trail.step(level, front, np.where(refused, np.uint64(0), used))
        # Few walks are refused as a rule: translating these too, to be overwritten by the fault,
        # takes less time than sorting out the others.
        self._translate(level, front)
        key = np.broadcast_to(blocked, len(front))[refused]
        self._page_fault(front.select(refused), ErrorCode.P | ErrorCode.PK * key)

    def _translate(self, level: LevelRules, front: Front) -> None:
        """Note the physical address of the access, and the page that it is in."""
        page = np.bitwise_and(front.entries, level.page_bits, out=self.scratch[:len(front)])
        if level.high_bits:
            page |= (front.entries & level.high_bits) << level.high_shift
        self.walks.paddr[front.rows] = page | (front.vaddr & level.offset_bits)
        self.walks.page[front.rows] = level.page
        # PAT, PCD and PWT, all of which lie in the low bits. [SDM 4.9.2]
        low = front.entries.astype(np.uint16)
        self.walks.memory_type[front.rows] = (low >> PWT_SHIFT & 3) | (low >> level.pat_shift & 4)

    def _lacking(self, front: Front, used: Words) -> Bools:
        """Return whether a flag would have to be set, of all levels; (n,), or (1,) if it may be."""
        if self.lacking is None:
            return np.zeros(1, bool)
        lacking: Bools = self.lacking[front.rows] | (~front.entries & used != 0)
        return lacking

    def _key_blocks(self, front: Front) -> Bools:
        """Return whether PKRU forbids access to the user-mode address, shape (n,) or (1,).

        [SDM 4.6.2]
        """
        ways = self.rules.key[front.classes]
        if not _union(front.pkru) or not _union(ways):
            return np.zeros(1, bool)
        # Two bits of PKRU for each key: shifted by twice the key, they are the lowest.
        pair = front.pkru >> ((front.entries & Entry.KEY) >> KEY_SHIFT - 1)
        blocked: Bools = (pair & ways != 0) & (front.rights & Entry.US != 0)
        return blocked

    def _page_fault(self, front: Front, cause: int | NDArray[np.integer]) -> None:
        """End walks with the error code of SDM 4.7."""
        self._fault(front, Vector.PF, self.rules.error[front.classes] | cause)

    def _fault(
        self, front: Front, vector: int | NDArray[np.uint8], error: int | NDArray[np.integer]
    ) -> None:
        """End walks in a fault, whatever was noted of them before."""
        walks, rows = self.walks, front.rows
        walks.paddr[rows], walks.page[rows], walks.memory_type[rows] = 0, -1, 0
        walks.vector[rows], walks.error[rows] = vector, error


def _union(words: Words) -> int:
    """Return the OR of all words."""
    return int(np.bitwise_or.reduce(words, axis=None))


def _common(words: Words) -> int:
    """Return the AND of all words."""
    return int(np.bitwise_and.reduce(words, axis=None))
