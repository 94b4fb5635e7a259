"""Files packed with xz or gzip, unpacked to a sparse temporary file in bounded memory."""

import lzma
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from .memory_file_error import BadMemoryFile, CutMemoryFile, MemoryFileError

__all__ = ["unpacked"]

CHUNK = 1 << 20
HOLE = 1 << 16  # zeros of this length are not written
XZ, GZIP = b"\xfd7zXZ\0", b"\x1f\x8b"
MOST_MEMORY = 512 << 20  # what xz may take: the most that its levels ask for is 65 Mbytes
SPARE = 256 << 20  # what is left free on the disk


class _Unpacker(Protocol):
    """One stream of either kind, as zlib and lzma give it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def unpacked(path: str | Path, file: BinaryIO) -> BinaryIO:
    """Return ``file``, or a temporary file with what it unpacks to, which is its caller's to close.

    What a file is packed with is told by its first bytes. Several streams in a row are one file.
    Raise ``MemoryFileError`` for a stream that is damaged or cut, or needs more room than there is.
    """
    start = file.read(len(XZ))
    file.seek(0)
    if start.startswith(XZ):
        return _unpack(path, file, "xz", _new_xz)
    if start.startswith(GZIP):
        return _unpack(path, file, "gzip", _new_gzip)
    return file


def _new_xz() -> _Unpacker:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY)


def _new_gzip() -> _Unpacker:
    return _Gzip()


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


def _unpack(path: str | Path, file: BinaryIO, kind: str, new: Callable[[], _Unpacker]) -> BinaryIO:
    output = tempfile.TemporaryFile()
    try:
        for block in _blocks(path, file, kind, new):
            _write_sparse(path, output, block)
        output.truncate(output.tell())
    except (lzma.LZMAError, zlib.error) as error:
        output.close()
        raise BadMemoryFile(path, f"cannot be unpacked: {error}", f"a sound {kind} file") from None
    except OSError as error:
        output.close()
        raise BadMemoryFile(path, f"cannot be unpacked: {error.strerror}",
                            f"room in {tempfile.gettempdir()}") from None
    except MemoryFileError:
        output.close()
        raise
    return output


def _blocks(path: str | Path, file: BinaryIO, kind: str,
            new: Callable[[], _Unpacker]) -> Iterator[bytes]:
    """Yield what the streams of ``file`` unpack to, at most ``CHUNK`` bytes at a time."""
    data = file.read(CHUNK)
    while data.strip(b"\0"):  # zeros may stand behind a stream
        unpacker = new()
        while not unpacker.eof:
            block = unpacker.decompress(data, CHUNK)
            yield block
            data = b"" if len(block) == CHUNK else file.read(CHUNK)
            if not (data or block or unpacker.eof):
                raise CutMemoryFile(path, f"ends at byte {file.tell()}, within a stream of {kind}",
                                    f"a whole {kind} file")
        data = (unpacker.unused_data + data).lstrip(b"\0") or file.read(CHUNK)


def _write_sparse(path: str | Path, output: BinaryIO, block: bytes) -> None:
    """Write ``block``, leaving holes for its zeros."""
    if shutil.disk_usage(tempfile.gettempdir()).free < SPARE:
        raise MemoryFileError(path, f"unpacks to more than {output.tell()} bytes, for which "
                              f"{tempfile.gettempdir()} has no room", "a smaller file")
    for at in range(0, len(block), HOLE):
        part = block[at : at + HOLE]
        if part.count(0) == len(part):
            output.seek(len(part), 1)
        else:
            output.write(part)
