"""Access vectors: accesses through page tables of their own, and what an emulator made of them.

A file of them is an ``.npz`` archive of arrays with a row for each access, made with empty TLBs.

- Registers ``cr0 cr4 efer pkru``, and ``ac``, which is EFLAGS.AC.
- The access: ``va``, its linear address; ``kind`` as ``AccessKind``; ``cpl``, 0 or 3.
- The page tables, (N, 4), or (N, 5) of 5-level paging, a column for each level, the root's first:
  ``entry_pa``, the physical address of the entry, 0 for a level that is not reached; ``before``
  and ``after``, the entry before and after the access. The root table is the page of the root's
  entry.
- The answer: ``fault``, 0 or 1; ``vector``, the exception, or ``NO_VECTOR``; ``error``, the error
  code; ``cr2``, for a page fault only; ``pa``, the physical address, or ``NO_PADDR``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.physical.memory import PhysicalMemory
from ..model.x86 import IA32, LA57, PAGE_SHIFT, X86_64, AccessKind, PagingMode, selected_mode
from .archive import Field, FieldError, Fields, Format
from .errors import InputError
from .registers import misfit

__all__ = ["NO_PADDR", "NO_VECTOR", "VECTORS", "Vectors"]

NO_VECTOR = 255
"""The vector of an access that does not fault."""

NO_PADDR = (1 << 64) - 1
"""The physical address of an access that faults."""

COLUMNS = (len(X86_64.levels), len(LA57.levels))
"""How many levels the page tables may have room for; 32-bit paging leaves columns empty."""


class _LevelField(Field):
    """A value for each level of each access."""

    @property
    def described(self) -> str:
        return f"{COLUMNS[0]} or {COLUMNS[1]} values for each {self.group}"

    def check_header(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if len(shape) != 2 or shape[1] not in COLUMNS:
            raise FieldError(f"{name} has shape {shape}; expected (N, {COLUMNS[0]}) or "
                             f"(N, {COLUMNS[1]})")
        Field(self.group, self.dtype, shape[1]).check_header(name, shape, dtype)


VECTORS = Format(
    "access vectors (.npz)",
    fields={
        "va": Field("access", "<u8"),
        "kind": Field("access", "u1", values=tuple(AccessKind)),
        "cpl": Field("access", "u1", values=(0, 3)),
        "ac": Field("access", "u1", values=(0, 1)),
        "cr0": Field("access", "<u4"),
        "cr4": Field("access", "<u4"),
        "efer": Field("access", "<u4"),
        "pkru": Field("access", "<u4"),
        "entry_pa": _LevelField("access", "<u8"),
        "before": _LevelField("access", "<u8"),
        "after": _LevelField("access", "<u8"),
        "fault": Field("access", "u1", values=(0, 1)),
        "vector": Field("access", "u1"),
        "error": Field("access", "u1"),
        "cr2": Field("access", "<u8"),
        "pa": Field("access", "<u8"),
    },
)
"""The format of access vectors."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Access vectors, all of the paging mode ``mode``.

    ``fields`` are those of the file, (N,) or, with a column for each level of the mode, (N, L).
    ``row`` (N,) is the position in the file.
    """

    mode: PagingMode
    fields: Fields
    row: NDArray[np.int64]

    @classmethod
    def load(cls, path: str | Path) -> "Vectors":
        """Return the access vectors in the file ``path``; raise ``InputError`` for what is wrong.

        Registers, address and page tables must fit each other. Of the recorded answer only type
        and range are checked.
        """
        fields = VECTORS.read(path)
        mode = selected_mode(int(fields["cr4"][0]), int(fields["efer"][0])) or IA32
        _check_columns(path, mode, fields)
        for name, where, expected in _mistakes(mode, fields):
            value, place = int(fields[name][where]), f"access {where[0]}"
            if len(where) > 1:
                place += f", level {where[1]}"
            raise InputError(f"{path}: {name} holds {value:#x} for {place}; expected {expected}")
        levels = {name: fields[name][:, : len(mode.levels)]
                  for name in ("entry_pa", "before", "after")}
        return cls(mode, fields | levels, np.arange(len(fields["va"])))

    def __len__(self) -> int:
        """Return the number of accesses."""
        return len(self.row)

    def __getitem__(self, name: str) -> NDArray[np.unsignedinteger]:
        """Return the field ``name``."""
        return self.fields[name]

    def take(self, which: slice | NDArray[np.int64]) -> "Vectors":
        """Return the accesses at the indices, or in the slice, ``which``."""
        fields = {name: array[which] for name, array in self.fields.items()}
        return Vectors(self.mode, fields, self.row[which])

    def thin(self, limit: int | None) -> "Vectors":
        """Return ``limit`` of the accesses, spread evenly, or all if there are no more."""
        if limit is None or limit >= len(self):
            return self
        return self.take(np.arange(limit) * len(self) // limit)

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Whether there is an entry of a level, (N, L)."""
        reached: NDArray[np.bool_] = self["entry_pa"] != 0
        return reached

    def frames(self) -> PhysicalMemory:
        """Return a new memory of all frames that hold an entry, filled with zeros."""
        pfns = np.unique(self["entry_pa"][self.reached] >> PAGE_SHIFT)
        memory = PhysicalMemory(len(pfns))
        memory.add(pfns.tolist())
        return memory

    def tables(self, index: int) -> PhysicalMemory:
        """Return the same frames with the page tables of the access ``index``."""
        memory, reached = self.frames(), self.reached[index]
        places = self["entry_pa"][index][reached].tolist()
        for paddr, entry in zip(places, self["before"][index][reached].tolist(), strict=True):
            memory.write(paddr, self.mode.entry_bytes, entry)
        return memory


def _check_columns(path: str | Path, mode: PagingMode, fields: Fields) -> None:
    """Raise ``InputError`` if the page tables have not the columns that ``mode`` needs."""
    columns = max(COLUMNS[0], len(mode.levels))
    for name in ("entry_pa", "before", "after"):
        if (shape := fields[name].shape)[1] != columns:
            raise InputError(f"{path}: {name} has shape {shape}; expected (N, {columns}), as in "
                             f"{mode.name} paging")


def _mistakes(mode: PagingMode, fields: Fields) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield the first value that breaks each rule: its field, position, and what was expected."""
    if wrong := misfit(mode, fields):
        name, row, expected = wrong
        yield name, (row,), f"{expected}, the mode of access 0"
    widest = (1 << mode.vaddr_bits) - 1
    entry_pa, before, size = fields["entry_pa"], fields["before"], mode.entry_bytes
    level, reached = np.arange(entry_pa.shape[1]), entry_pa != 0
    reached_above = np.roll(reached, 1, axis=1) | (level == 0)
    paddr_bits = min(8 * size, X86_64.max_paddr_bits)
    no_level = f"0, as {mode.name} paging has {len(mode.levels)} levels"
    rules = (
        ("va", fields["va"] > widest, f"at most {widest:#x}"),
        ("entry_pa", ~reached & (level == 0), "the address of the root's entry"),
        ("entry_pa", reached & (level >= len(mode.levels)), no_level),
        ("entry_pa", reached & ~reached_above, "0, as the level above is not reached"),
        ("entry_pa", entry_pa % size != 0, f"a multiple of {size}"),
        ("entry_pa", entry_pa >> paddr_bits != 0, f"an address of {paddr_bits} bits"),
        ("before", before > (1 << 8 * size) - 1, f"an entry of {size} bytes"),
    )
    for name, misfits, expected in rules:
        for where in np.argwhere(misfits)[:1].tolist():
            yield name, tuple(where), expected
