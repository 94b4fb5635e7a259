"""Sets of times, against sets of ints."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.mmu.intervals import extend, intersect, last_before, within

TIME = st.integers(0, 30)
INTERVAL = st.tuples(TIME, TIME).map(sorted).map(tuple)
INTERVALS = st.lists(INTERVAL, max_size=4)
DROPS = st.lists(st.lists(TIME, unique=True).map(sorted), max_size=3)
HORIZON = 40


def points(intervals):
    return {time for low, high in intervals for time in range(low, min(high, HORIZON) + 1)}


@given(INTERVALS, INTERVAL)
def test_within_is_an_intersection(times, bounds):
    assert points(within(times, *bounds)) == points(times) & points([bounds])


@given(INTERVALS, INTERVALS)
def test_intersect_is_an_intersection(times, others):
    assert points(intersect(times, others)) == points(times) & points(others)


@given(INTERVALS, DROPS, TIME)
def test_what_was_made_is_there_until_the_next_drop(times, drops, start):
    binding = {time for drop in drops for time in drop if time < start}
    expected = {later for made in points(times) for later in range(made, HORIZON + 1)
                if not any(made <= drop < later for drop in binding)}
    assert points(extend(times, drops, start)) == expected


@given(DROPS, TIME)
def test_last_before(drops, start):
    earlier = [time for drop in drops for time in drop[:bisect_left(drop, start)]]
    assert last_before(drops, start) == max(earlier, default=-1)
