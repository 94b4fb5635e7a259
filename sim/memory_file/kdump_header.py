"""The headers of a compressed kdump file.

[makedumpfile, diskdump_mod.h: disk_dump_header, kdump_sub_header; QEMU, include/sysemu/dump.h]
"""

import struct
from dataclasses import dataclass

from ...model.x86 import PAGE_BYTES
from .mapped_bytes import ByteSource
from .memory_file_error import BadMemoryFile, OtherMemoryFile

__all__ = ["KDUMP_SIGNATURE", "KdumpHeader", "read_kdump_header"]

KDUMP_SIGNATURE = b"KDUMP   "
UTSNAME = 12  # where struct new_utsname is: six names of 65 bytes, of which the fifth is ...
MACHINE = UTSNAME + 4 * 65
LAYOUTS = {64: 424, 32: 412}  # where `status` is, behind a time of 16 or 8 bytes that is aligned
REST = struct.Struct("<IiiII")  # status, block_size, sub_hdr_size, bitmap_blocks, max_mapnr
VERSIONS = range(3, 7)
NOTES = {64: struct.Struct("<QQ"), 32: struct.Struct("<QI")}  # offset and size
# In the sub header. 32 bits: phys_base and four more of 4 bytes, then VMCOREINFO with 8 and 4.
SPLIT_AT = {64: 12, 32: 8}
VMCOREINFO_AT = {64: 32, 32: 20}
NOTES_AT = {64: 48, 32: 32}
MAX_MAPNR_AT = {64: 96, 32: 72}
MOST_NOTES = 16 << 20  # bytes
MOST_FRAMES = 1 << 31  # so that the bitmap has 256 Mbytes


@dataclass(frozen=True, slots=True)
class KdumpHeader:
    """What the headers tell.

    Members
    -------
    bitmap, bitmap_bytes
        Where the second bitmap is, of frames that the file has, and how many bytes are in use.
    descriptors
        Where the descriptors of these frames begin.
    frame_count
        How many frame numbers there are.
    notes
        The notes in ELF's form, empty if there are none.
    """

    bitmap: int
    bitmap_bytes: int
    descriptors: int
    frame_count: int
    notes: bytes


def read_kdump_header(data: ByteSource) -> KdumpHeader:
    """Return what the headers tell; raise ``MemoryFileError`` for what they should not."""
    header = data.read(0, LAYOUTS[64] + REST.size, "the kdump header")
    version = int.from_bytes(header[8:12], "little")
    if version not in VERSIONS:
        raise OtherMemoryFile(data.path, f"is kdump of version {version}", "version 3 to 6")
    machine = header[MACHINE : MACHINE + 65].partition(b"\0")[0].decode("ascii", "replace")
    if machine != "x86_64" and not (len(machine) == 4 and machine[0] + machine[2:] == "i86"):
        raise OtherMemoryFile(data.path, f"is kdump of the processor {machine!r}",
                              "x86_64 or i686")
    bits, blocks, bitmap_blocks, max_mapnr = _sizes(data, header)
    sub = data.read(PAGE_BYTES, MAX_MAPNR_AT[bits] + 8, "the kdump sub header")
    if int.from_bytes(sub[SPLIT_AT[bits] : SPLIT_AT[bits] + 4], "little"):
        raise OtherMemoryFile(data.path, "is one part of several (makedumpfile --split)",
                              "the whole, as makedumpfile --reassemble makes it")
    if version == 6:
        max_mapnr = int.from_bytes(sub[-8:], "little")
    bitmap_bytes = bitmap_blocks * PAGE_BYTES // 2
    if not 0 < max_mapnr <= 8 * bitmap_bytes:
        raise BadMemoryFile(data.path, f"has a bitmap of {bitmap_bytes} bytes in its kdump header",
                            f"one bit for each of {max_mapnr} frames")
    if max_mapnr > MOST_FRAMES:
        raise OtherMemoryFile(data.path, f"is kdump of {max_mapnr} frames",
                              f"at most {MOST_FRAMES}, which are 8 Tbytes")
    first = (1 + blocks) * PAGE_BYTES
    if first + 2 * bitmap_bytes > data.size:
        data.read(first, 2 * bitmap_bytes, "the bitmaps of kdump")
    used = -(-max_mapnr // 64) * 8
    return KdumpHeader(first + bitmap_bytes, used, first + 2 * bitmap_bytes, max_mapnr,
                       _notes(data, version, bits, sub))


def _sizes(data: ByteSource, header: bytes) -> tuple[int, int, int, int]:
    """Return the bits of its layout, the blocks of sub header and bitmaps, and max_mapnr.

    The layout is told by where the size of a block is that makes sense.
    """
    for bits, at in LAYOUTS.items():
        _, block, blocks, bitmap_blocks, max_mapnr = REST.unpack_from(header, at)
        if block == PAGE_BYTES and 0 < blocks < 1 << 20:
            return bits, blocks, bitmap_blocks, max_mapnr
    raise BadMemoryFile(data.path, "has no block size in its kdump header where it should be",
                        f"{PAGE_BYTES}, at byte {LAYOUTS[64] + 4} or {LAYOUTS[32] + 4}")


def _notes(data: ByteSource, version: int, bits: int, sub: bytes) -> bytes:
    """Return all notes; without any, VMCOREINFO as if it were one."""
    at, form = NOTES_AT[bits], NOTES[bits]
    offset, size = form.unpack_from(sub, at) if version >= 4 else (0, 0)
    if size:
        if size > MOST_NOTES:
            raise BadMemoryFile(data.path, f"has notes of {size} bytes", f"at most {MOST_NOTES}")
        return data.read(offset, size, "the notes of kdump")
    offset, size = form.unpack_from(sub, VMCOREINFO_AT[bits])
    if not size or size > MOST_NOTES:
        return b""
    name = b"VMCOREINFO\0\0"
    text = data.read(offset, size, "the VMCOREINFO of kdump")
    return struct.pack("<III", 11, size, 0) + name + text + bytes(-size % 4)
