"""Instruction records of the simulator ChampSim, of 64 bytes, or of 96 with an address space.

A record is an instruction: its address, and the addresses of what it stores and loads, 0 for none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_BYTES, AccessKind
from .binary_records import binary_records
from .page_runs import AccessBlock
from .trace_error import FORMATS, TraceError

__all__ = ["RECORD_64", "RECORD_96", "champsim_blocks", "champsim_format"]

RECORD_64 = np.dtype([
    ("ip", "<u8"), ("is_branch", "u1"), ("taken", "u1"),
    ("to_register", "u1", 2), ("from_register", "u1", 4), ("stores", "<u8", 2),
    ("loads", "<u8", 4)])
"""A record; the arrays that are addresses of memory are 0 where there is none. [trace_instr_format,
inc/trace_instruction.h]"""

RECORD_96 = np.dtype([
    ("ip", "<u8"), ("is_branch", "u1"), ("taken", "u1"),
    ("to_register", "u1", 4), ("from_register", "u1", 4), ("gap", "u1", 6), ("stores", "<u8", 4),
    ("loads", "<u8", 4), ("asid", "u1", 2), ("rest", "u1", 6)])
"""A record of the variant with more of all, and the address space. [cloudsuite_instr]"""


def champsim_format(start: bytes) -> str | None:
    """Return which of the two formats the first bytes of a file are of, None if neither.

    No magic tells. All that must be 0 or 1 has to be, addresses have to repeat their highest bit;
    and if it could be both, instructions are nearer to each other in what it is.
    """
    best, most = None, -1.0
    for name, record in (("champsim", RECORD_64), ("champsim96", RECORD_96)):
        found = np.frombuffer(start, record, len(start) // record.itemsize)
        if not len(found) or _unknown(found).any() or not found["ip"].all() or not all(
                _canonical(found[field]).all() for field in ("ip", "loads", "stores")) or (
                name == "champsim96" and (found["gap"].any() or found["rest"].any())):
            continue
        steps = np.abs(np.diff(found["ip"].astype(np.int64)))
        near = np.count_nonzero(steps < PAGE_BYTES << 4) / max(len(steps), 1)
        near += len(start) % record.itemsize == 0  # more than a few records are never cut there
        if near > most:
            best, most = name, near
    return best


def _canonical(address: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return whether addresses are of 57 bits, the most that paging translates. [SDM 3.3.7.1]"""
    top = address.astype(np.int64) >> 56
    canonical: NDArray[np.bool_] = (top == 0) | (top == -1)
    return canonical


def champsim_blocks(path: str | Path, stream: BinaryIO, name: str) -> Iterator[AccessBlock]:
    """Yield the accesses: of each instruction its fetch, its loads, its stores.

    ``name`` is the format, ``champsim`` or ``champsim96``. Raise ``TraceError`` for a record that
    is none, or is cut.
    """
    record = RECORD_64 if name == "champsim" else RECORD_96
    for records, first in binary_records(path, stream, record, FORMATS[name]):
        unknown = _unknown(records)
        if unknown.any():
            at = int(np.argmax(unknown))
            raise TraceError(path, f"record {first + at} has {records['is_branch'][at]} for "
                             f"is_branch and {records['taken'][at]} for taken",
                             f"0 or 1, as {FORMATS[name]} have")
        yield _accesses(records)


def _unknown(records: NDArray[np.void]) -> NDArray[np.bool_]:
    unknown: NDArray[np.bool_] = (records["is_branch"] > 1) | (records["taken"] > 1)
    return unknown


def _accesses(records: NDArray[np.void]) -> AccessBlock:
    loads, stores = records["loads"], records["stores"]
    vaddr = np.concatenate((records["ip"][:, None], loads, stores), axis=1)
    kinds = np.array([AccessKind.FETCH] + [AccessKind.READ] * loads.shape[1]
                     + [AccessKind.WRITE] * stores.shape[1], np.uint8)
    there = vaddr != 0
    there[:, 0] = True
    space = None
    if "asid" in (records.dtype.names or ()):
        asid = records["asid"].astype(np.int64)
        per_record = asid[:, 0] | asid[:, 1] << 8
        if per_record.any():
            space = np.broadcast_to(per_record[:, None], vaddr.shape)[there]
    return AccessBlock(vaddr[there], np.broadcast_to(kinds, vaddr.shape)[there], space=space,
                       instructions=len(records))
