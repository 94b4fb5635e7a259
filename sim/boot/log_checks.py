"""What the values of a recorded boot must be, so that a replay meets nothing that it cannot do."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import (
    PAGE_BYTES,
    PAGE_SHIFT,
    AccessKind,
    Cr3,
    InvalidateOp,
    Vector,
    selected_mode,
)
from ..errors import InputError
from ..registers import misfit
from .log import SPECIAL, STORES, AccessMode, BootLog, RecordKind

__all__ = ["load_log"]

MOST_TABLE_BYTES = 512 << 20
"""What the page tables of a recording may take in memory."""

MOST_ROWS = {"sp_kind": 1 << 22, "acc_kind": 1 << 22}
"""How many special records and distinct accesses there may be: for each a replay takes some hundred
bytes of memory."""

PADDR_BITS = range(32, 53)
REGISTERS = {"cr0": RecordKind.CR0, "cr4": RecordKind.CR4, "efer": RecordKind.EFER}
BIG = 255  # in `skipped`: the number stands elsewhere

Rule = tuple[str, NDArray[np.bool_], str]
"""The name of an array, for each of its values whether it is wrong, and what was expected."""


def load_log(path: str | Path) -> BootLog:
    """Return the recorded boot in the file ``path``, all of it checked; raise ``InputError``."""
    log = BootLog.load(path)
    for problem in _problems(log):
        raise InputError(f"{path}: {problem}")
    return log


def _problems(log: BootLog) -> Iterator[str]:
    """Yield what is wrong; each check relies on those before it, as only the first one counts."""
    yield from _unequal(log)
    yield from _misnamed(log)
    for rules in (_kind_rules, _skip_rules):
        yield from _broken(log, rules(log))
    yield from _unset(log)
    yield from _unknown_paging(log)
    for rules in (_access_rules, _fault_rules, _entry_rules, _operand_rules):
        yield from _broken(log, rules(log))
    yield from _too_large(log)


def _unequal(log: BootLog) -> Iterator[str]:
    """Yield which arrays are not as long as the others of their group, and which are empty."""
    leaders = {"acc": "acc_kind", "sp": "sp_kind", "ev": "ev", "skipped": "ev"}
    for name, array in log.fields.items():
        leader = "skipped_big_at" if name.startswith("skipped_big") else leaders[name.split("_")[0]]
        if len(array) != len(log[leader]):
            yield (f"{name} has {len(array)} values; expected {len(log[leader])}, "
                   f"as many as {leader}")
    for name in ("ev", "sp_kind"):
        if not len(log[name]):
            yield f"{name} is empty; expected at least one record"
    for name, most in MOST_ROWS.items():
        if (count := len(log[name])) > most:
            yield f"{name} has {count} values; expected at most {most}"


def _misnamed(log: BootLog) -> Iterator[str]:
    """Yield which records ``ev`` names out of order, and which do not exist."""
    named = log["ev"][log.at] - np.uint32(SPECIAL)
    for place in np.flatnonzero(named != np.arange(len(named)))[:1].tolist():
        yield (f"ev holds {int(log['ev'][log.at[place]]):#x} for record {log.at[place]}; expected "
               f"{SPECIAL + place:#x}, as special records come once each, in order")
    if len(named) != len(log["sp_kind"]):
        yield f"ev names {len(named)} special records; expected all {len(log['sp_kind'])}"
    count = len(log["acc_kind"])
    unknown = (log["ev"] >= count) & (log["ev"] < SPECIAL)
    yield from _broken(log, [("ev", unknown, f"one of the {count} accesses")])


def _broken(log: BootLog, rules: Iterator[Rule] | list[Rule]) -> Iterator[str]:
    """Yield the first value that breaks each rule."""
    for name, wrong, expected in rules:
        for index in np.flatnonzero(wrong)[:1].tolist():
            yield (f"{name} holds {int(log[name][index]):#x} for {_place(log, name, index)}; "
                   f"expected {expected}")


def _place(log: BootLog, name: str, index: int) -> str:
    """Return what the value at ``index`` of the array ``name`` belongs to, in words."""
    if name.startswith("sp_"):
        return f"record {log.at[index]}, of kind {log['sp_kind'][index]}"
    if name.startswith("acc_"):
        return f"access {index}"
    return f"value {index}" if name == "skipped_big_at" else f"record {index}"


def _kind_rules(log: BootLog) -> Iterator[Rule]:
    """Yield the rules of the kinds of records, and of the first and the last of them."""
    kind, number = log["sp_kind"], np.arange(len(log["sp_kind"]))
    known = ", ".join(f"{one:d}" for one in RecordKind)
    yield "sp_kind", ~np.isin(kind, [*RecordKind]), f"one of {known}"
    first, last = number == 0, number == len(kind) - 1
    ends = (log.at == 0, log.at == len(log) - 1)
    for one, here, end, which in zip(
            (RecordKind.MARK, RecordKind.END), (first, last), ends, ("first", "last"), strict=True):
        wrong = here & ((kind != one) | ~end) | ~here & (kind == one)
        yield "sp_kind", wrong, f"{one:d} for the {which} record, and only for it"
    yield "sp_ppn", first & ~np.isin(log["sp_ppn"], PADDR_BITS), "MAXPHYADDR, from 32 to 52"
    yield "sp_val", first & (log["sp_val"] >> np.uint64(52) != 0), "bytes of RAM, of 52 bits"


def _skip_rules(log: BootLog) -> Iterator[Rule]:
    """Yield the rules of the accesses that were left out."""
    at = log["skipped_big_at"]
    big = log["skipped"] == BIG
    yield "skipped_big_at", np.diff(at.astype(np.int64), prepend=-1) <= 0, "records in order"
    yield "skipped_big_at", at >= len(log), f"a record below {len(log)}"
    listed = np.zeros(len(log), bool)
    listed[at] = True
    yield "skipped", big != listed, f"{BIG} where skipped_big_at says so, and only there"
    left_out = int(log["skipped"][~big].sum(dtype=np.uint64))
    total = len(log) - len(log.at) + left_out + sum(log["skipped_big"].tolist())
    wrong = np.zeros(len(log["sp_kind"]), bool)
    wrong[-1] = int(log["sp_val"][-1]) != total
    yield "sp_val", wrong, f"{total:#x}, the accesses that are there or left out"


def _unset(log: BootLog) -> Iterator[str]:
    """Yield which register has no value when the first access or fault needs it."""
    faults = log.at[log.of_kind(RecordKind.FAULT)][:1].tolist()
    first = min([*np.flatnonzero(log["ev"] < SPECIAL)[:1].tolist(), *faults, len(log)])
    for name, kind in {**REGISTERS, "cr3": RecordKind.CR3}.items():
        if not len(given := log.at[log.of_kind(kind)]) or given[0] > first:
            yield (f"no record of kind {kind:d} gives {name.upper()} before record {first}; "
                   "expected one")


def _unknown_paging(log: BootLog) -> Iterator[str]:
    """Yield which paging mode a replay has nothing for, and where the mode would change."""
    cr4, efer = int(log.values(RecordKind.CR4)[0]), int(log.values(RecordKind.EFER)[0])
    if selected_mode(cr4, efer) is None:
        yield ("was recorded under PAE paging (CR4.PAE is set, EFER.LMA is clear); expected "
               "32-bit, 4-level or 5-level paging")
    values = {name: log.values(kind) for name, kind in REGISTERS.items()}
    if wrong := misfit(log.mode, values):
        name, number, bits = wrong
        record = log.at[log.of_kind(REGISTERS[name])[number]]
        yield (f"sp_val holds {int(values[name][number]):#x} for record {record}, of kind "
               f"{REGISTERS[name]:d}; expected {bits}")


def _access_rules(log: BootLog) -> Iterator[Rule]:
    """Yield the rules of the distinct accesses."""
    vpn_bits, pfn_bits = log.mode.vaddr_bits - PAGE_SHIFT, log.paddr_bits - PAGE_SHIFT
    yield "acc_kind", ~np.isin(log["acc_kind"], [*AccessKind]), "0, 1 or 2"
    yield "acc_mode", log["acc_mode"] > AccessMode.ALL, "a mode of 4 bits"
    yield "acc_vpn", _too_wide(log["acc_vpn"], vpn_bits), f"a page number of {vpn_bits} bits"
    yield "acc_ppn", _too_wide(log["acc_ppn"], pfn_bits), f"a page number of {pfn_bits} bits"


def _fault_rules(log: BootLog) -> Iterator[Rule]:
    """Yield the rules of faults."""
    fault = log["sp_kind"] == RecordKind.FAULT
    kinds = log["sp_fl"] >> AccessMode.KIND_SHIFT
    yield "sp_fl", fault & ~np.isin(kinds, [*AccessKind]), "0, 1 or 2 above the mode of 4 bits"
    vectors = (Vector.GP, Vector.PF)
    yield "sp_x", fault & ~np.isin(log["sp_x"], vectors), "the vector of #GP or #PF"
    yield "sp_ppn", fault & (log["sp_ppn"] > 0xFFFF), "an error code of 16 bits"
    yield "sp_val", fault & _too_wide(log["sp_val"], log.mode.vaddr_bits), "a linear address"


def _entry_rules(log: BootLog) -> Iterator[Rule]:
    """Yield the rules of records that write an entry."""
    writes = np.isin(log["sp_kind"], (*STORES, RecordKind.AD))
    frames = -(-log.ram_bytes // PAGE_BYTES)
    yield "sp_x", writes & (log["sp_x"] >= PAGE_BYTES), "an offset into a page"
    yield "sp_ppn", writes & (log["sp_ppn"] >= frames), f"a page of RAM, below {frames:#x}"
    wide = _too_wide(log["sp_val"], 8 * log.mode.entry_bytes)
    yield "sp_val", writes & wide, f"an entry of {log.mode.entry_bytes} bytes"


def _operand_rules(log: BootLog) -> Iterator[Rule]:
    """Yield the rules of register values and of invalidations."""
    kind, value = log["sp_kind"], log["sp_val"]
    narrow = np.isin(kind, (RecordKind.CR0, RecordKind.CR4, RecordKind.EFER, RecordKind.PKRU))
    yield "sp_val", narrow & _too_wide(value, 32), "a register of 32 bits"
    root_bits = min(log.paddr_bits, 8 * log.mode.entry_bytes)
    roots = value & np.uint64(~Cr3.NO_FLUSH & (1 << 64) - 1)
    wide = (kind == RecordKind.CR3) & _too_wide(roots, root_bits)
    yield "sp_val", wide, f"a root of {root_bits} bits"
    invpcid = kind == RecordKind.INVPCID
    yield "sp_x", invpcid & (log["sp_x"] > InvalidateOp.INVPCID_ALL_NON_GLOBAL), "a type, 0 to 3"
    yield "sp_ppn", invpcid & (log["sp_ppn"] > Cr3.PCID), "a PCID of 12 bits"
    by_address = invpcid | (kind == RecordKind.INVLPG)
    yield "sp_val", by_address & _too_wide(value, log.mode.vaddr_bits), "a linear address"


def _too_wide(values: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.bool_]:
    """Return which values have more than ``bits`` bits."""
    if bits >= 8 * values.dtype.itemsize:
        return np.zeros(len(values), bool)
    wide: NDArray[np.bool_] = values >> values.dtype.type(bits) != 0
    return wide


def _too_large(log: BootLog) -> Iterator[str]:
    """Yield whether the page tables take too much memory, those of the emulator's flags, too."""
    frames = len(np.unique(log["sp_ppn"][log.of_kind(*STORES, RecordKind.AD)]))
    if frames * PAGE_BYTES > MOST_TABLE_BYTES:
        yield (f"sp_ppn names {frames} frames of page tables; expected at most "
               f"{MOST_TABLE_BYTES // PAGE_BYTES}")
