"""Real kernels' events, and some made up by a model that is made to trace itself."""

from dataclasses import replace

import numpy as np
import pytest

from pagewalk.model.physical.buddy import Buddy
from pagewalk.model.physical.page import MAX_ORDER, MigrateType
from pagewalk.sim.buddy.free_lists import read_free_lists
from pagewalk.sim.buddy.ftrace import Event, Kind
from pagewalk.sim.buddy.replay_events import buddy_events, replay_events
from pagewalk.sim.buddy.snapshot_machine import SnapshotMachine
from pagewalk.sim.errors import InputError

from ..kernel_traces import BOOTS, free_list_arrays, recorded, write_free_lists

UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC = range(4)
COUNTS = {"amd64-D": (13340, 11958), "i686-A": (2759, 961)}  # alloc_zone_locked, pcpu_drain


@pytest.mark.slow
@pytest.mark.parametrize("boot", BOOTS)
def test_every_page_and_the_lists_at_the_end_are_the_kernels(boot):
    result = replay_events(*recorded(boot))
    assert (result.allocations, result.frees) == COUNTS[boot]
    assert result.total == sum(COUNTS[boot])
    assert result.complete
    assert (result.mismatches_by_field, result.first) == ({}, [])
    assert result.agreed


class NeverTail(Buddy):
    """Every freed block goes to the head."""

    def buddy_merge_likely(self, _index, _order):
        return False


class AlwaysTail(Buddy):
    """Every freed block goes to the tail."""

    def buddy_merge_likely(self, _index, _order):
        return True


class NoMerging(Buddy):
    """Blocks stay as they are."""

    def free_one_page(self, pfn, order, migratetype, **_):
        self._add(pfn - self._base, order, migratetype)
        self.free_pages += 1 << order

    def check(self):
        """There is much to find."""


class LastOfTheList(Buddy):
    """Blocks are taken from the tails."""

    def _add(self, index, order, migratetype, *, tail=False):
        super()._add(index, order, migratetype, tail=not tail)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [NeverTail, AlwaysTail, NoMerging, LastOfTheList])
@pytest.mark.parametrize("boot", BOOTS)
def test_a_wrong_rule_for_where_blocks_go_is_found(boot, broken):
    result = replay_events(*recorded(boot), buddy=broken)
    assert not result.agreed
    assert result.mismatches_by_field["free_list"]


@pytest.mark.parametrize("boot", BOOTS)
def test_one_wrong_page_is_one_mismatch_and_little_more(boot):
    """Two pages change places: the model is made to take the second, and then has the first."""
    events, lists = recorded(boot)
    places = [place for place, event in enumerate(events) if event.kind is Kind.ALLOC_ZONE_LOCKED]
    first, second = events[places[100]], events[places[101]]
    events[places[100]] = first._replace(pfn=second.pfn)
    events[places[101]] = second._replace(pfn=first.pfn)
    result = replay_events(events, lists)
    assert result.mismatches_by_field["pfn"] == 1
    assert result.mismatches < 10
    mismatch = result.first[0]
    assert (mismatch.place, mismatch.field) == (f"line {first.line}, order 0", "pfn")
    assert (mismatch.expected, mismatch.got) == (f"{second.pfn:#x}", f"{first.pfn:#x}")


@pytest.mark.parametrize("boot", BOOTS)
def test_a_list_at_the_end_that_differs_is_found(boot):
    events, lists = recorded(boot)
    key, pages = max(lists.after.free.items(), key=lambda item: len(item[1]))
    pages[0], pages[1] = pages[1], pages[0]
    lists.after.pageblocks[0][0] ^= 1
    result = replay_events(events, lists)
    assert result.mismatches_by_field == {"free_list": 2, "pageblock": 1}
    zone = lists.after.zones[key[0]].name
    assert f"zone {zone}, order {key[1]}, MOVABLE, position 0" in str(result.first)


def test_with_a_limit_the_lists_at_the_end_are_not_compared():
    events, lists = recorded("i686-A")
    lists.after.free.clear()
    result = replay_events(events, lists, 1000)
    assert (result.total, result.allocations + result.frees) == (1000, 1000)
    assert (result.complete, result.mismatches) == (False, 0)
    result = replay_events(events, lists, 3720)
    assert (result.complete, result.agreed) == (True, False)


def test_only_events_that_reach_the_buddy_allocator_are_replayed():
    frees = [Event(1, Kind.FREE, 0, order) for order in range(MAX_ORDER)]
    kept = [event.order for event in buddy_events(frees, 9)]
    assert kept == [4, 5, 6, 7, 8, 10]
    assert [event.order for event in buddy_events(frees, 10)] == [4, 5, 6, 7, 8, 9]
    others = [Event(1, kind, 0, 0) for kind in Kind]
    assert {event.kind for event in buddy_events(others, 9)} == {
        Kind.ALLOC_ZONE_LOCKED, Kind.PCPU_DRAIN, Kind.ALLOC_EXTFRAG}


def test_free_lists_of_another_machine_are_refused():
    events, _ = recorded("i686-A")
    with pytest.raises(InputError, match=r"amd64-D\.freelists\.npz: zone: none has page 0x"):
        replay_events(events, recorded("amd64-D")[1])


# A model that traces itself, for what no trace of ours has: fallbacks, frees of large blocks


class TracedBuddy(Buddy):
    """A buddy allocator that tells what it does as the kernel would."""

    events: list[Event]

    def _tell(self, kind, *fields):
        self.events.append(Event(len(self.events) + 1, kind, *fields))

    def rmqueue_smallest(self, order, migratetype):
        pfn = super().rmqueue_smallest(order, migratetype)
        if pfn is not None:
            self._tell(Kind.ALLOC_ZONE_LOCKED, pfn, order, migratetype)
        return pfn

    def rmqueue_fallback(self, order, start_type, alloc_flags=0, *, claim=None):
        found = super().rmqueue_fallback(order, start_type, alloc_flags, claim=claim)
        if found:
            self._tell(Kind.ALLOC_EXTFRAG, self.last_fallback.pfn, order, start_type,
                       self.last_fallback)
        return found

    def free(self, pfn, order):
        large = order in (4, 5, 6, 7, 8, 10)
        self._tell(Kind.FREE if large else Kind.PCPU_DRAIN, pfn, order,
                   -1 if large else self.pageblock_type(pfn))
        super().free(pfn, order)


def traced(tmp_path, seed, operations=4000):
    """Return the events of a random run through exhaustion, and the free lists around it."""
    generator = np.random.default_rng(seed)
    free = [(0, 0, 10, MOVABLE, 0, 1024), (0, 0, 10, MOVABLE, 1, 2048), (0, 0, 9, 2, 0, 512),
            (0, 1, 10, MOVABLE, 0, 4096), (0, 1, 10, MOVABLE, 1, 6144)]
    path = write_free_lists(tmp_path / "x.npz", free_list_arrays(free, types=[(0, 0), (1, 2)]))
    lists = read_free_lists(path)
    TracedBuddy.events = []
    machine, live = SnapshotMachine(lists, TracedBuddy), []
    machine.mem_map.flags[:] = generator.integers(0, 2, len(machine.mem_map))  # half on the LRU
    for _ in range(operations):
        zone = machine.zones[generator.integers(2)]
        if generator.random() < 0.6:
            order = min(int(generator.geometric(0.4)) - 1, 10)
            pfn = zone.rmqueue(order, int(generator.integers(3)))
            live += [] if pfn is None else [(zone, pfn, order)]
        elif live:
            zone, pfn, order = live.pop(generator.integers(len(live)))
            zone.free(pfn, order)
    after = {(number, order, int(kind)): zone.free_list(order, kind).tolist()
             for number, zone in enumerate(machine.zones) for order in range(MAX_ORDER)
             for kind in MigrateType if len(zone.free_list(order, kind))}
    pageblocks = [{pfn: zone.pageblock_type(pfn) for pfn in types}
                  for zone, types in zip(machine.zones, lists.before.pageblocks, strict=True)]
    after = replace(lists.after, free=after, pageblocks=pageblocks)
    return TracedBuddy.events, replace(lists, after=after)


@pytest.mark.parametrize("seed", range(5))
def test_fallbacks_and_large_frees_are_replayed(tmp_path, seed):
    events, lists = traced(tmp_path, seed)
    fallbacks = [event.fallback for event in events if event.fallback]
    assert len(fallbacks) > 20
    assert {fallback.change_ownership for fallback in fallbacks} == {False, True}
    assert any(event.kind is Kind.FREE for event in events)
    result = replay_events(events, lists)
    assert (result.mismatches_by_field, result.first) == ({}, [])


def test_whether_a_pageblock_is_taken_over_comes_from_the_event(tmp_path):
    """The replay knows no LRU; told otherwise, it differs in that pageblock alone."""
    events, lists = traced(tmp_path, 1)
    place = max(place for place, event in enumerate(events)
                if event.fallback and event.fallback.fallback_order < 9
                and event.fallback.change_ownership
                and lists.after.pageblocks[0].get(event.pfn & -512) == event.migratetype)
    event = events[place]
    events[place] = event._replace(fallback=replace(event.fallback, change_ownership=False))
    result = replay_events(events, lists)
    assert result.mismatches_by_field["pageblock"] == 1


@pytest.mark.parametrize("change", [
    {"pfn": 4100}, {"fallback_order": 1}, {"fallback_migratetype": 0}, {"alloc_order": 1}])
def test_another_fallback_is_a_mismatch(tmp_path, change):
    events, lists = traced(tmp_path, 2)
    place = next(place for place, event in enumerate(events) if event.fallback)
    fallback = replace(events[place].fallback, **change)
    assert fallback != events[place].fallback
    events[place] = events[place]._replace(fallback=fallback)
    assert replay_events(events, lists).mismatches_by_field["fallback"] == 1


def test_a_fallback_that_the_model_does_not_make_is_a_mismatch(tmp_path):
    events, lists = traced(tmp_path, 3)
    fallback = next(event for event in events if event.fallback)
    allocation = next(place for place, event in enumerate(events)
                      if event.kind is Kind.ALLOC_ZONE_LOCKED)
    same = events[allocation]
    events.insert(allocation, fallback._replace(order=same.order, migratetype=same.migratetype))
    result = replay_events(events, lists)
    assert result.first[0].field == "fallback"
    assert result.first[0].got == "none"


def test_a_fallback_that_the_kernel_does_not_make_is_a_mismatch(tmp_path):
    events, lists = traced(tmp_path, 4)
    del events[next(place for place, event in enumerate(events) if event.fallback)]
    result = replay_events(events, lists)
    assert (result.first[0].field, result.first[0].got) == ("pfn", "none")


def test_a_page_is_drained_as_the_type_that_it_was_given_when_it_was_freed(tmp_path):
    """Its pageblock may be of another type by then."""
    arrays = free_list_arrays(after_free=[(0, 0, 0, RECLAIMABLE, 0, 1030)])
    lists = read_free_lists(write_free_lists(tmp_path / "x.npz", arrays))
    assert lists.before.pageblocks[0][1024] == MOVABLE
    assert replay_events([Event(1, Kind.PCPU_DRAIN, 1030, 0, RECLAIMABLE)], lists).agreed


def test_a_free_page_that_is_freed_is_a_mismatch(tmp_path):
    events, lists = traced(tmp_path, 0)
    events.insert(0, Event(1, Kind.PCPU_DRAIN, 1030, 1, 1))
    result = replay_events(events, lists)
    assert result.mismatches_by_field == {"free": 1}
    assert result.first[0].expected == "page 0x406 in use"
