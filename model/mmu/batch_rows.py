"""What a batch of walks starts from, and what each walk carries from level to level."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..x86 import AccessKind, Cr0, PagingMode, Purpose
from .batch_rules import ACCESS_BITS, REGISTER_BITS
from .control import REGISTER_WIDTHS, Control
from .walk import check_vaddr
from .widths import check_width, words

__all__ = ["Accesses", "Controls", "Front", "Rows", "part"]

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Accesses:
    """Accesses as ``walk.Access`` describes them; each field is one value, or one per row (N,)."""

    vaddr: ArrayLike
    kind: ArrayLike = AccessKind.READ
    user: ArrayLike = False
    implicit: ArrayLike = False
    ac: ArrayLike = False
    stack: ArrayLike = False
    purpose: ArrayLike = Purpose.ACCESS


@dataclass(frozen=True, slots=True, eq=False)
class Controls:
    """Registers as in ``walk.Control``; each field is one value, or one per row (N,).

    Walks are fastest where all rows have the same registers: pass a ``Control`` then.
    """

    cr3: ArrayLike
    cr0: ArrayLike
    cr4: ArrayLike
    efer: ArrayLike
    pkru: ArrayLike = 0


class Rows:
    """The accesses to walk, one per row, with the registers that govern each.

    A field has the shape (N,), or () if it is the same for all rows. ``purposeful`` says whether
    any has another purpose than an access.

    Raises
    ------
    ValueError
        If an access kind or a purpose does not exist, if fields have different numbers of rows, or
        if an address or a register is negative or too wide, as ``Access`` and ``Control`` have
        them.
    TypeError
        If an access kind, a purpose, an address or a register is no integer.
    """

    def __init__(self, control: Control | Controls, accesses: Accesses) -> None:
        fields: dict[str, NDArray[np.unsignedinteger]] = {
            "kind": _numbers("Access kind", accesses.kind, AccessKind),
            "purpose": _numbers("Purpose", accesses.purpose, Purpose),
            **{name: np.asarray(getattr(accesses, name), np.bool_).view(np.uint8)
               for name in ("user", "implicit", "ac", "stack")},
        }
        registers = {name: words(name.upper(), getattr(control, name), bits)
                     for name, bits in REGISTER_WIDTHS.items()}
        self.cr3, self.pkru = registers.pop("cr3"), registers.pop("pkru")
        fields |= registers
        self._cr0 = registers["cr0"]
        vaddr = words("Linear address", accesses.vaddr)
        shape = _common_shape([vaddr, self.cr3, self.pkru, *fields.values()])
        self.vaddr = np.broadcast_to(vaddr, shape)
        self._access_part = _ClassPart(fields, ACCESS_BITS)
        self._register_part = _ClassPart(fields, REGISTER_BITS)
        self.purposeful = bool(fields["purpose"].any())

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.vaddr)

    def check_vaddrs(self, mode: PagingMode) -> None:
        """Raise as ``check_vaddr`` for the first row with paging whose address is too wide."""
        last = (1 << mode.vaddr_bits) - 1
        if mode.vaddr_bits < 64 and len(self) and int(self.vaddr.max()) > last:
            wide = (self.vaddr > last) & (self._cr0 & Cr0.PG != 0)
            for vaddr in self.vaddr[wide]:
                check_vaddr(mode, int(vaddr))

    def classes(self, chunk: slice) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the class of each row, and the class of a plain read under its registers.

        Either has the shape () if it is the same for all rows.
        """
        plain = self._register_part.of(chunk)
        return plain | self._access_part.of(chunk), plain


class _ClassPart:
    """The part of every row's class number that follows from some of the fields."""

    def __init__(
        self, fields: dict[str, NDArray[np.unsignedinteger]], bits: dict[str, dict[int, int]]
    ) -> None:
        terms = [(fields[name], bit, place)
                 for name, places in bits.items() for bit, place in places.items()]
        self._same = sum(int(field & bit != 0) << place
                         for field, bit, place in terms if not field.shape)
        self._varying = [term for term in terms if term[0].shape]

    def of(self, chunk: slice) -> NDArray[np.intp]:
        """Return the bits for each row of ``chunk``, or with shape () if no field varies."""
        number = np.array(self._same, np.uint16)
        for field, bit, place in self._varying:
            number = number | (field[chunk] & bit != 0).astype(np.uint16) << place
        return number.astype(np.intp)


@dataclass(slots=True)
class Front:
    """Walks that have come to the same level, with arrays (n,) of what each has gathered.

    Members
    -------
    rows
        Positions of the walks among the rows of the batch.
    vaddr
        The linear addresses.
    classes, plain, pkru
        Class of the access in the sense of ``AccessRules``, the class of a plain read under its
        registers, and its PKRU; each of shape () if it is the same for all rows.
    tables
        Frame numbers of the tables to read.
    places, entries
        Where the last entries were read, as places in the source, and what they were.
    rights
        Rights of all the entries so far, in the sense of ``AccessRules``.
    """

    rows: slice | NDArray[np.intp]
    vaddr: Words
    classes: NDArray[np.intp]
    plain: NDArray[np.intp]
    pkru: Words
    tables: Words
    places: NDArray[np.intp]
    entries: Words
    rights: Words

    def __len__(self) -> int:
        """Return the number of walks."""
        return len(self.vaddr)

    def select(self, chosen: NDArray[np.bool_]) -> "Front":
        """Return the front of the walks for which ``chosen`` (n,) is true."""
        at = np.flatnonzero(chosen)
        rows = self.rows
        if isinstance(rows, slice):
            rows = np.arange(rows.start, rows.stop)
        return Front(
            rows[at], self.vaddr[at],
            part(self.classes, at), part(self.plain, at), part(self.pkru, at),
            self.tables[at], self.places[at], self.entries[at], self.rights[at],
        )


def _numbers(what: str, values: ArrayLike, known: type[IntEnum]) -> NDArray[np.uint8]:
    """Return values that are of the enumeration ``known``; raise for others as ``Rows`` does."""
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "biu":
        for one in np.asarray(values, object).reshape(-1):
            check_width(what, one, 8)
    wrong = numbers[(numbers < 0) | (numbers > max(known))]
    if len(wrong):
        raise ValueError(f"{what} must be one of {', '.join(map(str, known))}, not {wrong[0]}")
    return numbers.astype(np.uint8)


def _common_shape(fields: list[NDArray[np.unsignedinteger]]) -> tuple[int]:
    """Return the shape (N,) of all fields that are not one value; (1,) if all are.

    Raise ``ValueError`` if their shapes differ.
    """
    several = [field.shape for field in fields if field.shape]
    count = several[0][0] if several else 1
    for shape in several:
        if shape != (count,):
            raise ValueError(f"Accesses and registers must be one value or {count} rows each, "
                             f"not {shape}")
    return (count,)


def part(field: NDArray[Any], which: slice | NDArray[np.intp]) -> NDArray[Any]:
    """Return the elements ``which`` of a field, or the field if it is the same for all rows."""
    return field[which] if field.shape else field
