"""Compressed kdump: a bitmap of the frames that there are, a descriptor of each, packed data.

[makedumpfile, diskdump_mod.h: page_desc]
"""

import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_BYTES, PAGE_SHIFT
from .cpu_notes import cpus_of_notes
from .frame_file import FrameFile, FrameRuns, Pfns, Presence
from .kdump_header import read_kdump_header
from .mapped_bytes import ByteSource
from .memory_file_error import BadMemoryFile, OtherMemoryFile

__all__ = ["KdumpFile"]

DESCRIPTOR = np.dtype([("offset", "<u8"), ("size", "<u4"), ("flags", "<u4"),
                       ("page_flags", "<u8")])
ZLIB = 1
OTHER_PACKING = {2: "lzo", 4: "snappy", 0x20: "zstd"}
KEPT = 256  # unpacked frames
CHUNK = 1 << 16  # frames, or words of the bitmap, that are looked through at a time
MOST_RANGES = 1 << 22


class KdumpFile(FrameFile):
    """The memory of a kdump file, flattened or not; frames that are left out are absent.

    Frames are not packed, or by zlib. Raise ``MemoryFileError`` for what is wrong; for lzo, snappy
    and zstd when such a frame is read.
    """

    def __init__(self, data: ByteSource) -> None:
        header = read_kdump_header(data)
        super().__init__(data.path, "kdump", cpus_of_notes(data.path, header.notes))
        self._data = data
        self._descriptors = header.descriptors
        bitmap = np.frombuffer(data.read(header.bitmap, header.bitmap_bytes, "a bitmap"), "<u8")
        counts = np.bitwise_count(bitmap)
        self._bitmap = bitmap
        self._before = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])  # by word
        self._frame_count = header.frame_count
        total = int(self._before[-1])
        if header.descriptors + total * DESCRIPTOR.itemsize > data.size:
            data.read(header.descriptors, total * DESCRIPTOR.itemsize,
                      f"the descriptors of {total} frames")
        self._unpacked = lru_cache(KEPT)(self._unpack)
        self._ranges = self._find_ranges()

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The physical addresses that the file has, as start and end, in ascending order."""
        return self._ranges

    def occupied(self) -> Iterator[Pfns]:
        """Yield the numbers of all frames that may hold anything but zeros, some at a time.

        Frames of zeros share one descriptor's data, as a rule.
        """
        blank: dict[int, bool] = {}
        for first in range(0, len(self._bitmap) * 64, CHUNK):
            pfns = np.arange(first, min(first + CHUNK, self._frame_count), dtype=np.uint64)
            pfns = pfns[self._there(pfns)]
            if not len(pfns):
                continue
            found = self._table(int(self._ranks(pfns[:1])[0]), len(pfns))
            offsets, which, counts = np.unique(found["offset"], return_index=True,
                                               return_counts=True)
            for offset, at in zip(offsets[counts > 1].tolist(), which[counts > 1].tolist(),
                                  strict=True):
                if offset not in blank and len(blank) < KEPT:
                    blank[offset] = not any(self._frame(found[at]))
            zeros = [offset for offset, is_blank in blank.items() if is_blank]
            pfns = pfns[~np.isin(found["offset"], np.array(zeros, np.uint64))]
            for start in range(0, len(pfns), KEPT):
                yield pfns[start : start + KEPT]

    def _there(self, pfns: Pfns) -> Presence:
        known = pfns < self._frame_count
        words = self._bitmap[np.where(known, pfns >> 6, 0).astype(np.intp)]
        found: Presence = known & (words >> (pfns & np.uint64(63)) & np.uint64(1) != 0)
        return found

    def _ranks(self, pfns: Pfns) -> NDArray[np.int64]:
        """Return how many frames come before each, which is the number of its descriptor."""
        words = (pfns >> np.uint64(6)).astype(np.intp)
        below = (np.uint64(1) << (pfns & np.uint64(63))) - np.uint64(1)
        ranks: NDArray[np.int64] = (self._before[words]
                                    + np.bitwise_count(self._bitmap[words] & below))
        return ranks

    def _table(self, first: int, count: int) -> NDArray[np.void]:
        data = self._data.read(self._descriptors + first * DESCRIPTOR.itemsize,
                               count * DESCRIPTOR.itemsize, "the descriptors of frames")
        return np.frombuffer(data, DESCRIPTOR)

    def _find_ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the ranges: where a bit differs from the one before it, some words at a time."""
        bounds: list[int] = []
        before = np.zeros(1, np.uint8)
        for first in range(0, len(self._bitmap), CHUNK):
            words = self._bitmap[first : first + CHUNK]
            bits = np.unpackbits(words.view(np.uint8), bitorder="little")
            bits = bits[: max(0, self._frame_count - first * 64)]
            edges = np.flatnonzero(np.diff(bits, prepend=before)) + first * 64
            bounds += (edges << PAGE_SHIFT).tolist()
            before = bits[-1:] if len(bits) else before
            if len(bounds) > 2 * MOST_RANGES:
                raise BadMemoryFile(self.path, f"has memory in more than {MOST_RANGES} ranges",
                                    "fewer")
        bounds += [self._frame_count << PAGE_SHIFT] * (len(bounds) % 2)
        return tuple(zip(bounds[::2], bounds[1::2], strict=True))

    def _frame(self, descriptor: np.void) -> bytes:
        return self._unpacked(int(descriptor["offset"]), int(descriptor["size"]),
                              int(descriptor["flags"]))

    def _unpack(self, offset: int, size: int, flags: int) -> bytes:
        if size > PAGE_BYTES or offset + size > self._data.size:
            raise BadMemoryFile(self.path, f"has a descriptor of {size} bytes at {offset}",
                                f"at most {PAGE_BYTES} bytes in a file of {self._data.size}")
        data = self._data.read(offset, size, "a frame of kdump")
        for flag, packing in OTHER_PACKING.items():
            if flags & flag:
                raise OtherMemoryFile(self.path, f"has frames packed by {packing}",
                                      "kdump packed by zlib (makedumpfile -c), or not packed")
        if flags & ZLIB:
            unpacker = zlib.decompressobj()
            try:
                data = unpacker.decompress(data, PAGE_BYTES)
            except zlib.error as error:
                raise BadMemoryFile(self.path, f"has a frame at byte {offset} that cannot be "
                                    f"unpacked: {error}", "a frame packed by zlib") from None
        if len(data) != PAGE_BYTES:
            raise BadMemoryFile(self.path, f"has a frame of {len(data)} bytes at byte {offset}",
                                f"{PAGE_BYTES} bytes")
        return data

    def _load(self, pfn: int, out: FrameRuns) -> Presence:
        pfns = np.arange(pfn, pfn + len(out), dtype=np.uint64)
        there = self._there(pfns)
        rows = np.flatnonzero(there)
        for row, rank in zip(rows.tolist(), self._ranks(pfns[there]).tolist(), strict=True):
            descriptor = self._table(rank, 1)[0]
            out[row] = np.frombuffer(self._frame(descriptor), "<u8")
        return there
