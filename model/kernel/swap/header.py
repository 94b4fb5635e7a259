"""The first page of a swap area, as ``mkswap`` writes it. [union swap_header, read_swap_header]

The first 1024 bytes are left to boot loaders; then come version, last page, number of bad pages
(32 bits each), UUID and volume name (16 bytes each), and from byte 1536 on the bad pages. The
signature ends the page. The numbers are in the byte order of the machine that wrote them.
"""

import struct
from dataclasses import dataclass
from uuid import UUID

from ...x86 import PAGE_BYTES
from .errors import BadSwapHeader

__all__ = ["MAX_SWAP_BADPAGES", "PAGE_BYTES", "SwapHeader"]

SIGNATURE = b"SWAPSPACE2"
SIGNATURE_OFFSET = PAGE_BYTES - len(SIGNATURE)
VERSION = 1
INFO_OFFSET = 1024
INFO_FORMAT = "3I16s16s"
BADPAGES_OFFSET = 1536
MAX_SWAP_BADPAGES = (SIGNATURE_OFFSET - BADPAGES_OFFSET) // 4
LABEL_BYTES = 15  # a field of 16, but mkswap and swaplabel keep one for the NUL


@dataclass(frozen=True, slots=True)
class SwapHeader:
    """What the header of a swap area says.

    Parameters
    ----------
    last_page
        The number of the last page of the area; the header is page 0.
    uuid, label
        What the area is known by. A label has at most 15 bytes of UTF-8.
    badpages
        Pages that the disk cannot hold.
    """

    last_page: int
    uuid: UUID
    label: str = ""
    badpages: tuple[int, ...] = ()

    def pack(self, order: str = "<") -> bytes:
        """Return the page, in little (``<``) or big-endian (``>``) byte order.

        Raise ``ValueError`` for a label or a list of bad pages that is too long.
        """
        label = self.label.encode()
        if len(label) > LABEL_BYTES:
            raise ValueError(f"Swap label must have at most {LABEL_BYTES} bytes, "
                             f"not {self.label!r}")
        if len(self.badpages) > MAX_SWAP_BADPAGES:
            raise ValueError(f"Bad pages must be at most {MAX_SWAP_BADPAGES}, "
                             f"not {len(self.badpages)}")
        page = bytearray(PAGE_BYTES)
        struct.pack_into(order + INFO_FORMAT, page, INFO_OFFSET, VERSION, self.last_page,
                         len(self.badpages), self.uuid.bytes, label)
        struct.pack_into(f"{order}{len(self.badpages)}I", page, BADPAGES_OFFSET, *self.badpages)
        page[SIGNATURE_OFFSET:] = SIGNATURE
        return bytes(page)

    @classmethod
    def parse(cls, page: bytes, path: str) -> "SwapHeader":
        """Return the header in ``page``, in whatever byte order it was written.

        Raise ``BadSwapHeader``, with ``path``, where the kernel refuses it; whether the file is
        long enough is not looked at. [read_swap_header, setup_swap_map_and_extents]
        """
        if page[SIGNATURE_OFFSET:] != SIGNATURE:
            raise BadSwapHeader(path, "signature", str(SIGNATURE), page[SIGNATURE_OFFSET:])
        order = ">" if struct.unpack_from(">I", page, INFO_OFFSET) == (VERSION,) else "<"
        version, last_page, nr_badpages, uuid, volume = struct.unpack_from(
            order + INFO_FORMAT, page, INFO_OFFSET)
        if version != VERSION:
            raise BadSwapHeader(path, "version", str(VERSION), version)
        if not last_page:
            raise BadSwapHeader(path, "last_page", "at least 1", last_page)
        if nr_badpages > MAX_SWAP_BADPAGES:
            raise BadSwapHeader(path, "nr_badpages", f"at most {MAX_SWAP_BADPAGES}", nr_badpages)
        badpages = struct.unpack_from(f"{order}{nr_badpages}I", page, BADPAGES_OFFSET)
        for bad in badpages:
            if not 0 < bad <= last_page:
                raise BadSwapHeader(path, "badpages", f"between 1 and {last_page}", bad)
        if len(set(badpages)) >= last_page:
            raise BadSwapHeader(path, "nr_badpages", f"fewer than the {last_page} pages after "
                                "the header", nr_badpages)
        label = volume.split(b"\0")[0].decode(errors="replace")
        return cls(last_page, UUID(bytes=uuid), label, badpages)
