"""Files packed with xz, gzip or zstd, unpacked to a sparse temporary file in bounded memory."""

import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from ..packed_stream import LONGEST_MAGIC, PackedError, StreamEnds, packing, unpacked_blocks
from .memory_file_error import BadMemoryFile, CutMemoryFile, MemoryFileError

__all__ = ["unpacked"]

HOLE = 1 << 16  # zeros of this length are not written
SPARE = 256 << 20  # what is left free on the disk


def unpacked(path: str | Path, file: BinaryIO) -> BinaryIO:
    """Return ``file``, or a temporary file with what it unpacks to, which is its caller's to close.

    What a file is packed with is told by its first bytes. Several streams in a row are one file.
    Raise ``MemoryFileError`` for a stream that is damaged or cut, or needs more room than there is.
    """
    kind = packing(file.read(LONGEST_MAGIC))
    file.seek(0)
    return file if kind is None else _unpack(path, file, kind)


def _unpack(path: str | Path, file: BinaryIO, kind: str) -> BinaryIO:
    output = tempfile.TemporaryFile()
    try:
        for block in unpacked_blocks(file, kind):
            _write_sparse(path, output, block)
        output.truncate(output.tell())
    except StreamEnds as error:
        output.close()
        raise CutMemoryFile(path, str(error), f"a whole {kind} file") from None
    except PackedError as error:
        output.close()
        raise BadMemoryFile(path, str(error), f"a sound {kind} file") from None
    except OSError as error:
        output.close()
        raise BadMemoryFile(path, f"cannot be unpacked: {error.strerror}",
                            f"room in {tempfile.gettempdir()}") from None
    except MemoryFileError:
        output.close()
        raise
    return output


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
