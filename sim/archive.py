"""A strict reader of ``.npz`` archives: a table says which fields a file must have."""

import dataclasses
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, check_ends

__all__ = ["Field", "FieldError", "Fields", "Format"]

Fields = dict[str, NDArray[Any]]

MOST_BYTES = 512 << 20
"""What the fields of an archive may take in memory; the page tables of 200 Gbytes have room."""

LONGEST_TEXT = 1000  # of a name, which is shown in tables and messages

MOST_HEADER_BYTES = 12 + 10_000  # of one array: what numpy reads without being asked to


class FieldError(Exception):
    """What is wrong with one field; the reader adds the name of the file."""


@dataclass(frozen=True, slots=True)
class Field:
    """One array of an archive: a value, or a row of ``columns``, for each member of ``group``.

    ``dtype`` is what the array is converted to: ``U`` for text, or an integer type, which any
    integers that fit it will do for. ``values`` are those allowed, if not all are.
    """

    group: str
    dtype: str
    columns: int | None = None
    values: tuple[int, ...] = ()

    @property
    def described(self) -> str:
        """What the array should be."""
        what = "one value" if self.columns is None else f"{self.columns} values"
        return f"{what} for each {self.group}"

    def converted(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array of the field ``name`` as it should be; raise ``FieldError``."""
        self.check_header(name, array.shape, array.dtype)
        if self.dtype == "U":
            self._check_texts(name, array)
            return array
        limits = np.iinfo(self.dtype)
        for value in (int(array.min()), int(array.max())) if array.size else ():
            if not limits.min <= value <= limits.max:
                raise FieldError(
                    f"{name} holds {value}; expected values from {limits.min} to {limits.max}"
                )
        if self.values:
            self._check_values(name, array)
        return array.astype(self.dtype)

    def check_header(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Check what the header of the array says; raise ``FieldError``."""
        if not shape or shape[1:] != (() if self.columns is None else (self.columns,)):
            expected = "one dimension" if self.columns is None else f"(N, {self.columns})"
            raise FieldError(f"{name} has shape {shape}; expected {expected}")
        if self.dtype == "U" and dtype.kind != "U":
            raise FieldError(f"{name} is {dtype}; expected text")
        if self.dtype != "U" and dtype.kind not in "iu":
            raise FieldError(f"{name} is {dtype}; expected whole numbers")

    def _check_texts(self, name: str, array: NDArray[Any]) -> None:
        for place, text in enumerate(array.tolist()):
            if not text.isprintable() or len(text) > LONGEST_TEXT:
                raise FieldError(f"{name} holds {text[:40]!r} for {self.group} {place}; expected "
                                 f"at most {LONGEST_TEXT} letters that can be printed")

    def _check_values(self, name: str, array: NDArray[Any]) -> None:
        wrong = np.flatnonzero(~np.isin(array, self.values))
        if len(wrong):
            known = ", ".join(map(str, self.values))
            raise FieldError(f"{name} holds {array[wrong[0]]} for {self.group} {wrong[0]}; "
                             f"expected one of {known}")


@dataclass(frozen=True, slots=True)
class Format:
    """What an archive holds: ``fields`` by name, of which all of a group are equally long.

    ``noun`` is what error messages call the archive. The first field of each group says how long
    the group is; only the groups ``may_be_empty`` may be empty. ``indices`` maps the name of a
    field to the group that its values are indices into. A file may have more fields than these;
    they are not read.
    """

    noun: str
    fields: dict[str, Field]
    indices: dict[str, str] = dataclasses.field(default_factory=dict)
    may_be_empty: tuple[str, ...] = ()

    def read(self, path: str | Path) -> Fields:
        """Return the fields of the archive at ``path``.

        Checked are type, shape and range of each field, lengths within a group, and indices; sizes,
        types and shapes before anything is unpacked. What the values mean is left to the caller.
        Raise ``InputError``, also for fields of more than 512 Mbytes, a pipe or a device.
        """
        check_ends(path, self.noun)
        try:
            return self._checked(self._read(path))
        except FieldError as error:
            raise InputError(" ".join(f"{path}: {error}".splitlines())) from None

    def _read(self, path: str | Path) -> dict[str, Any]:
        try:
            # Opened here, for numpy leaves the file open when it raises.
            with Path(path).open("rb") as file:
                return self._members(file)
        except FieldError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
        except Exception as error:  # a damaged archive raises what zipfile, zlib or numpy meet
            reason = str(error) or type(error).__name__
        raise FieldError(f"cannot be read: {reason}; expected {self.noun}")

    def _members(self, file: IO[bytes]) -> dict[str, Any]:
        if not is_zipfile(file):
            raise FieldError(f"is not a whole .npz archive; expected {self.noun}")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            missing = [name for name in self.fields if name not in archive.files]
            if missing:
                described = self.fields[missing[0]].described
                raise FieldError(f"{missing[0]} is missing; expected {described}")
            self._check_headers(archive.zip)
            return {name: archive[name] for name in self.fields}

    @property
    def _leaders(self) -> dict[str, str]:
        """The first field of each group, by group."""
        return {field.group: name for name, field in reversed(self.fields.items())}

    def _check_headers(self, archive: ZipFile) -> None:
        """Check what the archive says of its fields before any is unpacked."""
        lengths: dict[str, int] = {}
        total = 0
        for name, field in self.fields.items():
            shape, dtype, size = _header(archive, name, field)
            total += size
            if total > MOST_BYTES:
                raise FieldError(f"{name} unpacks to {size} bytes; expected at most {MOST_BYTES}, "
                                 "all fields together")
            if not dtype.hasobject:  # which numpy refuses in its own words, from the header too
                field.check_header(name, shape, dtype)
            lengths[name] = shape[0] if shape else 0
        for name, field in self.fields.items():
            leader = self._leaders[field.group]
            if lengths[name] != lengths[leader]:
                raise FieldError(f"{name} has {lengths[name]} values; expected {lengths[leader]}, "
                                 f"as many as {leader}")

    def _checked(self, arrays: Mapping[str, Any]) -> Fields:
        leaders = self._leaders
        fields = {name: field.converted(name, arrays[name]) for name, field in self.fields.items()}
        for group, leader in leaders.items():
            if not len(fields[leader]) and group not in self.may_be_empty:
                raise FieldError(f"{leader} is empty; expected at least one {group}")
        for name, group in self.indices.items():
            _check_index(name, fields[name], leaders[group], len(fields[leaders[group]]))
        return fields


def _header(archive: ZipFile, name: str, field: Field) -> tuple[
        tuple[int, ...], np.dtype[Any], int]:
    """Return shape and type of the array ``name`` of an archive, and the bytes it unpacks to.

    The bytes are those that the header tells, or the directory of the archive if it tells of more.
    """
    info = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
    with archive.open(info) as member:
        start = io.BytesIO(member.read(MOST_HEADER_BYTES))
    if not start.getvalue().startswith(np.lib.format.MAGIC_PREFIX):
        raise FieldError(f"{name} is not an array; expected {field.described}")
    if np.lib.format.read_magic(start) == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(start)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(start)
    return shape, dtype, max(math.prod(shape) * dtype.itemsize, info.file_size)


def _check_index(name: str, array: NDArray[Any], leader: str, count: int) -> None:
    wrong = array[(array < 0) | (array >= count)]
    if len(wrong):
        raise FieldError(
            f"{name} holds {wrong[0]}; expected an index into {leader}, from 0 to {count - 1}"
        )
