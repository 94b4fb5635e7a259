"""A strict reader of ``.npz`` archives: a table says which fields a file must have."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = ["Field", "FieldError", "Fields", "Format"]

Fields = dict[str, NDArray[Any]]


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
        if array.ndim == 0 or array.shape[1:] != (() if self.columns is None else (self.columns,)):
            shape = "one dimension" if self.columns is None else f"(N, {self.columns})"
            raise FieldError(f"{name} has shape {array.shape}; expected {shape}")
        if self.dtype == "U":
            if array.dtype.kind != "U":
                raise FieldError(f"{name} is {array.dtype}; expected text")
            return array
        if array.dtype.kind not in "iu":
            raise FieldError(f"{name} is {array.dtype}; expected whole numbers")
        limits = np.iinfo(self.dtype)
        for value in (int(array.min()), int(array.max())) if array.size else ():
            if not limits.min <= value <= limits.max:
                raise FieldError(
                    f"{name} holds {value}; expected values from {limits.min} to {limits.max}"
                )
        if self.values:
            self._check_values(name, array)
        return array.astype(self.dtype)

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

        Checked are type, shape and range of each field, lengths within a group, and indices. What
        the values mean is left to the caller. Raise ``InputError``.
        """
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
            return {name: archive[name] for name in self.fields}

    def _checked(self, arrays: Mapping[str, Any]) -> Fields:
        fields: Fields = {}
        leaders = {field.group: name for name, field in reversed(self.fields.items())}
        for name, field in self.fields.items():
            if not isinstance(arrays[name], np.ndarray):
                raise FieldError(f"{name} is not an array; expected {field.described}")
            fields[name] = field.converted(name, arrays[name])
            leader = leaders[field.group]
            if len(fields[name]) != len(fields[leader]):
                raise FieldError(
                    f"{name} has {len(fields[name])} values; expected {len(fields[leader])}, "
                    f"as many as {leader}"
                )
        for group, leader in leaders.items():
            if not len(fields[leader]) and group not in self.may_be_empty:
                raise FieldError(f"{leader} is empty; expected at least one {group}")
        for name, group in self.indices.items():
            _check_index(name, fields[name], leaders[group], len(fields[leaders[group]]))
        return fields


def _check_index(name: str, array: NDArray[Any], leader: str, count: int) -> None:
    wrong = array[(array < 0) | (array >= count)]
    if len(wrong):
        raise FieldError(
            f"{name} holds {wrong[0]}; expected an index into {leader}, from 0 to {count - 1}"
        )
