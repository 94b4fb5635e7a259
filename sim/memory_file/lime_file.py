"""LiME: ranges of physical memory, each behind a header. AVML without compression is the same.

[LiME, lime.h: lime_mem_range_header]
"""

import struct
from collections.abc import Iterator

from ...model.x86 import X86_64
from .mapped_bytes import ByteSource
from .memory_file_error import BadMemoryFile
from .piece_map import MemoryPiece
from .segment_file import SegmentFile

__all__ = ["HEADER", "MAGIC", "lime_file", "read_range_header"]

MAGIC = b"EMiL"
HEADER = struct.Struct("<4sIQQQ")  # magic, version, first and last byte, reserved


def read_range_header(data: ByteSource, offset: int, known: dict[bytes, int],
                      noun: str) -> tuple[bytes, int, int]:
    """Return magic, start and end of the range whose header is at ``offset``.

    ``known`` has the version that goes with each magic. Raise ``MemoryFileError`` for another, and
    for a range that ends before it begins or beyond all physical addresses.
    """
    magic, version, first, last, _ = HEADER.unpack(
        data.read(offset, HEADER.size, f"the header of a range of {noun}"))
    if known.get(magic) != version:
        versions = " or ".join(f"{one.decode()} {number}" for one, number in known.items())
        raise BadMemoryFile(data.path, f"has {magic!r}, version {version}, at byte {offset}",
                            f"the header of a range of {noun}, {versions}")
    if not first <= last < 1 << X86_64.max_paddr_bits:
        raise BadMemoryFile(data.path, f"has a range from {first:#x} to {last:#x} at byte {offset}",
                            f"addresses in order, below {1 << X86_64.max_paddr_bits:#x}")
    return magic, first, last + 1


def lime_file(data: ByteSource) -> SegmentFile:
    """Return the memory of a LiME file; raise ``MemoryFileError`` for what is wrong in it."""
    return SegmentFile(data, "LiME", _ranges(data))


def _ranges(data: ByteSource) -> Iterator[MemoryPiece]:
    offset = 0
    while offset < data.size:
        _, start, end = read_range_header(data, offset, {MAGIC: 1}, "LiME")
        offset += HEADER.size
        if offset + end - start > data.size:
            data.read(offset, end - start, f"the range from {start:#x} to {end - 1:#x}")
        yield MemoryPiece(start, end, offset)
        offset += end - start
