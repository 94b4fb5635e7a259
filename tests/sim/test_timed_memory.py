"""Page-table memory by itself: when it takes an access, and which response it gives when."""

import pytest

from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.sim.engine.memory_model import MemoryModel
from pagewalk.sim.engine.timed_memory import TimedMemory

READ, EXCHANGE = 0, 1


@pytest.fixture
def memory():
    memory = PhysicalMemory()
    memory.add([1])
    memory.write(0x1008, 8, 5)
    return memory


def asked(tag=0, address=0x1008, op=READ, expected=0, desired=0):
    return {"tag": tag, "address": address, "op": op, "expected": expected, "desired": desired}


def test_a_response_is_due_after_its_latency_and_stays_until_it_is_taken(memory):
    timed = TimedMemory(MemoryModel(3), 8, 1)
    timed.access(memory, asked(9), 10)
    assert [timed.response(cycle) for cycle in (11, 12)] == [None, None]
    for cycle in (13, 14, 20):
        assert timed.response(cycle) == {"tag": 9, "data": 5}
    timed.taken(20)
    assert timed.response(21) is None


def test_what_is_offered_stays_though_another_response_was_due_before_it(memory):
    timed = TimedMemory(MemoryModel((1, 40), seed=1), 8, 1)
    for tag in range(30):
        timed.access(memory, asked(tag), tag)
    given, cycle = [], 0
    while len(given) < 30:
        if response := timed.response(cycle):
            assert timed.response(cycle + 1) == response  # not taken yet
            given.append(response["tag"])
            timed.taken(cycle + 1)
        cycle += 2
    assert sorted(given) == [*range(30)]
    assert given != sorted(given)  # some overtook others
    assert cycle < 30 + 40 + 60


def test_latencies_are_spread_over_all_that_there_are(memory):
    low, high = 4, 9
    timed = TimedMemory(MemoryModel((low, high), seed=2), 8, 1)
    met = []
    for start in range(0, 20_000, 20):
        timed.access(memory, asked(), start)
        met.append(next(cycle - start for cycle in range(start, start + 20)
                        if timed.response(cycle)))
        timed.taken(start + 19)
    counts = [met.count(latency) for latency in range(low, high + 1)]
    assert sum(counts) == 1000
    assert all(110 < count < 230 for count in counts)  # of 167


def test_accesses_are_done_when_they_are_accepted(memory):
    timed = TimedMemory(MemoryModel(9), 8, 1)
    timed.access(memory, asked(op=EXCHANGE, expected=5, desired=7), 1)
    timed.access(memory, asked(op=EXCHANGE, expected=5, desired=8), 2)
    timed.access(memory, asked(address=0x2000), 3)
    assert memory.read(0x1008, 8) == 7
    responses = []
    for cycle in (10, 11, 12):
        responses.append(timed.response(cycle))
        timed.taken(cycle)
    assert responses == [{"tag": 0, "data": 5, "exchanged": 1},
                         {"tag": 0, "data": 7, "exchanged": 0}, {"tag": 0, "error": 1}]
    assert timed.new_errors() == []  # there is no memory: that is no chance


def test_an_error_by_chance_is_reported_when_its_response_is_taken(memory):
    timed = TimedMemory(MemoryModel(error_rate=1), 8, 1)
    timed.access(memory, asked(op=EXCHANGE, expected=5, desired=7), 1)
    assert timed.response(2) == {"tag": 0, "error": 1}
    assert timed.new_errors() == []
    timed.taken(6)
    assert [timed.new_errors(), timed.new_errors()] == [[(6, 0x1008)], []]
    assert memory.read(0x1008, 8) == 5


def test_stalls_come_as_often_as_they_should_to_each_port_by_itself():
    timed = TimedMemory(MemoryModel(request_stall=0.25, answer_stall=0.5, seed=3), 8, 3)
    cycles = range(4000)
    accepts = [timed.accepts(cycle) for cycle in cycles]
    taken = [tuple(timed.answers_taken(cycle)) for cycle in cycles]
    assert abs(sum(accepts) / 4000 - 0.75) < 0.04
    patterns = {pattern: taken.count(pattern) for pattern in set(taken)}
    assert len(patterns) == 8
    assert all(400 < count < 600 for count in patterns.values())


def test_the_16th_access_after_one_waits_for_its_response(memory):
    """So that no two responses with one tag of the hardware are due at a time."""
    timed = TimedMemory(MemoryModel(100), 8, 1)
    for tag in range(16):
        assert timed.accepts(tag)
        timed.access(memory, asked(tag), tag)
    assert not any(timed.accepts(cycle) for cycle in range(16, 101))
    assert timed.response(100)["tag"] == 0
    timed.taken(100)
    assert timed.accepts(101)
    timed.access(memory, asked(0), 101)
    assert not timed.accepts(102)
