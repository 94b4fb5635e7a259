import numpy as np
import pytest

from pagewalk.sim.buddy.free_lists import read_free_lists
from pagewalk.sim.errors import InputError

from ..kernel_traces import BOOTS, ZONES, free_list_arrays, free_lists_file, write_free_lists

FREE = [(0, 0, 3, 1, 0, 1024), (0, 0, 3, 1, 1, 800), (0, 1, 10, 2, 0, 5120)]
PCP = [(0, 1, 0, 0, 5000), (0, 1, 0, 1, 4999), (0, 0, 6, 0, 4)]


@pytest.fixture
def write(tmp_path):
    return lambda arrays: write_free_lists(tmp_path / "lists.npz", arrays)


def test_lists_are_read_in_order(write):
    lists = read_free_lists(write(free_list_arrays(FREE, PCP, types=[(0, 0), (3, 2)])))
    assert lists.before.free == {(0, 3, 1): [1024, 800], (1, 10, 2): [5120]}
    assert lists.before.pcp == {(1, 0): [5000, 4999], (0, 6): [4]}
    zone = lists.after.zones[1]
    assert (zone.node, zone.zone, zone.name, zone.start, zone.end) == (0, 1, "Normal", 4096, 8292)
    assert (zone.managed, zone.wmark_low) == (4196, 20)
    assert (lists.pageblock_order, lists.sparse) == (9, True)
    assert lists.before.pageblocks[0] == {512 * block: {0: 0, 3: 2}.get(block, 1)
                                          for block in range(8)}
    assert lists.after.pageblocks[1] == {512 * block: 1 for block in range(8, 17)}


def test_empty_lists_are_lists(write):
    lists = read_free_lists(write(free_list_arrays()))
    assert (lists.before.free, lists.after.pcp) == ({}, {})


def test_a_zone_that_spans_nothing_is_passed_over(write):
    empty = "(0, 2, 'Movable', 0, 0, 0, 0, 0, 0, 0, 0)"
    lists = read_free_lists(write(free_list_arrays(FREE, PCP, zones=[empty, *ZONES])))
    assert [zone.name for zone in lists.after.zones] == ["DMA", "Normal"]
    assert lists.before.free[1, 10, 2] == [5120]


def test_a_pageblock_of_two_zones_may_have_a_row_for_each(write):
    zones = [ZONES[0].replace("4095", "4195"), ZONES[1].replace("4096, 4196", "4196, 4096")]
    arrays = free_list_arrays(zones=zones, types=[(8, 0)])
    assert read_free_lists(write(arrays)).before.pageblocks[1][4096] == 0
    for when in ("before", "after"):
        rows = arrays[f"{when}_pageblock"]
        arrays[f"{when}_pageblock"] = np.insert(rows, 9, (4096, 2), axis=0)
    lists = read_free_lists(write(arrays))
    assert [blocks[4096] for blocks in lists.before.pageblocks] == [0, 2]
    assert not lists.sparse


def test_a_pageblock_without_memory_needs_no_row(write):
    arrays = free_list_arrays()
    for when in ("before", "after"):
        arrays[f"{when}_pageblock"] = np.delete(arrays[f"{when}_pageblock"], [3, 12], axis=0)
    lists = read_free_lists(write(arrays))
    assert 1536 not in lists.before.pageblocks[0]
    assert len(lists.before.pageblocks[0]) == 7


def changed(name, row, column, value):
    """Return a change of one number."""
    def change(arrays):
        arrays[name][row, column] = value
    return change


def replaced(name, value):
    """Return a change of a whole array."""
    return lambda arrays: arrays.__setitem__(name, value(arrays[name]))


@pytest.mark.parametrize(("change", "message"), [
    (lambda arrays: arrays.pop("after_pcp"), "after_pcp is missing; "),
    (replaced("before_free", lambda rows: rows.astype(float)), "before_free is float64; "),
    (replaced("before_free", lambda rows: rows[:, :5]), "before_free has shape (3, 5); expected "),
    (replaced("before_pageblock", lambda rows: rows[:0]), "before_pageblock is empty; "),
    (replaced("before_pageblock", lambda rows: rows[:1]),
     "before_pageblock has rows 0 pages apart; expected a power of 2 up to 1024"),
    (replaced("before_pageblock", lambda rows: rows * [3, 1]),
     "before_pageblock has rows 1536 pages apart; expected "),
    (replaced("before_pageblock", lambda rows: rows * [8, 1]),
     "before_pageblock has rows 4096 pages apart; expected "),
    (replaced("before_pageblock", lambda rows: rows + np.array([1, 0])),
     "before_pageblock has rows 512 pages apart; expected "),
    (changed("after_pageblock", 2, 1, 13), "after_pageblock: type is 5 at page 0x400; expected "),
    (changed("after_pageblock", 2, 1, 16), "after_pageblock: bits is 16; expected 0 to 15"),
    (changed("before_free", 0, 2, 11), "before_free: order is 11; expected 0 to 10"),
    (changed("before_free", 0, 3, 5), "before_free: migrate type is 5; expected 0 to 4"),
    (changed("before_free", 0, 3, -1), "before_free: migrate type is -1; expected 0 to 4"),
    (changed("before_free", 1, 4, 2), "before_free holds position 2 of a list; expected 1"),
    (changed("before_free", 0, 1, 7), "before_free names zone 7 of node 0; expected one of the "),
    (changed("after_free", 0, 5, 4096), "after_free holds page 0x1000; expected one of zone DMA, "),
    (changed("after_free", 0, 5, 1 << 40), "after_free: page is 1099511627776; expected 0 to "),
    (changed("before_pcp", 0, 2, 14), "before_pcp: list is 14; expected 0 to 13"),
    (changed("before_pcp", 1, 3, 0), "before_pcp holds position 0 of a list; expected 1"),
    (replaced("after_zone", lambda zones: zones[:1]), "after_free names zone 1 of node 0; "),
    (replaced("after_zone", lambda zones: [zones[0], ZONES[1].replace("4196, 4196", "4197, 4196")]),
     "after_zone has other zones than before_zone; expected the same"),
    (replaced("before_zone", lambda zones: [zones[0], "(1, 2"]), "before_zone holds '(1, 2'; "),
    (replaced("before_zone", lambda zones: [zones[0], "__import__('os')"]), "before_zone holds "),
    (replaced("before_zone", lambda zones: [zones[0], zones[1][:-1] + ", 5)"]),
     "before_zone holds "),
    (replaced("before_zone", lambda zones: [zones[0], zones[1].replace("'Normal'", "7")]),
     "before_zone holds "),
    (replaced("before_zone", lambda zones: [zones[0], zones[1].replace("4096, 4196", "4096, -1")]),
     "before_zone: zone Normal spans -1 pages from 4096; expected some below page 67108864"),
    (replaced("before_zone", lambda zones: [zones[0].replace("1, 4095", "1, 0")]),
     "before_zone has empty zones only; expected one that spans pages"),
    (replaced("before_zone", lambda zones: [zones[0], zones[1].replace("4096, 4196",
                                                                      "4096, 99999999")]),
     "before_zone: zone Normal spans 99999999 pages from 4096; expected "),
    (replaced("before_zone", lambda zones: [zones[0], zones[1].replace("4096, 4196",
                                                                      "4000, 4196")]),
     "before_zone: zones DMA and Normal overlap; expected zones apart from each other"),
    (replaced("before_zone", lambda _: np.arange(2)), "before_zone is int64; expected text"),
])
def test_what_is_no_file_of_free_lists_is_refused(write, change, message):
    arrays = free_list_arrays(FREE, PCP)
    change(arrays)
    path = write(arrays)
    with pytest.raises(InputError) as error:
        read_free_lists(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("boot", BOOTS)
def test_lists_of_real_kernels_are_read(boot):
    lists = read_free_lists(free_lists_file(boot))
    assert lists.pageblock_order == {"amd64-D": 9, "i686-A": 10}[boot]
    assert lists.sparse == (boot == "amd64-D")
    assert [zone.name for zone in lists.before.zones] == {
        "amd64-D": ["DMA", "DMA32", "DMA32"], "i686-A": ["DMA", "Normal", "HighMem"]}[boot]
    for snapshot in (lists.before, lists.after):
        assert sum(map(len, snapshot.free.values())) > 200
        assert sum(map(len, snapshot.pcp.values())) > 900
