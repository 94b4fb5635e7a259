import numpy as np
import pytest

from pagewalk.model.x86 import IA32, X86_64, Entry
from pagewalk.sim.boot.log import RecordKind
from pagewalk.sim.boot.table_entries import TableEntries

from .log_maker import LogMaker

A, D, P = Entry.A, Entry.D, Entry.P
PAGE = 0x7000 | P | Entry.RW
SWAPPED = 0x7000 | A | D


@pytest.fixture(params=[X86_64, IA32], ids=lambda mode: mode.name)
def entries(request):
    """Entries of two frames, and the mode; the second record at an address has flags from walks."""
    maker = LogMaker(request.param)
    maker.store(0x5010, PAGE, RecordKind.PTSET)
    maker.store(0x2008, 3)
    maker.store(0x5010, PAGE | A, RecordKind.AD)
    maker.access(0, 0)
    maker.store(0x5010, PAGE | A | D, RecordKind.AD)
    maker.store(0x5012, SWAPPED)  # anywhere in the entry
    maker.store(0x2008, PAGE)
    maker.store(0x2008, PAGE | A, RecordKind.AD)
    maker.store(0x2000, 0)
    return TableEntries.of(maker.log()), request.param


def test_each_store_finds_what_was_there(entries):
    table, _ = entries
    rows = zip(table.record.tolist(), table.address.tolist(), table.stored.tolist(),
               table.recorded.tolist(), strict=True)
    assert table.stores == 5
    assert list(rows) == [
        (6, 0x5010, 0, 0), (7, 0x2008, 0, 0), (11, 0x5010, PAGE, PAGE | A | D), (12, 0x2008, 3, 3),
        (14, 0x2000, 0, 0),
        (16, 0x2000, 0, 0), (16, 0x2008, PAGE, PAGE | A), (16, 0x5010, SWAPPED, SWAPPED)]


def test_the_end_is_read_from_memory(entries):
    table, mode = entries
    memory = table.memory()
    assert memory.index()[0].tolist() == [2, 5]
    memory.write(0x5010, mode.entry_bytes, 0x77)
    memory.write(0x2008, mode.entry_bytes, 0x66)
    assert table.at_end(memory, mode).tolist() == [0, 0x66, 0x77]
    assert list(table.strays(memory, mode)) == []
    memory.write(0x5ff8, mode.entry_bytes, A)
    assert list(table.strays(memory, mode)) == [(0x5ff8, A)]


def test_the_recorded_memory_has_all_entries(entries):
    table, mode = entries
    memory = table.recorded_memory(mode)
    assert memory.read(0x2008, mode.entry_bytes) == PAGE | A
    assert memory.read(0x5010, mode.entry_bytes) == SWAPPED
    assert np.count_nonzero(memory.frames) == 2


@pytest.mark.parametrize(("stored", "recorded", "got", "walked", "kind"), [
    (PAGE, PAGE, PAGE, PAGE, None),
    (PAGE, PAGE | A, PAGE | A, PAGE, None),
    (PAGE, PAGE | A, PAGE, PAGE, None),  # a translation from before spared the walk
    (PAGE, PAGE | A, PAGE, None, "flags"),  # there can be none where every access walks
    (PAGE, PAGE, PAGE | A, PAGE | A, None),  # one that the recording processor had
    (PAGE, PAGE, PAGE | A, None, None),
    (PAGE, PAGE, PAGE | A | D, PAGE | A, "flags"),  # no access wrote
    (PAGE | A | D, PAGE | A | D, PAGE | A, PAGE | A | D, "flags"),  # lost
    (PAGE, PAGE, PAGE | Entry.G, PAGE, "tables"),
    (SWAPPED, SWAPPED, SWAPPED, SWAPPED, None),
    (SWAPPED, SWAPPED, 0x7000 | A, SWAPPED, "tables"),  # no flags where P is clear
    (0, 0, A, A, "tables"),
])
def test_what_an_entry_may_hold(stored, recorded, got, walked, kind):
    def words(value):
        return np.array([PAGE, value], np.uint64)

    table = TableEntries(np.zeros(2), words(0), words(stored), words(recorded), 2, 0)
    found = {difference.field: difference.rows.tolist() for difference in table.differences(
        words(got), None if walked is None else lambda: words(walked)) if len(difference.rows)}
    assert found == ({} if kind is None else {kind: [1]})


def test_walks_are_made_only_where_flags_are_too_many():
    table = TableEntries(np.zeros(1), *(np.array([PAGE], np.uint64) for _ in "123"), 1, 0)
    list(table.differences(np.array([PAGE], np.uint64), pytest.fail))
