"""AVML: ranges of physical memory as LiME has them, each packed in snappy's frames.

[AVML, src/image.rs; snappy, framing_format.txt] Checksums of chunks are not looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...model.x86 import PAGE_BYTES, PAGE_SHIFT
from .frame_file import FrameFile, FrameRuns, Pfns, Presence, pfn_runs
from .lime_file import HEADER, MAGIC, read_range_header
from .mapped_bytes import ByteSource
from .memory_file_error import BadMemoryFile
from .piece_map import MemoryPiece, PieceMap, joined
from .snappy import BadSnappy, block_length, unpack_block

__all__ = ["AvmlFile"]

PACKED_MAGIC = b"AVML"
KNOWN = {PACKED_MAGIC: 2, MAGIC: 1}
STREAM_START = b"\xff\x06\0\0sNaPpY"
TRAILER = 8  # bytes behind a packed range: how long it is
PACKED, PLAIN = 0, 1
CHECKSUM = 4
KEPT = 64  # unpacked chunks


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk of a stream: what unpacks to at most 64 Kbytes, ``size`` bytes at ``offset``."""

    kind: int
    offset: int
    size: int


class AvmlFile(FrameFile):
    """The memory of an AVML file. Chunks are found when it is opened, and unpacked when read.

    Raise ``MemoryFileError`` for what is wrong.
    """

    def __init__(self, data: ByteSource) -> None:
        super().__init__(data.path, "AVML")
        self._data = data
        self._chunks: list[_Chunk] = []
        self._map = PieceMap(self._find_chunks())
        self._unpacked = lru_cache(KEPT)(self._unpack)
        self._ranges = joined(self._map.pieces)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The physical addresses that the file has, as start and end, in ascending order."""
        return self._ranges

    def occupied(self) -> Iterator[Pfns]:
        """Yield the numbers of all frames that may hold anything but zeros, some at a time."""
        for start, end in self._ranges:
            yield from pfn_runs(start, end)

    def _find_chunks(self) -> Iterator[MemoryPiece]:
        """Yield the piece of each chunk; its source is the number of the chunk, times 2**32."""
        offset = 0
        while offset < self._data.size:
            magic, start, end = read_range_header(self._data, offset, KNOWN, "AVML")
            offset += HEADER.size
            if magic == MAGIC:
                if offset + end - start > self._data.size:
                    self._data.read(offset, end - start, f"the range at {start:#x}")
                for paddr in range(start, end, 1 << 16):
                    size = min(1 << 16, end - paddr)
                    yield self._chunk(_Chunk(PLAIN, offset, size), paddr, size)
                    offset += size
            else:
                begin = offset
                while start < end or offset == begin:
                    chunk, length = self._next_chunk(offset, start, end)
                    offset += 4 + chunk.size + CHECKSUM * (chunk.kind in (PACKED, PLAIN))
                    if length:
                        yield self._chunk(chunk, start, length)
                        start += length
                self._data.read(offset, TRAILER, "the length behind a range of AVML")
                offset += TRAILER

    def _chunk(self, chunk: _Chunk, start: int, length: int) -> MemoryPiece:
        self._chunks.append(chunk)
        return MemoryPiece(start, start + length, (len(self._chunks) - 1) << 32)

    def _next_chunk(self, offset: int, start: int, end: int) -> tuple[_Chunk, int]:
        """Return the chunk at ``offset``, and how many bytes of memory it is."""
        what = f"the range of AVML from {start:#x} to {end - 1:#x}"
        head = self._data.read(offset, 4, what)
        kind, size = head[0], int.from_bytes(head[1:], "little")
        if kind in (PACKED, PLAIN) and size >= CHECKSUM:
            chunk = _Chunk(kind, offset + 4 + CHECKSUM, size - CHECKSUM)
            length = chunk.size
            self._data.read(chunk.offset + chunk.size, 0, what)
            if kind == PACKED:
                try:
                    length, _ = block_length(self._data.read(chunk.offset, min(5, chunk.size),
                                                             what))
                except BadSnappy as error:
                    raise self._bad(offset, str(error)) from None
            if 0 < length <= min(end - start, 1 << 16):
                return chunk, length
            raise self._bad(offset, f"a chunk of {length} bytes where {end - start} are left")
        if kind == STREAM_START[0] and head + self._data.read(offset + 4, 6, what) == STREAM_START:
            return _Chunk(kind, offset + 4, size), 0
        if kind >= 0x80:  # padding, or what readers may skip
            return _Chunk(kind, offset + 4, size), 0
        raise self._bad(offset, f"a chunk of the kind {kind:#x}")

    def _bad(self, offset: int, what: str) -> BadMemoryFile:
        return BadMemoryFile(self.path, f"has {what} at byte {offset}", "a range packed by AVML")

    def _unpack(self, number: int) -> bytes:
        chunk = self._chunks[number]
        data = self._data.read(chunk.offset, chunk.size, "a chunk of AVML")
        if chunk.kind == PLAIN:
            return data
        try:
            return unpack_block(data)
        except BadSnappy as error:
            raise self._bad(chunk.offset, str(error)) from None

    def _load(self, pfn: int, out: FrameRuns) -> Presence:
        base = pfn << PAGE_SHIFT
        there = np.zeros(len(out), bool)
        target = out.reshape(-1).view(np.uint8)
        for piece in self._map.covering(base, base + len(out) * PAGE_BYTES):
            first, last = piece.start - base, piece.end - base
            there[first >> PAGE_SHIFT : (last + PAGE_BYTES - 1) >> PAGE_SHIFT] = True
            at = piece.source & 0xFFFF_FFFF
            data = self._unpacked(piece.source >> 32)[at : at + last - first]
            target[first:last] = np.frombuffer(data, np.uint8)
        return there
