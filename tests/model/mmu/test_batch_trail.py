"""The order of rows, and of levels: who meets which accessed and dirty flags. [SDM 4.8]"""

import numpy as np
import pytest

from pagewalk.model.mmu.batch import Accesses, FrameSource, walk_batch
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import MODES, AccessKind, Entry

from ...hdl.tables import Tables

READ, WRITE, _ = AccessKind
A, D = Entry.A, Entry.D
P_RW_US = Entry.P | Entry.RW | Entry.US

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@pytest.fixture(params=MODES.values(), ids=MODES)
def mapped(request):
    """Tables that map one page, with no flag set yet."""
    tables = Tables(request.param)
    tables.map(0x12_3000, 0x5000, P_RW_US, upper=P_RW_US)
    return tables


def steps_of(tables, accesses):
    source = FrameSource(tables.memory, tables.mode)
    control = Control(tables.cr3)
    return walk_batch(source, tables.mode, control, accesses, steps=True).steps


def test_a_row_meets_the_flags_that_the_rows_before_it_set(mapped):
    kinds = [READ, WRITE, READ, WRITE]
    steps = steps_of(mapped, Accesses(np.full(4, 0x12_3ABC, np.uint64), kinds))
    leaf = 0x5000 | P_RW_US
    assert steps.entry[:, len(mapped.mode.levels) - 1].tolist() == [
        leaf, leaf | A, leaf | A | D, leaf | A | D]
    assert steps.updated[:, len(mapped.mode.levels) - 1].tolist() == [
        leaf | A, leaf | A | D, leaf | A | D, leaf | A | D]
    assert (steps.entry[:, 0] & A).tolist() == [0, A, A, A]
    assert (steps.count == len(mapped.mode.levels)).all()


def test_a_dirty_flag_is_met_only_by_the_rows_after_the_write(mapped):
    steps = steps_of(mapped, Accesses(np.full(3, 0x12_3ABC, np.uint64), [READ, READ, WRITE]))
    assert (steps.updated[:, len(mapped.mode.levels) - 1] & D).tolist() == [0, 0, D]


@every_mode
def test_a_walk_meets_the_flag_that_it_set_further_up_in_a_table_of_itself(mode):
    """The recursive mapping: every level reads the same entry of the root."""
    tables = Tables(mode)
    tables.write(tables.cr3, tables.cr3 | P_RW_US)
    entry = tables.cr3 | P_RW_US
    steps = steps_of(tables, Accesses(np.array([0x8, 0x10], np.uint64), WRITE))
    levels = len(mode.levels)
    assert steps.entry.tolist() == [[entry] + [entry | A] * (levels - 1),
                                    [entry | A | D] * levels]
    assert steps.updated.tolist() == [[entry | A] * (levels - 1) + [entry | A | D],
                                      [entry | A | D] * levels]
    assert tables.read(tables.cr3) == entry | A | D
    assert (steps.paddr == tables.cr3).all()


