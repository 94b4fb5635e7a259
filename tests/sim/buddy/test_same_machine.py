"""Traces and free lists of different machines, and those of one that differ only a little."""

import re

import numpy as np
import pytest

from pagewalk.sim.buddy.free_lists import read_free_lists
from pagewalk.sim.buddy.ftrace import Event, Kind
from pagewalk.sim.buddy.same_machine import check_same_machine
from pagewalk.sim.errors import InputError

from ..kernel_traces import BOOTS, free_list_arrays, recorded, write_free_lists

ALLOC, DRAIN, FREE = Kind.ALLOC_ZONE_LOCKED, Kind.PCPU_DRAIN, Kind.FREE


@pytest.fixture
def lists(tmp_path):
    """Free lists with these blocks of order 0 in zone Normal, before and after."""

    def write(before, after):
        rows = [[(0, 1, 0, 1, place, pfn) for place, pfn in enumerate(pages)]
                for pages in (before, after)]
        return read_free_lists(write_free_lists(
            tmp_path / "x.npz", free_list_arrays(rows[0], after_free=np.array(rows[1]))))

    return write


def events(kind, pages, order=0):
    return [Event(line, kind, pfn, order, 1) for line, pfn in enumerate(pages, start=1)]


@pytest.mark.parametrize("boot", BOOTS)
def test_the_files_of_one_machine_are_taken(boot):
    check_same_machine(*recorded(boot))


def test_the_free_lists_of_another_machine_are_refused():
    trace, others = recorded("amd64-D")[0], recorded("i686-A")[1]
    with pytest.raises(InputError) as error:
        check_same_machine(trace, others)
    assert re.fullmatch(
        rf"{others.path}: before_free: page 0x61be is in use, but is allocated by its first event, "
        r"in line \d+, and the trace contradicts 2008 other pages; expected the free lists of the "
        r"machine that the trace is of", str(error.value))


def test_pages_that_are_in_no_zone_are_left_to_the_replay():
    check_same_machine(recorded("i686-A")[0], recorded("amd64-D")[1])


PAGES = range(5000, 5040)
OTHERS = range(6000, 6040)


@pytest.mark.parametrize(("kind", "before", "after", "words"), [
    (ALLOC, OTHERS, OTHERS, "before_free: page 0x1388 is in use, but is allocated by its first"),
    (ALLOC, PAGES, PAGES, "after_free: page 0x1388 is free, but is allocated by its last"),
    (DRAIN, PAGES, PAGES, "before_free: page 0x1388 is free, but is freed by its first"),
    (DRAIN, OTHERS, OTHERS, "after_free: page 0x1388 is in use, but is freed by its last"),
])
def test_each_contradiction_is_named(kind, before, after, words, lists):
    with pytest.raises(InputError) as error:
        check_same_machine(events(kind, PAGES), lists(before, after))
    assert words in str(error.value)
    assert "event, in line 1, and the trace contradicts 39 other pages" in str(error.value)


def test_what_is_allocated_and_freed_says_nothing_of_the_time_between(lists):
    both = events(ALLOC, PAGES) + events(DRAIN, PAGES)
    check_same_machine(both, lists(PAGES, PAGES))
    check_same_machine(events(DRAIN, OTHERS) + events(ALLOC, OTHERS), lists(PAGES, PAGES))


def test_pages_that_only_reach_a_per_cpu_list_say_nothing(lists):
    check_same_machine(events(FREE, PAGES), lists(PAGES, PAGES))
    with pytest.raises(InputError, match=r"page 0x1380 is free, but is freed by its first event"):
        check_same_machine(events(FREE, [0x1380], order=5), lists(range(0x1380, 0x13A0), []))


@pytest.mark.parametrize(("wrong", "refused"), [(15, False), (16, True)])
def test_a_few_pages_are_left_to_the_replay(wrong, refused, lists):
    """Of 128 states that the trace tells of, one in eight decides."""
    pages, free = events(ALLOC, range(5000, 5064)), range(5000 + wrong, 5064)
    if refused:
        with pytest.raises(InputError):
            check_same_machine(pages, lists(free, []))
    else:
        check_same_machine(pages, lists(free, []))


def test_one_event_that_is_wrong_is_left_to_the_replay(lists):
    check_same_machine(events(ALLOC, [5000]), lists([6000], []))


@pytest.mark.parametrize("boot", BOOTS)
def test_lost_events_of_a_tenth_of_the_pages_do_not_make_another_machine(boot):
    trace, known = recorded(boot)
    pages = {event.pfn for event in trace if event.kind is ALLOC}
    lost = {*sorted(pages)[:len(pages) // 10]}
    check_same_machine([event for event in trace if event.pfn not in lost], known)
