"""The file format of memory images: which fields there are, and a strict reader.

An image is an ``.npz`` archive of four groups of arrays; all arrays of a group are equally long.

- *caps*, one per stop of the machine: ``cap_name cap_pid cr0 cr2 cr3 cr4 efer``.
- *views*, one per address space seen at a stop: ``view_name view_cap view_cr3``.
- *frames*, one per page-table frame: ``frame_cap frame_pfn frame_data``. A frame number repeats
  between caps, with other contents. ``frame_data`` is (N, 512) of 8-byte entries in 4-level
  paging, (N, 1024) of 4-byte entries in 32-bit paging; this is what tells the modes apart.
- *probes*, one per linear address: ``probe_view probe_va probe_pa probe_size probe_flags
  probe_eff probe_src``, an emulator's answers; see ``image.Probes``.

Other fields, such as the ``pm_*`` of the shared images, are not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = ["FIELDS", "INDICES", "Fields", "read_fields"]

Fields = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Field:
    """The group that a field belongs to, and the type that it is held in."""

    group: str
    dtype: str


FIELDS = {
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
    "frame_data": Field("frame", ""),
    "frame_cap": Field("frame", "<i4"),
    "frame_pfn": Field("frame", "<u8"),
    "probe_va": Field("probe", "<u8"),
    "probe_view": Field("probe", "<i4"),
    "probe_pa": Field("probe", "<u8"),
    "probe_size": Field("probe", "<u4"),
    "probe_flags": Field("probe", "<u2"),
    "probe_eff": Field("probe", "u1"),
    "probe_src": Field("probe", "u1"),
}
"""Every field that is read; the first of each group says how long the group is."""

INDICES = {"view_cap": "cap", "frame_cap": "cap", "probe_view": "view"}
"""Fields whose values are indices into another group."""

ARCHIVE = "a memory image (.npz)"

LEADERS = {field.group: name for name, field in reversed(FIELDS.items())}


def read_fields(path: str | Path) -> Fields:
    """Return the fields of the image at ``path``, checked on their own and with each other.

    What their values mean is not looked at. Raise ``InputError``.
    """
    try:
        return _checked(_read(path))
    except _FieldError as error:
        raise InputError(" ".join(f"{path}: {error}".splitlines())) from None


class _FieldError(Exception):
    """What is wrong with one field; the file's name is yet to be added."""


def _read(path: str | Path) -> dict[str, Any]:
    try:
        # Opened here, for numpy leaves the file open when it raises.
        with Path(path).open("rb") as file:
            return _members(file)
    except _FieldError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:  # a damaged archive raises whatever zipfile, zlib or numpy meet
        reason = str(error) or type(error).__name__
    raise _FieldError(f"cannot be read: {reason}; expected {ARCHIVE}")


def _members(file: IO[bytes]) -> dict[str, Any]:
    if not is_zipfile(file):
        raise _FieldError(f"is not a whole .npz archive; expected {ARCHIVE}")
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        missing = [name for name in FIELDS if name not in archive.files]
        if missing:
            raise _FieldError(f"{missing[0]} is missing; expected {_described(missing[0])}")
        return {name: archive[name] for name in FIELDS}


def _described(name: str) -> str:
    if name == "frame_data":
        return "(N, 512) 8-byte or (N, 1024) 4-byte page-table entries"
    return f"one value for each {FIELDS[name].group}"


def _checked(arrays: Mapping[str, Any]) -> Fields:
    fields: Fields = {}
    for name, field in FIELDS.items():
        array = arrays[name]
        if not isinstance(array, np.ndarray):
            raise _FieldError(f"{name} is not an array; expected {_described(name)}")
        fields[name] = (
            _frames(array) if name == "frame_data" else _converted(name, array, field.dtype)
        )
        leader = LEADERS[field.group]
        if len(fields[name]) != len(fields[leader]):
            raise _FieldError(
                f"{name} has {len(fields[name])} values; expected {len(fields[leader])}, "
                f"as many as {leader}"
            )
    for group, leader in LEADERS.items():
        if not len(fields[leader]):
            raise _FieldError(f"{leader} is empty; expected at least one {group}")
    for name, group in INDICES.items():
        _check_index(name, fields[name], LEADERS[group], len(fields[LEADERS[group]]))
    return fields


def _frames(array: NDArray[Any]) -> NDArray[Any]:
    shape = (array.dtype.kind, array.dtype.itemsize, *array.shape[1:])
    if shape not in (("u", 8, 512), ("u", 4, 1024)):
        what = f"{array.dtype} of shape {array.shape}"
        raise _FieldError(f"frame_data is {what}; expected {_described('frame_data')}")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _converted(name: str, array: NDArray[Any], dtype: str) -> NDArray[Any]:
    if array.ndim != 1:
        raise _FieldError(f"{name} has shape {array.shape}; expected one dimension")
    if dtype == "U":
        if array.dtype.kind != "U":
            raise _FieldError(f"{name} is {array.dtype}; expected text")
        return array
    if array.dtype.kind not in "iu":
        raise _FieldError(f"{name} is {array.dtype}; expected whole numbers")
    limits = np.iinfo(dtype)
    for value in (int(array.min()), int(array.max())) if len(array) else ():
        if not limits.min <= value <= limits.max:
            raise _FieldError(
                f"{name} holds {value}; expected values from {limits.min} to {limits.max}"
            )
    return array.astype(dtype)


def _check_index(name: str, array: NDArray[Any], leader: str, count: int) -> None:
    wrong = array[(array < 0) | (array >= count)]
    if len(wrong):
        raise _FieldError(
            f"{name} holds {wrong[0]}; expected an index into {leader}, from 0 to {count - 1}"
        )
