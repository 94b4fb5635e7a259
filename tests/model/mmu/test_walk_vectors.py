"""The walk against an x86 emulator: one access per row, each through its own page tables."""

from pathlib import Path

import numpy as np
import pytest

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import MODES, AccessKind, Vector

# Recorded with Unicorn 2.1.4, at MAXPHYADDR 40; ``sim/vectors.py`` explains the arrays. Those that
# are kept are an evenly spread cut of the project's shared data (x86-vectors).
ROWS = 4000
MAXPHYADDR = 40

NO_VECTOR = 255
NO_PADDR = 2**64 - 1


def rows(path: Path) -> list[dict]:
    """Return the rows of a file of access vectors, as plain ints."""
    with np.load(path) as arrays:
        columns = {name: array.tolist() for name, array in arrays.items()}
    by_row = zip(*columns.values(), strict=True)
    return [dict(zip(columns, values, strict=True)) for values in by_row]


def answer(mode, row: dict) -> dict:
    """Walk the access of ``row``; return what the emulator is said to have answered."""
    size = mode.entry_bytes
    places = [paddr for paddr in row["entry_pa"] if paddr]  # levels not reached are 0, at the end
    memory = PhysicalMemory()
    memory.add(paddr >> 12 for paddr in places)
    for paddr, entry in zip(places, row["before"], strict=False):
        memory.write(paddr, size, entry)
    registers = {name: row[name] for name in ("cr0", "cr4", "efer", "pkru")}
    result = walk(
        memory,
        mode,
        Control(cr3=places[0] & ~0xFFF, **registers),
        Access(row["va"], AccessKind(row["kind"]), user=row["cpl"] == 3, ac=bool(row["ac"])),
        MAXPHYADDR,
    )
    after = [memory.read(paddr, size) for paddr in places]
    fault = result.fault
    return {
        "fault": int(fault is not None),
        "vector": fault.vector if fault else NO_VECTOR,
        "error": fault.error_code if fault else 0,
        "cr2": fault.vaddr if fault and fault.vector is Vector.PF else 0,
        "pa": NO_PADDR if fault else result.paddr,
        "after": after + row["before"][len(after) :],
    }


def mismatches(mode, row: dict) -> dict:
    """Return the fields in which model and emulator differ, as (model, emulator)."""
    found = answer(mode, row)
    return {name: (found[name], row[name]) for name in found if found[name] != row[name]}


@pytest.fixture(scope="module", params=MODES)
def vectors(request, vectors_file):
    """A mode and its rows."""
    return MODES[request.param], rows(vectors_file(request.param))


def test_every_row_is_answered_as_by_the_emulator(vectors):
    mode, accesses = vectors
    wrong = {i: bad for i, row in enumerate(accesses) if (bad := mismatches(mode, row))}
    assert wrong == {}


@pytest.mark.parametrize("field", ["fault", "vector", "error", "cr2", "pa", "after"])
def test_a_wrong_answer_is_noticed_in_each_field(vectors, field):
    mode, accesses = vectors
    for row in accesses[:20]:
        wrong = [entry ^ 0x20 for entry in row["after"]] if field == "after" else row[field] ^ 1
        assert list(mismatches(mode, row | {field: wrong})) == [field]


# Every error code that there is on real accesses: P, W/R, U/S, RSVD, I/D and PK, in hex.
ERROR_CODES = {
    "ia32": "00 01 02 03 04 05 06 07 09 0b 0d 0f 10 11 14 15 19 1d",
    "x86_64": "00 01 02 03 04 05 06 07 09 0b 0d 0f 10 11 14 15 19 1d 21 23 25 27",
    "la57": "00 01 02 03 04 05 06 07 09 0b 0d 0f 10 11 14 15 19 1d 21 23 25 27",
}
DEPTHS = {"ia32": {1, 2}, "x86_64": {2, 3, 4}, "la57": {3, 4, 5}}


def test_the_rows_hold_every_kind_of_outcome(vectors):
    mode, accesses = vectors
    assert len(accesses) == ROWS
    codes = sorted({row["error"] for row in accesses if row["vector"] == Vector.PF})
    assert codes == [int(code, 16) for code in ERROR_CODES[mode.name].split()]
    vectors_met = {row["vector"] for row in accesses}
    assert vectors_met == {NO_VECTOR, 14} | ({13} if mode.vaddr_bits == 64 else set())
    # Pages of each size: what a successful walk read last.
    depths = {sum(map(bool, row["entry_pa"])) for row in accesses if not row["fault"]}
    assert depths == DEPTHS[mode.name]
