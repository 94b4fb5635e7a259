"""The batch walk against an x86 emulator: all access vectors at once, each on its own tables."""

import numpy as np
import pytest

from pagewalk.model.mmu.batch import Accesses, Controls, RowSource, walk_batch
from pagewalk.model.x86 import MODES, Vector

# See test_walk_vectors.py, which walks the same rows one by one.
MAXPHYADDR = 40

NO_VECTOR = 255
NO_PADDR = 2**64 - 1


@pytest.fixture(scope="module", params=MODES)
def vectors(request, vectors_file):
    """A mode and its rows, as arrays."""
    with np.load(vectors_file(request.param)) as arrays:
        return MODES[request.param], dict(arrays)


def answers(mode, rows):
    """Walk the accesses of ``rows``; return what the emulator is said to have answered."""
    levels = len(mode.levels)
    source = RowSource(mode, rows["entry_pa"][:, :levels], rows["before"][:, :levels])
    registers = {name: rows[name] for name in ("cr0", "cr4", "efer", "pkru")}
    control = Controls(cr3=rows["entry_pa"][:, 0], **registers)
    accesses = Accesses(rows["va"], rows["kind"], user=rows["cpl"] == 3, ac=rows["ac"])
    walks = walk_batch(source, mode, control, accesses, MAXPHYADDR)
    after = rows["before"].copy()
    after[:, :levels] = source.entries
    return {
        "fault": walks.fault,
        "vector": np.where(walks.fault, walks.vector, NO_VECTOR),
        "error": walks.error,
        "cr2": np.where(walks.vector == Vector.PF, walks.vaddr, 0),
        "pa": np.where(walks.fault, np.uint64(NO_PADDR), walks.paddr),
        "after": after,
    }


@pytest.mark.parametrize("field", ["fault", "vector", "error", "cr2", "pa", "after"])
def test_every_row_is_answered_as_by_the_emulator(vectors, field):
    mode, rows = vectors
    wrong = np.argwhere(answers(mode, rows)[field] != rows[field])
    assert wrong.tolist() == []
