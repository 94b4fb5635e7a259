"""What a batch of walks takes: fields of one value or one per row, and what it refuses."""

import numpy as np
import pytest

from pagewalk.model.mmu.batch import Accesses, FrameSource, walk_batch
from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import MODES, Entry, Vector

from ...hdl.tables import Tables

P_RW_US = Entry.P | Entry.RW | Entry.US

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@pytest.fixture(params=MODES.values(), ids=MODES)
def mapped(request):
    """Tables that map one page."""
    tables = Tables(request.param)
    tables.map(0x12_3000, 0x5000)
    return tables


def test_one_value_in_all_fields_is_one_row(mapped):
    source = FrameSource(mapped.memory, mapped.mode)
    walks = walk_batch(source, mapped.mode, Control(mapped.cr3), Accesses(0x12_3ABC))
    assert walks.paddr.tolist() == [0x5ABC]
    assert walks.fault.tolist() == [False]
    assert walks.steps is None


def test_no_rows_are_no_walks(mapped):
    source = FrameSource(mapped.memory, mapped.mode)
    walks = walk_batch(source, mapped.mode, Control(mapped.cr3),
                       Accesses(np.zeros(0, np.uint64)), steps=True)
    assert walks.paddr.shape == walks.fault.shape == walks.steps.count.shape == (0,)
    assert walks.steps.entry.shape == (0, len(mapped.mode.levels))


@every_mode
def test_a_memory_without_frames_is_a_machine_check(mode):
    walks = walk_batch(FrameSource(PhysicalMemory(), mode), mode, Control(0x1000),
                       Accesses(np.arange(5, dtype=np.uint64)))
    assert (walks.vector == Vector.MC).all()


@pytest.mark.parametrize(("fields", "message"), [
    ({"kind": 3}, r"^Access kind must be one of 0, 1, 2, not 3$"),
    ({"kind": [0, 1, -1]}, r"^Access kind must be one of 0, 1, 2, not -1$"),
    ({"purpose": [0, 4, 1]}, r"^Purpose must be one of 0, 1, 2, 3, not 4$"),
    ({"user": [0, 1]}, r"^Accesses and registers must be one value or 3 rows each, not \(2,\)$"),
    ({"ac": [[0, 1, 1]]},
     r"^Accesses and registers must be one value or 3 rows each, not \(1, 3\)$"),
], ids=["kind", "one kind", "purpose", "length", "dimensions"])
def test_fields_that_make_no_rows_are_refused(fields, message, mapped):
    source = FrameSource(mapped.memory, mapped.mode)
    accesses = Accesses(**{"vaddr": np.zeros(3, np.uint64), **fields})
    with pytest.raises(ValueError, match=message):
        walk_batch(source, mapped.mode, Control(mapped.cr3), accesses)


def test_addresses_may_lie_in_records(mapped):
    """As a field of a structured array, which is not contiguous."""
    records = np.zeros(3, [("odd", "u1"), ("vaddr", "<u8")])
    records["vaddr"] = 0x12_3ABC
    walks = walk_batch(FrameSource(mapped.memory, mapped.mode), mapped.mode,
                       Control(mapped.cr3), Accesses(records["vaddr"]))
    assert walks.paddr.tolist() == [0x5ABC] * 3
