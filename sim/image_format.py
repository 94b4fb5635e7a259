"""The file format of memory images: which fields there are.

An image is an ``.npz`` archive of four groups of arrays; all arrays of a group are equally long.

- *caps*, one per stop of the machine: ``cap_name cap_pid cr0 cr2 cr3 cr4 efer``.
- *views*, one per address space seen at a stop: ``view_name view_cap view_cr3``.
- *frames*, one per page-table frame: ``frame_cap frame_pfn frame_data``. A frame number repeats
  between caps, with other contents. ``frame_data`` is (N, 512) of 8-byte entries in 4-level
  and 5-level paging, which CR4.LA57 tells apart, and (N, 1024) of 4-byte entries in 32-bit paging.
- *probes*, one per linear address: ``probe_view probe_va probe_pa probe_size probe_flags
  probe_eff probe_src``, an emulator's answers; see ``image.Probes``.

Other fields, such as the ``pm_*`` of the shared images, are not read.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.x86 import IA32, PAGE_BYTES, X86_64
from .archive import Field, FieldError, Format

__all__ = ["IMAGE"]


class _FrameField(Field):
    """Page-table frames, (N, entries of a table), of unsigned integers as wide as an entry."""

    # 4-level paging first: 512 entries of 8 bytes, then 1024 of 4.
    SHAPES = tuple((PAGE_BYTES // mode.entry_bytes, mode.entry_bytes) for mode in (X86_64, IA32))

    @property
    def described(self) -> str:
        shapes = " or ".join(f"(N, {count}) {size}-byte" for count, size in self.SHAPES)
        return f"{shapes} page-table entries"

    def converted(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        self.check_header(name, array.shape, array.dtype)
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))

    def check_header(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if dtype.kind != "u" or (*shape[1:], dtype.itemsize) not in self.SHAPES:
            what = f"{dtype} of shape {shape}"
            raise FieldError(f"{name} is {what}; expected {self.described}")


IMAGE = Format(
    "a memory image (.npz)",
    fields={
        "cap_name": Field("cap", "U"),
        "cap_pid": Field("cap", "<i8"),
        "cr0": Field("cap", "<u8"),
        "cr2": Field("cap", "<u8"),
        "cr3": Field("cap", "<u8"),
        "cr4": Field("cap", "<u8"),
        "efer": Field("cap", "<u8"),
        "view_name": Field("view", "U"),
        "view_cap": Field("view", "<i4"),
        "view_cr3": Field("view", "<u8"),
        "frame_data": _FrameField("frame", ""),
        "frame_cap": Field("frame", "<i4"),
        "frame_pfn": Field("frame", "<u8"),
        "probe_va": Field("probe", "<u8"),
        "probe_view": Field("probe", "<i4"),
        "probe_pa": Field("probe", "<u8"),
        "probe_size": Field("probe", "<u4"),
        "probe_flags": Field("probe", "<u2"),
        "probe_eff": Field("probe", "u1"),
        "probe_src": Field("probe", "u1"),
    },
    indices={"view_cap": "cap", "frame_cap": "cap", "probe_view": "view"},
)
"""The format of memory images."""
