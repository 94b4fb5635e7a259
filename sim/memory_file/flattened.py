"""makedumpfile's flattened format: pieces of a kdump file in the order in which they were written.

[makedumpfile, makedumpfile.h: makedumpfile_header, makedumpfile_data_header; big-endian]
"""

import struct
from collections.abc import Iterator

from ...model.x86 import PAGE_BYTES
from .mapped_bytes import ByteSource
from .memory_file_error import BadMemoryFile, CutMemoryFile
from .piece_map import MemoryPiece, PieceMap

__all__ = ["SIGNATURE", "FlattenedBytes"]

SIGNATURE = b"makedumpfile\0"
HEADER = struct.Struct(">16sqq")  # signature, type, version
RECORD = struct.Struct(">qq")  # offset in the file that it makes, bytes that follow
END = -1


class FlattenedBytes:
    """The file that a flattened one makes; what no piece has is zero.

    Raise ``MemoryFileError`` for a piece that is cut, and if there is no record of the end.
    """

    def __init__(self, data: ByteSource) -> None:
        self._data = data
        _, kind, version = HEADER.unpack(data.read(0, HEADER.size, "the flattened header"))
        if (kind, version) != (1, 1):
            raise BadMemoryFile(data.path, f"is flattened, of type {kind} and version {version}",
                                "type 1 and version 1")
        self._map = PieceMap(self._pieces())
        self._size = self._map.pieces[-1].end if self._map.pieces else 0

    def _pieces(self) -> Iterator[MemoryPiece]:
        at = PAGE_BYTES
        while True:
            offset, count = RECORD.unpack(
                self._data.read(at, RECORD.size, "the flattened pieces: there is no last one"))
            at += RECORD.size
            if offset == END:
                return
            if offset < 0 or count <= 0 or (offset + count) >> 62:
                raise BadMemoryFile(self.path, f"has a piece of {count} bytes for offset {offset} "
                                    f"at byte {at - RECORD.size}", "a flattened kdump file")
            if at + count > self._data.size:
                self._data.read(at, count, "a flattened piece")
            yield MemoryPiece(offset, offset + count, at)
            at += count

    @property
    def path(self) -> str:
        """What the file is called in messages."""
        return self._data.path

    @property
    def size(self) -> int:
        """The number of bytes of the file that it makes."""
        return self._size

    def read(self, offset: int, count: int, what: str) -> bytes:
        """Return ``count`` bytes at ``offset``; raise ``CutMemoryFile``, which tells ``what``."""
        if offset + count > self._size:
            raise CutMemoryFile(self.path, f"makes a file of {self._size} bytes, which ends within "
                                f"{what}", f"{count} bytes at byte {offset}")
        parts = [*self._map.covering(offset, offset + count)]
        if len(parts) == 1 and parts[0].end - parts[0].start == count:
            return self._data.read(parts[0].source, count, what)
        out = bytearray(count)
        for part in parts:
            out[part.start - offset : part.end - offset] = self._data.read(
                part.source, part.end - part.start, what)
        return bytes(out)

    def written(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield where from ``start`` to ``stop`` there may be other bytes than zeros."""
        for part in self._map.covering(start, stop):
            yield part.start, part.end
