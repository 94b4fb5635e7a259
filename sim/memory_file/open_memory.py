"""Opening a file of physical memory: its format is told by its content, not by its name."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import check_ends
from .avml_file import PACKED_MAGIC, AvmlFile
from .elf_core import elf_core
from .flattened import SIGNATURE, FlattenedBytes
from .frame_file import FrameFile
from .image_file import ImageFile
from .kdump_file import KdumpFile
from .kdump_header import KDUMP_SIGNATURE
from .lime_file import MAGIC, lime_file
from .mapped_bytes import ByteSource, MappedBytes
from .memory_file_error import MemoryFileError, OtherMemoryFile
from .piece_map import MemoryPiece
from .raw_file import EXPECTED, raw_file
from .unpacked import unpacked

__all__ = ["open_memory"]

ZIP = b"PK\x03\x04"


def open_memory(path: str | Path, *, places: Sequence[MemoryPiece] = (),
                view_name: str | None = None) -> FrameFile:
    """Return the physical memory in the file ``path``, packed with xz, gzip, zstd or not at all.

    ``places`` say where a raw file has what of memory, in place of all from address 0 on;
    ``view_name`` is the view of a memory image. Raise ``InputError`` for all that is wrong.
    """
    check_ends(path, EXPECTED)
    try:
        with Path(path).open("rb") as file:
            whole = unpacked(path, file)
            with whole:
                data = MappedBytes(path, whole)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MemoryFileError(path, f"cannot be read: {reason}", EXPECTED) from None
    start = data.read(0, min(16, data.size), "its first bytes")
    if start.startswith(ZIP) and not places:
        return ImageFile(path, view_name)
    if view_name is not None:
        raise OtherMemoryFile(path, "has no views", "a memory image (.npz) with --view")
    return raw_file(data, places) if places else _opened(data, start)


def _opened(data: ByteSource, start: bytes) -> FrameFile:
    """Return the memory in ``data``, whose first bytes are ``start``."""
    if start.startswith(b"\x7fELF"):
        return elf_core(data)
    if start.startswith(MAGIC):
        return lime_file(data)
    if start.startswith(PACKED_MAGIC):
        return AvmlFile(data)
    if start.startswith(SIGNATURE):
        inner = FlattenedBytes(data)
        signature = inner.read(0, len(KDUMP_SIGNATURE), "the kdump header")
        if signature != KDUMP_SIGNATURE:
            raise OtherMemoryFile(data.path, f"is flattened and makes a file that begins with "
                                  f"{signature!r}", "compressed kdump (makedumpfile -F)")
        return KdumpFile(inner)
    return KdumpFile(data) if start.startswith(KDUMP_SIGNATURE) else raw_file(data)
