"""What reclaim does to a page with real page tables: unmapped, written, dropped, or left."""

from uuid import UUID

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.page_reclaim import MachinePageOps
from pagewalk.model.kernel.reclaim.lru import LruList
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, Cpu, machine
from .pressure import swapping

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 4000, uuid=UUID(int=7), label="test") as device:
        yield device


@pytest.mark.slow
@both
def test_clean_pages_with_a_slot_are_not_written_again(mode, swap):
    _, cpu, _, start = swapping(mode, swap)
    for _ in range(2):
        for number in range(1500):
            cpu.load(start + number * PAGE)
    written = swap.counters.pages_out
    for number in range(1500):
        cpu.load(start + number * PAGE)
    assert swap.counters.pages_out == written == 1500
    cpu.store(start, b"dirty")
    cpu.store(start + PAGE, b"dirty")
    for number in range(1500):
        cpu.load(start + number * PAGE)
    assert swap.counters.pages_out == written + 2
    assert cpu.load(start, 5) == b"dirty"


@both
def test_swap_entries_are_linux_own(mode, swap):
    kernel, _, process, start = swapping(mode, swap)
    tables = process.space.tables
    out = [leaf.entry for leaf in tables.entries(start, start + 1500 * PAGE)
           if not leaf.entry & Entry.P]
    assert len(out) == process.space.swapped
    slots = {kernel.state.format.decode_swap(entry).offset for entry in out}
    assert len(slots) == len(out)
    assert {kernel.state.format.decode_swap(entry).type for entry in out} == {0}
    assert min(slots) == 1  # the header is page 0


@both
def test_accesses_of_a_mapping_that_is_read_in_sequence_do_not_count(mode):
    kernel, cpu, process = machine(mode)
    file = File("file")
    kernel.register_file(file, bytes(PAGE))
    first, second = (process.mm.mmap(0, PAGE, Prot.READ, MapFlag.SHARED, file) for _ in range(2))
    process.mm.madvise(first, PAGE, Madvise.SEQUENTIAL)
    for start in (first, second):
        cpu.load(start)
    pfn, tables = kernel.state.page_cache.space(file).pages[0], process.space.tables
    assert kernel.state.page_ops.accessed(pfn) == 1
    assert not any(tables.lookup(start).entry & Entry.A for start in (first, second))


def hot_faults(mode, device) -> int:
    """Major faults of 4 pages that are used all the time beside 4000 used once."""
    kernel, cpu, process = machine(mode, megabytes=4)
    kernel.swapon(device)
    hot = process.mm.mmap(0, 4 * PAGE, RW, ANON)
    cold = process.mm.mmap(0, 4000 * PAGE, RW, ANON)
    for number in range(4000):
        cpu.store(cold + number * PAGE, b"c")
        cpu.tlb.entries.clear()  # a real one is small: it would look at the tables again
        for page in range(4):
            cpu.load(hot + page * PAGE)
            cpu.store(hot + page * PAGE, b"h")
    return process.maj_flt


@pytest.mark.slow
@both
def test_a_second_chance_is_better_than_none(mode, swap, tmp_path, monkeypatch):
    with_bits = hot_faults(mode, swap)
    monkeypatch.setattr(MachinePageOps, "accessed", lambda _self, _pfn: 0)
    with SwapFile.create(tmp_path / "other", 4000, uuid=UUID(int=7)) as device:
        without = hot_faults(mode, device)
    assert with_bits == 0 < without


@pytest.mark.slow
@both
def test_file_pages_are_dropped_or_written_back(mode):
    kernel, cpu, process = machine(mode, megabytes=4)
    file = File("large")
    content = kernel.register_file(file, b"0123456789abcdef" * (1500 * PAGE // 16))
    start = process.mm.mmap(0, 1500 * PAGE, RW, MapFlag.SHARED, file)
    for number in range(1500):
        assert cpu.load(start + number * PAGE, 4) == b"0123"
        if number % 10 == 0:
            cpu.store(start + number * PAGE, b"####")
    assert kernel.state.page_cache.pages_out > 50
    for number in range(1500):
        assert cpu.load(start + number * PAGE, 4) == (b"0123" if number % 10 else b"####")
    kernel.check()
    kernel.exit(process)
    kernel.state.page_cache.drop(file)
    assert content[:PAGE * 11].count(b"####") == 2


@pytest.mark.slow
@both
def test_locked_pages_stay_until_nobody_locks_them(mode, swap):
    kernel, cpu, process = machine(mode, megabytes=4)
    kernel.swapon(swap)
    locked = process.mm.mmap(0, 50 * PAGE, RW, ANON)
    process.mm.mlock(locked, 50 * PAGE)
    assert process.space.rss == 50
    assert kernel.state.lruvec.size(LruList.UNEVICTABLE) == 50

    def press():
        start = process.mm.mmap(0, 1500 * PAGE, RW, ANON)
        for number in range(1500):
            cpu.store(start + number * PAGE, b"x")
        process.mm.munmap(start, 1500 * PAGE)
        leaves = process.space.tables.entries(locked, locked + 50 * PAGE)
        return [process.space.tables.pfn(leaf.entry) for leaf in leaves if leaf.entry & Entry.P]

    frames = press()
    assert len(frames) == 50
    assert all(kernel.state.swap.cache.entry(pfn) is None for pfn in frames)  # and take no slots
    assert kernel.state.lruvec.size(LruList.UNEVICTABLE) == 50
    process.mm.munlock(locked, 20 * PAGE)
    assert kernel.state.lruvec.size(LruList.UNEVICTABLE) == 30
    process.mm.madvise(locked, 20 * PAGE, Madvise.COLD)  # populating had counted as a use
    assert len(press()) == 30
    child = kernel.fork(process)  # which locks nothing
    process.mm.munmap(locked, 50 * PAGE)
    assert kernel.state.lruvec.size(LruList.UNEVICTABLE) == 0
    child.mm.madvise(locked, 50 * PAGE, Madvise.PAGEOUT)
    assert child.space.swapped == 50
    kernel.check()


@both
def test_pages_that_came_to_a_locked_mapping_by_the_way_stay(mode):
    kernel, cpu, process = machine(mode, megabytes=4)
    file = File("file")
    kernel.register_file(file, bytes(16 * PAGE))
    other = process.mm.mmap(0, 16 * PAGE, Prot.READ, MapFlag.PRIVATE, file)
    for number in range(16):
        cpu.load(other + number * PAGE)
    locked = process.mm.mmap(0, 16 * PAGE, Prot.READ, MapFlag.PRIVATE, file)
    process.mm.mlock(locked, 16 * PAGE, on_fault=True)
    cpu.load(locked)  # maps the others, too
    process.mm.munmap(other, 16 * PAGE)
    assert process.space.rss == 16
    filler = process.mm.mmap(0, 2000 * PAGE, Prot.READ, MapFlag.PRIVATE, large := File("large"))
    kernel.register_file(large, bytes(2000 * PAGE))
    for number in range(2000):
        cpu.load(filler + number * PAGE)
    leaves = process.space.tables.entries(locked, locked + 16 * PAGE)
    assert len([leaf for leaf in leaves if leaf.entry & Entry.P]) == 16
    kernel.check()


@pytest.mark.slow
@both
def test_shared_pages_go_out_for_all_and_come_back_as_one(mode, swap):
    kernel, cpu, process, start = swapping(mode, swap, pages=200)
    child = kernel.fork(process)
    filler = process.mm.mmap(0, 1500 * PAGE, RW, ANON)
    for number in range(1500):
        cpu.store(filler + number * PAGE, b"f")
    assert child.space.swapped > 100
    other = Cpu(kernel)
    kernel.switch(child)
    for number in range(200):
        assert other.load(start + number * PAGE, 2) == number.to_bytes(2, "little")
    kernel.check()
    major = child.maj_flt
    kernel.switch(process)
    for number in range(180, 200):
        assert cpu.load(start + number * PAGE, 2) == number.to_bytes(2, "little")
    assert process.maj_flt < major  # still in the swap cache
    kernel.exit(child)
    kernel.check()
    assert process.mm.mprotect(start, 200 * PAGE, Prot.READ) is None
    kernel.check()
