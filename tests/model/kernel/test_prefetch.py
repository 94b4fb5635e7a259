"""Pages that are brought in before they are asked for: no access then has to wait for a disk."""

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.fault_cause import FaultCause

from .machines import ANON, MODES, PAGE, RW, SHARED, machine
from .sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def swap(tmp_path):
    with flaky_swap(tmp_path, "swap", 100) as device:
        yield device


@both
@pytest.mark.parametrize("flags", [ANON, SHARED], ids=["anon", "shared"])
def test_pages_in_swap_come_back_to_the_swap_cache(mode, flags, swap):
    kernel, cpu, process = machine(mode)
    kernel.swapon(swap)
    start = process.mm.mmap(0, 8 * PAGE, RW, flags)
    for page in range(8):
        cpu.store(start + page * PAGE, bytes([65 + page]))
    process.mm.madvise(start, 8 * PAGE, Madvise.PAGEOUT)
    swap.unreadable = lambda slot: slot == 3
    process.mm.madvise(start, 6 * PAGE, Madvise.WILLNEED)
    del swap.unreadable
    more = flags == SHARED  # one page after the range  [force_shm_swapin_readahead]
    assert (swap.counters.pages_in, process.space.rss, process.maj_flt) == (5 + more, 0, 0)
    kernel.check()
    assert [cpu.load(start + page * PAGE) for page in range(8)] == [
        bytes([65 + page]) for page in range(8)]
    assert process.maj_flt == 3 - more
    kernel.check()


@both
def test_pages_of_a_file_come_to_the_page_cache_as_many_as_a_request_has(mode):
    kernel, cpu, process = machine(mode)
    file, state = File("file"), kernel.state
    kernel.register_file(file, b"f" * (400 * PAGE - 5))
    start = process.mm.mmap(0, 500 * PAGE, RW, MapFlag.PRIVATE, file)
    process.mm.madvise(start + 390 * PAGE, 100 * PAGE, Madvise.WILLNEED)
    held = state.page_cache.space(file)
    assert [*held.pages] == [*range(390, 400)]
    process.mm.madvise(start, 400 * PAGE, Madvise.WILLNEED)
    assert sorted(held.pages) == [*range(320), *range(390, 400)]
    assert state.page_cache.pages_in == 330
    assert process.space.rss == 0
    assert cpu.load(start + 5 * PAGE) == b"f"
    assert (cpu.results[-1].cause, process.maj_flt) == (FaultCause.FILE, 0)
    kernel.check()


@both
def test_it_stops_where_memory_ends_and_nobody_is_killed(mode):
    kernel, _, process = machine(mode, megabytes=2)
    file = File("file")
    kernel.register_file(file, b"f" * (900 * PAGE))
    start = process.mm.mmap(0, 900 * PAGE, Prot.READ, MapFlag.PRIVATE, file)
    for first in range(0, 900, 300):
        process.mm.madvise(start + first * PAGE, 300 * PAGE, Madvise.WILLNEED)
    assert kernel.oom_kills == []
    kernel.check()


@both
def test_what_has_no_pages_needs_none(mode):
    kernel, _, process = machine(mode)
    driver = process.mm.mmap(0, PAGE, RW, MapFlag.SHARED, File("/dev/driver"))
    process.mm.madvise(driver, PAGE, Madvise.WILLNEED)
    untouched = process.mm.mmap(0, PAGE, RW, ANON)
    process.mm.madvise(untouched, PAGE, Madvise.WILLNEED)
    assert process.space.rss == 0
    kernel.check()
