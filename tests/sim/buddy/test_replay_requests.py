import pytest

from pagewalk.model.physical.pcp import PerCpuPages
from pagewalk.sim.buddy import snapshot_machine
from pagewalk.sim.buddy.free_lists import read_free_lists
from pagewalk.sim.buddy.ftrace import Event, Kind
from pagewalk.sim.buddy.replay_requests import RecordingBuddy, replay_requests

from ..kernel_traces import BOOTS, HIGH_FRACTION, free_list_arrays, recorded, write_free_lists

MOVABLE = 1
COUNTS = {"amd64-D": (19048, 17676), "i686-A": (9075, 8042)}  # mm_page_alloc, mm_page_free


def replayed(boot, **options):
    return replay_requests(*recorded(boot), high_fraction=HIGH_FRACTION[boot], **options)


@pytest.mark.slow
@pytest.mark.parametrize("boot", BOOTS)
def test_requests_alone_lead_to_the_kernels_pages_moves_and_lists(boot):
    result = replayed(boot)
    assert (result.allocations, result.frees) == COUNTS[boot]
    assert result.total == sum(COUNTS[boot])
    assert (result.mismatches_by_field, result.first) == ({}, [])
    assert result.complete


class NeverTail(RecordingBuddy):
    """Every freed block goes to the head."""

    def buddy_merge_likely(self, _index, _order):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("boot", BOOTS)
def test_a_wrong_rule_of_the_buddy_allocator_is_found(boot):
    assert not replayed(boot, buddy=NeverTail).agreed


class FirstIn(PerCpuPages):
    """Pages are handed out in the order in which they were freed."""

    def free(self, pfn, order):
        super().free(pfn, order)
        for blocks in self.lists:
            if blocks and blocks[0] == pfn:
                blocks.rotate(-1)


class NoRow(PerCpuPages):
    """As much is given back the second time in a row as the first."""

    def _nr_free(self, high):
        self.free_factor = 0
        return super()._nr_free(high)


class NoHalving(PerCpuPages):
    """An allocation does not end the row of frees."""

    def alloc(self, order, migratetype, alloc_flags=0):
        self.free_factor <<= 1
        return super().alloc(order, migratetype, alloc_flags)


class SmallBatch(PerCpuPages):
    """A batch is one block less."""

    def __init__(self, buddy, *, batch, high):
        super().__init__(buddy, batch=batch - 1, high=high)


class HeadFirst(PerCpuPages):
    """What was freed last is given back first."""

    def free_bulk(self, count, pindex=0):
        for blocks in self.lists:
            blocks.reverse()
        freed = super().free_bulk(count, pindex)
        for blocks in self.lists:
            blocks.reverse()
        return freed


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "boots"), [
    (FirstIn, BOOTS), (SmallBatch, BOOTS), (HeadFirst, BOOTS),
    (NoRow, ["amd64-D"]), (NoHalving, ["amd64-D"]),  # in i686-A nothing is freed twice in a row
])
def test_a_wrong_rule_of_the_per_cpu_lists_is_found(broken, boots, monkeypatch):
    monkeypatch.setattr(snapshot_machine, "PerCpuPages", broken)
    for boot in boots:
        result = replayed(boot)
        assert not result.agreed
        assert not result.complete


@pytest.mark.slow
def test_the_replay_stops_where_model_and_kernel_part():
    events, lists = recorded("amd64-D")
    result = replay_requests(events, lists)  # as if vm.percpu_pagelist_high_fraction were not set
    assert result.mismatches_by_field == {"drain": 1}
    assert result.allocations + result.frees < result.total / 100
    assert not result.complete
    assert result.first[0].place.startswith("line ")
    assert result.first[0].expected.endswith(", order 0, MOVABLE")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "field"), [
    (Kind.ALLOC, "pfn"), (Kind.ALLOC_ZONE_LOCKED, "refill"), (Kind.PCPU_DRAIN, "drain")])
def test_one_wrong_event_is_found(kind, field):
    events, lists = recorded("amd64-D")
    place = [place for place, event in enumerate(events) if event.kind is kind][500]
    events[place] = events[place]._replace(pfn=events[place].pfn ^ 64)
    result = replay_requests(events, lists, high_fraction=2000)
    assert result.first[0].field == field
    assert result.mismatches == 1 or kind is Kind.ALLOC


def test_per_cpu_lists_at_the_end_are_compared():
    events, lists = recorded("i686-A")
    pages = lists.after.pcp[1, MOVABLE]
    pages[3], pages[4] = pages[4], pages[3]
    result = replay_requests(events, lists)
    assert result.mismatches_by_field == {"pcp_list": 2}
    assert result.first[0].place == "per-CPU list 1 of zone Normal, position 3"


def test_with_a_limit_the_lists_at_the_end_are_not_compared():
    events, lists = recorded("i686-A")
    lists.after.pcp.clear()
    result = replay_requests(events, lists, 1000)
    assert (result.total, result.allocations + result.frees, result.complete) == (1000, 1000, False)
    assert result.agreed


# Requests made up: one zone has a free block of 1024 pages, and batches of 1


@pytest.fixture
def replay_made_up(tmp_path):
    """Replay events (kind, page, order, migrate type); what is on lists after is not looked at."""

    def replay(*events, pcp=((0, 1, 1, 0, 5000), (0, 1, 1, 1, 5002), (0, 1, 0, 0, 5004))):
        arrays = free_list_arrays([(0, 1, 10, 1, 0, 6144)], pcp)
        lists = read_free_lists(write_free_lists(tmp_path / "x.npz", arrays))
        return replay_requests([Event(line, *event) for line, event in enumerate(events)], lists)

    return replay


def fields(result):
    """Return what was found on the way, that is, but for the lists at the end."""
    return [mismatch.field for mismatch in result.first
            if mismatch.field not in ("pcp_list", "free_list")]


ALLOC, FREE = Kind.ALLOC, Kind.FREE
BATCHED, DRAIN, LOCKED = Kind.FREE_BATCHED, Kind.PCPU_DRAIN, Kind.ALLOC_ZONE_LOCKED


def test_a_list_is_used_up_before_a_batch_is_taken(replay_made_up):
    assert not fields(replay_made_up(
        (ALLOC, 5000, 0, 1), (ALLOC, 5002, 0, 1), (LOCKED, 6144, 0, 1), (ALLOC, 6144, 0, 1)))
    assert fields(replay_made_up((LOCKED, 6144, 0, 1), (ALLOC, 5000, 0, 1))) == ["refill"]
    assert fields(replay_made_up((ALLOC, 5002, 0, 1))) == ["pfn"]


def test_pages_freed_in_a_batch_are_freed_where_the_batch_is(replay_made_up):
    """5001 and 5003 are prepared, and 5001 first: but 5003 is the first that is freed."""
    assert not fields(replay_made_up(
        (FREE, 5001, 0), (FREE, 5003, 0), (BATCHED, 5003, 0), (BATCHED, 5001, 0),
        (ALLOC, 5001, 0, 1), (ALLOC, 5003, 0, 1)))


def test_a_page_may_be_freed_alone_and_later_in_a_batch(replay_made_up):
    assert not fields(replay_made_up(
        (FREE, 5001, 0), (ALLOC, 5001, 0, 1), (FREE, 5001, 0), (BATCHED, 5001, 0),
        (ALLOC, 5001, 0, 1)))


def test_drains_that_no_free_explains_are_the_kernels_own(replay_made_up):
    drains = (DRAIN, 5004, 0, 0), (DRAIN, 5002, 0, 1)
    assert not fields(replay_made_up(
        (FREE, 5008, 0), *drains, (ALLOC, 5008, 0, 1), (ALLOC, 5000, 0, 1),
        (LOCKED, 5002, 0, 1), (ALLOC, 5002, 0, 1)))
    assert not fields(replay_made_up((ALLOC, 5000, 0, 1), drains[0]))
    assert fields(replay_made_up((ALLOC, 5000, 0, 1), drains[1])) == ["drain"]


def test_large_blocks_go_past_the_lists(replay_made_up):
    assert not fields(replay_made_up(
        (LOCKED, 6144, 5, 1), (ALLOC, 6144, 5, 1), (LOCKED, 6176, 4, 1), (ALLOC, 6176, 4, 1),
        (FREE, 6144, 5), (LOCKED, 6144, 5, 1), (ALLOC, 6144, 5, 1)))


def test_a_free_page_that_is_freed_is_a_mismatch(replay_made_up):
    for pfn in (6150, 5000):
        assert fields(replay_made_up((FREE, pfn, 0))) == ["free"]
