"""Raw physical memory: flat, or pieces at the places that a map tells."""

from collections.abc import Sequence

from ...model.x86 import PAGE_BYTES, X86_64
from .mapped_bytes import ByteSource
from .memory_file_error import BadMemoryFile, CutMemoryFile, OtherMemoryFile
from .piece_map import MemoryPiece
from .segment_file import SegmentFile

__all__ = ["raw_file"]

OTHER_KINDS = {
    b"DISKDUMP": "a diskdump", b"PAGEDUMP": "a crash dump of 32-bit Windows",
    b"PAGEDU64": "a crash dump of 64-bit Windows", b"QEVM": "a machine saved by QEMU",
    b"\xd2\xbe\xd2\xbe": "a suspended machine of VMware", b"KMDT": "a dump of a kernel debugger",
    b"QFI\xfb": "a disk image (qcow2)", b"hibr": "a hibernation file", b"BZh": "packed by bzip2",
    b"\x28\xb5\x2f\xfd": "packed by zstd", b"7z\xbc\xaf": "packed by 7-Zip",
}
"""First bytes of files that are no raw memory, though nothing else here reads them."""

EXPECTED = "raw memory, an ELF core, LiME, AVML, kdump or a memory image (.npz)"


def raw_file(data: ByteSource, places: Sequence[MemoryPiece] = ()) -> SegmentFile:
    """Return the memory of a raw file, which begins at physical address 0 unless ``places`` says.

    Raise ``MemoryFileError`` for an empty file, one of another kind, one that is no whole number of
    frames, and places that lie outside of it.
    """
    if not data.size:
        raise CutMemoryFile(data.path, "is empty", EXPECTED)
    start = data.read(0, min(8, data.size), "its first bytes")
    for magic, noun in OTHER_KINDS.items():
        if start.startswith(magic):
            raise OtherMemoryFile(data.path, f"is {noun}", EXPECTED)
    if not places:
        if data.size % PAGE_BYTES:
            raise OtherMemoryFile(data.path, f"has {data.size} bytes and none of the headers known",
                                  f"{EXPECTED}, raw memory being a multiple of {PAGE_BYTES} bytes")
        places = [MemoryPiece(0, data.size, 0)]
    for place in places:
        if place.source + place.end - place.start > data.size:
            raise CutMemoryFile(data.path, f"ends at byte {data.size}",
                                f"the memory at {place.start:#x} up to byte "
                                f"{place.source + place.end - place.start}")
        if place.end > 1 << X86_64.max_paddr_bits:
            raise BadMemoryFile(data.path, f"is to have memory up to {place.end:#x}",
                                f"physical addresses below {1 << X86_64.max_paddr_bits:#x}")
    return SegmentFile(data, "raw memory", places)
