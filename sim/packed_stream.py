"""Streams packed with xz, gzip or zstd, unpacked a piece at a time in bounded memory."""

import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, BinaryIO, Protocol

__all__ = ["CHUNK", "LONGEST_MAGIC", "PackedError", "StreamEnds", "UnpackedStream", "packing",
           "unpacked_blocks"]

CHUNK = 1 << 20
MAGICS = {b"\xfd7zXZ\0": "xz", b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
LONGEST_MAGIC = max(map(len, MAGICS))
MOST_MEMORY = 512 << 20  # what xz may take: the most that its levels ask for is 65 Mbytes


class PackedError(Exception):
    """A stream that cannot be unpacked; what it says follows the name of the file."""


class StreamEnds(PackedError):
    """A stream that was cut."""


class _Unpacker(Protocol):
    """One stream of any kind, as lzma gives it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def packing(start: bytes) -> str | None:
    """Return what a file is packed with, by its first bytes; None if with nothing known here."""
    return next((kind for magic, kind in MAGICS.items() if start.startswith(magic)), None)


def unpacked_blocks(file: BinaryIO, kind: str) -> Iterator[bytes]:
    """Yield what the streams of ``file`` unpack to, at most about ``CHUNK`` bytes at a time.

    Several streams in a row are one file. Raise ``PackedError`` for a damaged stream,
    ``StreamEnds`` for one that was cut.
    """
    new, errors = _unpacker_of(kind)
    try:
        data = file.read(CHUNK)
        size = len(data)
        while data.strip(b"\0"):  # zeros may stand behind a stream
            unpacker = new()
            while not unpacker.eof:
                block = unpacker.decompress(data, CHUNK)
                yield block
                data = b"" if len(block) >= CHUNK else file.read(CHUNK)
                size += len(data)
                if not (data or block or unpacker.eof):
                    raise StreamEnds(f"ends at byte {size}, within a stream of {kind}")
            data = (unpacker.unused_data + data).lstrip(b"\0") or file.read(CHUNK)
    except errors as error:
        raise PackedError(f"cannot be unpacked: {error}") from None


def _unpacker_of(kind: str) -> tuple[Callable[[], _Unpacker], tuple[type[Exception], ...]]:
    """Return what makes an unpacker of ``kind``, and what that raises for a damaged stream."""
    if kind == "xz":
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY), (
            lzma.LZMAError,)
    if kind == "gzip":
        return _Gzip, (zlib.error,)
    zstd = _zstd()
    return lambda: _Zstd(zstd), (zstd.ZstdError,)


class _Gzip:
    """zlib's unpacker of gzip streams, which keeps its input as lzma's does."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _zstd() -> Any:
    """Return the module that unpacks zstd: of Python 3.14, or the package ``zstandard``."""
    for name in ("compression.zstd", "zstandard"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise PackedError("is packed with zstd, which neither this Python unpacks nor a package that "
                      "is installed (pip install zstandard)")


class _Zstd:
    """An unpacker of zstd frames that gives its output in pieces, of either module."""

    STEP = 1 << 16  # of input at a time: the package takes no limit of output

    def __init__(self, module: Any) -> None:
        made = module.ZstdDecompressor()
        self._limits = not hasattr(made, "decompressobj")
        self._unpacker = made if self._limits else made.decompressobj()
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return bool(self._unpacker.eof)

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._unpacker.unused_data
        return unused + self._waiting

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        if self._limits:
            limited: bytes = self._unpacker.decompress(data, max_length)
            return limited
        data = self._waiting + data
        parts, size = [], 0
        while data and size < max_length and not self._unpacker.eof:
            parts.append(self._unpacker.decompress(data[:self.STEP]))
            data, size = data[self.STEP:], size + len(parts[-1])
        self._waiting = data
        return b"".join(parts)


class UnpackedStream(io.RawIOBase):
    """The bytes that ``blocks`` yield, as a stream that is read once, front to back."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill ``buffer`` as far as the block at hand goes; return how many bytes it took."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
