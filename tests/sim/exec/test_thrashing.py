"""A run whose memory is too small is said to be so, once; another is not."""

from types import SimpleNamespace

import pytest

from pagewalk.sim.exec.thrashing import ThrashWatch

PAGES = 1000


@pytest.fixture
def state():
    vmstat = {"workingset_refault_file": 0, "workingset_refault_anon": 0}
    return SimpleNamespace(lruvec=SimpleNamespace(vmstat=vmstat),
                           allocator=SimpleNamespace(totalram_pages=PAGES))


@pytest.fixture
def said(caplog):
    return lambda: [record.getMessage() for record in caplog.records]


def test_memory_that_is_too_small(state, said):
    watch = ThrashWatch(state)
    state.lruvec.vmstat["workingset_refault_file"] = 3999
    watch.look(5_000_000)
    assert said() == []
    state.lruvec.vmstat["workingset_refault_anon"] = 50_000  # with swap
    watch.look(5_000_000)
    assert said() == []
    state.lruvec.vmstat["workingset_refault_file"] = 4000
    watch.look(5_000_000)
    text = ("memory is too small: 4000 pages of files were read again after they were evicted in "
            "the last 5 million instructions, and memory has 1000 pages; --memory gives it more")
    assert said() == [text]
    state.lruvec.vmstat["workingset_refault_file"] = 90_000
    watch.look(6_000_000)
    assert said() == [text]


def test_memory_that_is_small_and_will_do(state, said):
    watch = ThrashWatch(state)
    for times in range(1, 20):
        state.lruvec.vmstat["workingset_refault_file"] = times * 4000
        watch.look(times * 4000 * 2000)
    assert said() == []


def test_a_run_that_thrashes_later(state, said):
    watch = ThrashWatch(state)
    state.lruvec.vmstat["workingset_refault_file"] = 4000
    watch.look(100_000_000)
    state.lruvec.vmstat["workingset_refault_file"] = 8000
    watch.look(101_000_000)
    assert len(said()) == 1
