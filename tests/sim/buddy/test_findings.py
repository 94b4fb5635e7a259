import json

import pytest

from pagewalk.sim.buddy.findings import BuddyResult
from pagewalk.sim.buddy.free_lists import read_free_lists
from pagewalk.sim.buddy.snapshot_machine import SnapshotMachine

from ..kernel_traces import free_list_arrays, write_free_lists

FREE = [(0, 0, 3, 1, 0, 1024), (0, 0, 3, 1, 1, 800), (0, 1, 10, 2, 0, 5120)]


@pytest.fixture
def result():
    return BuddyResult("buddy", 12, complete=True)


def test_nothing_found_is_agreement(result):
    assert result.agreed
    assert result.mismatches == 0


def test_every_mismatch_counts_and_the_first_are_kept(result):
    for place in range(25):
        result.note(f"line {place}", "pfn" if place % 2 else "free", place, None)
    assert not result.agreed
    assert result.mismatches == 25
    assert result.mismatches_by_field == {"pfn": 12, "free": 13}
    assert [mismatch.place for mismatch in result.first] == [f"line {n}" for n in range(10)]
    assert (result.first[3].expected, result.first[3].got) == ("0x3", "none")


def test_lists_are_compared_position_by_position(result):
    result.compare_list("list", "pcp_list", [1, 2, 3], [1, 3, 2, 4])
    assert [(one.place, one.expected, one.got) for one in result.first] == [
        ("list, position 1", "0x2", "0x3"), ("list, position 2", "0x3", "0x2"),
        ("list, position 3", "none", "0x4")]
    result.compare_list("list", "pcp_list", [], [])
    assert result.mismatches == 3


@pytest.mark.parametrize(("after", "types", "expected"), [
    (FREE, [], {}),
    ([FREE[0], (0, 0, 3, 1, 1, 808), FREE[2]], [], {"free_list": 1}),
    ([(0, 0, 3, 1, 0, 800), (0, 0, 3, 1, 1, 1024), FREE[2]], [], {"free_list": 2}),
    ([*FREE[:2], (0, 1, 10, 1, 0, 5120)], [], {"free_list": 2}),
    ([*FREE, (0, 1, 0, 1, 0, 5000)], [], {"free_list": 1}),
    (FREE[:2], [], {"free_list": 1}),
    (FREE, [(2, 0), (9, 2)], {"pageblock": 2}),
    (FREE, [(2, 1)], {}),  # without the skip bit
])
def test_zones_are_compared_with_the_lists_at_the_end(tmp_path, result, after, types, expected):
    arrays = free_list_arrays(FREE, after_free=after)
    for block, kind in types:
        arrays["after_pageblock"][block, 1] = kind
    lists = read_free_lists(write_free_lists(tmp_path / "x.npz", arrays))
    result.compare_zones(SnapshotMachine(lists).zones, lists.after)
    assert result.mismatches_by_field == expected


def test_figures_can_be_written_as_json(result):
    result.allocations, result.frees, result.seconds = 7, 5, 0.5
    result.note("line 1", "pfn", 1, 2)
    assert json.loads(json.dumps(result.as_json())) == {
        "level": "buddy", "total": 12, "mismatches": 1, "mismatches_by_field": {"pfn": 1},
        "allocations": 7, "frees": 5, "complete": True, "seconds": 0.5, "events_per_second": 24.0}
    result.seconds = 0.0
    assert result.as_json()["events_per_second"] == 0
