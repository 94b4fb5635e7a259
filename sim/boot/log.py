"""Recorded boots: what a file holds, and how it is read.

An emulator recorded, in program order, what a whole machine with one processor did while a real
Linux kernel booted or worked on it: every access by its page, every store into page tables, every
move to a control register, every invalidation and every fault. The file is an xz stream of a line
of JSON and arrays, all little-endian:

- ``ev``: the records in order. A value below 2**31 is an index into the distinct accesses, any
  other is 2**31 more than an index into the special records, which come once each, in order.
- ``acc_kind``, as ``AccessKind``; ``acc_mode``, a sum of ``AccessMode``; ``acc_vpn`` and
  ``acc_ppn``, the linear and the physical address of the access by their pages of 4 Kbytes.
- ``sp_kind``, as ``RecordKind``, which says what ``sp_fl``, ``sp_x``, ``sp_ppn`` and ``sp_val``
  hold.
- ``skipped``: how many accesses were left out before a record, as they repeat one of the last few.
  Where that is 255, ``skipped_big_at`` has the record, and ``skipped_big`` the number.
"""

import enum
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import IA32, PAGE_SHIFT, PagingMode, selected_mode
from .xz_arrays import Arrays, read_arrays

__all__ = ["DTYPES", "NOUN", "SPECIAL", "STORES", "AccessMode", "BootLog", "RecordKind"]

NOUN = "a recorded boot (.ltr.xz)"

SPECIAL = 1 << 31
"""From this value on, an ``ev`` stands for a special record."""

DTYPES = {
    "acc_kind": "|u1", "acc_mode": "|u1", "acc_vpn": "<u8", "acc_ppn": "<u4",
    "ev": "<u4",
    "sp_kind": "|u1", "sp_fl": "|u1", "sp_x": "<u2", "sp_ppn": "<u4", "sp_val": "<u8",
    "skipped": "|u1", "skipped_big_at": "<u4", "skipped_big": "<u8",
}
"""The arrays of a file and their types."""


class AccessMode:
    """Bits of ``acc_mode``, and of ``sp_fl`` of a fault, whose kind of access is above them."""

    USER = 1 << 0
    SMAP = 1 << 1
    """SMAP applies: CR4.SMAP is set, and EFLAGS.AC does not switch it off."""
    IMPLICIT = 0xE
    """All of the mode of an implicit supervisor access at CPL 3, as to the IDT."""
    ALL = 0xF
    KIND_SHIFT = 4


class RecordKind(enum.IntEnum):
    """The kinds of special records. What is written is in ``sp_val`` unless told otherwise."""

    PTSET = 3
    """An entry that was there before becomes part of page tables: address and value as PTST."""
    PTST = 4
    """Software stores into page tables, at ``sp_ppn`` and offset ``sp_x``, rounded down to an
    entry, whose whole value after it is ``sp_val``."""
    AD = 5
    """The emulator sets accessed or dirty flags: address and entry after it as PTST."""
    CR0 = 6
    CR3 = 7
    """As written: bit 63 asks to keep what is cached."""
    CR4 = 8
    EFER = 9
    PKRU = 10
    INVLPG = 11
    """``sp_val`` is the address."""
    INVPCID = 12
    """``sp_x`` is the type, ``sp_ppn`` the PCID, ``sp_val`` the address."""
    FAULT = 13
    """An access ends in a fault: ``sp_val`` is the linear address, ``sp_ppn`` the error code,
    ``sp_x`` the vector, ``sp_fl`` the mode and, above it, the kind of access."""
    MARK = 14
    """The first record: ``sp_ppn`` is MAXPHYADDR, ``sp_val`` the bytes of RAM."""
    END = 15
    """The last record: ``sp_val`` counts the accesses, those left out included."""


STORES = (RecordKind.PTSET, RecordKind.PTST)
"""The kinds of records that write an entry of page tables for the kernel."""


@dataclass(frozen=True)
class BootLog:
    """A recorded boot: the arrays of its file, which ``log_checks.check`` has found sound.

    A special record has two positions: among the special ones, and among all, ``at``.
    """

    fields: Arrays

    @classmethod
    def load(cls, path: str | Path) -> "BootLog":
        """Return the recorded boot in the file ``path``; only its form is checked.

        Raise ``InputError``.
        """
        return cls(read_arrays(path, "ltr1", DTYPES, NOUN))

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self["ev"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the array ``name``."""
        return self.fields[name]

    @cached_property
    def at(self) -> NDArray[np.int64]:
        """The positions of the special records among all (S,)."""
        return np.flatnonzero(self["ev"] >= SPECIAL)

    def of_kind(self, *kinds: RecordKind) -> NDArray[np.int64]:
        """Return the positions of the special records of ``kinds`` among the special ones."""
        return np.flatnonzero(np.isin(self["sp_kind"], kinds))

    def values(self, kind: RecordKind) -> NDArray[np.uint64]:
        """Return ``sp_val`` of each special record of one kind, in order."""
        values: NDArray[np.uint64] = self["sp_val"][self.of_kind(kind)]
        return values

    @cached_property
    def translations(self) -> int:
        """The number of accesses and faults."""
        return len(self) - len(self.at) + len(self.of_kind(RecordKind.FAULT))

    @property
    def mode(self) -> PagingMode:
        """The paging mode, as the first values of the registers select it; no file has PAE paging.
        """
        cr4, efer = (int(self.values(kind)[0]) for kind in (RecordKind.CR4, RecordKind.EFER))
        return selected_mode(cr4, efer) or IA32

    @property
    def paddr_bits(self) -> int:
        """MAXPHYADDR of the recorded machine."""
        return int(self["sp_ppn"][0])

    @property
    def ram_bytes(self) -> int:
        """Bytes of RAM of the recorded machine; all entries lie below."""
        return int(self["sp_val"][0])

    def entry_address(self, special: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the physical address of the entry in special records that write one."""
        offset = self["sp_x"][special] & np.uint16(-self.mode.entry_bytes & 0xFFFF)
        address: NDArray[np.uint64] = (
            self["sp_ppn"][special].astype(np.uint64) << np.uint64(PAGE_SHIFT) | offset)
        return address

    def prefix(self, translations: int) -> "BootLog":
        """Return the log up to and with the record of the translation of that number, from 1.

        It has no record ``END``, and as many distinct accesses as before.
        """
        faults = np.zeros(len(self), bool)
        faults[self.at] = self["sp_kind"] == RecordKind.FAULT
        done = np.cumsum((self["ev"] < SPECIAL) | faults)
        return self.first(int(np.searchsorted(done, translations)) + 1)

    def first(self, records: int) -> "BootLog":
        """Return the log of the first ``records`` records, with all the distinct accesses."""
        specials = int(np.searchsorted(self.at, records))
        big = int(np.searchsorted(self["skipped_big_at"], records))
        lengths = {"ev": records, "skipped": records, "skipped_big": big, "skipped_big_at": big}
        return BootLog({
            name: array[:lengths.get(name, specials if name.startswith("sp_") else len(array))]
            for name, array in self.fields.items()})
