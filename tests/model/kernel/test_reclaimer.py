"""Reclaim with real page tables: what is written, what comes back, and who is killed."""

import os
from uuid import UUID

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.fault import SignalNumber
from pagewalk.model.kernel.page_ops import MachinePageOps
from pagewalk.model.kernel.reclaim.lru import LruList
from pagewalk.model.kernel.swap.errors import SwapFileShrunk
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, Cpu, Killed, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 4000, uuid=UUID(int=7), label="test") as device:
        yield device


def write_all(cpu, start, pages):
    for number in range(pages):
        cpu.store(start + number * PAGE, number.to_bytes(2, "little"))


def swapping(mode, device, pages=1500):
    """A process that has written more pages than there are frames."""
    kernel, cpu, process = machine(mode, megabytes=4)
    kernel.swapon(device)
    start = process.mm.mmap(0, pages * PAGE, RW, ANON)
    write_all(cpu, start, pages)
    return kernel, cpu, process, start


@both
def test_pages_go_out_and_come_back_as_major_faults(mode, swap):
    kernel, cpu, process, start = swapping(mode, swap)
    assert process.maj_flt == 0
    assert process.space.swapped == 1500 - process.space.rss > 500
    for number in range(1500):
        assert cpu.load(start + number * PAGE, 2) == number.to_bytes(2, "little")
    assert process.maj_flt == swap.counters.pages_in > 1000
    kernel.check()
    kernel.exit(process)
    kernel.check()
    assert counted(kernel)[1] == 3999


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


@both
def test_a_second_chance_is_better_than_none(mode, swap, tmp_path, monkeypatch):
    with_bits = hot_faults(mode, swap)
    monkeypatch.setattr(MachinePageOps, "accessed", lambda _self, _pfn: 0)
    with SwapFile.create(tmp_path / "other", 4000, uuid=UUID(int=7)) as device:
        without = hot_faults(mode, device)
    assert with_bits == 0 < without


@both
def test_kswapd_keeps_zones_above_their_marks(mode, swap):
    kernel, _, _, _ = swapping(mode, swap)
    zone = kernel.state.allocator.populated[0]
    kernel.state.allocator.drain_all_pages()
    assert zone.free_pages > zone.watermarks.low
    assert kernel.state.lruvec.vmstat["pgsteal_kswapd"] > 500


@both
def test_when_swap_is_full_the_largest_process_is_killed(mode, tmp_path):
    with SwapFile.create(tmp_path / "swap", 100, uuid=UUID(int=7)) as device:
        kernel, cpu, small = machine(mode, megabytes=4)
        kernel.swapon(device)
        page = small.mm.mmap(0, PAGE, RW, ANON)
        cpu.store(page, b"survives")
        before = counted(kernel)
        large = kernel.spawn("large")
        kernel.switch(large)
        start = [large.mm.mmap(0, 500 * PAGE, RW, ANON) for _ in range(4)][-1]
        with pytest.raises(Killed) as caught:
            write_all(cpu, start, 2000)
        assert caught.value.signal.number is SignalNumber.SIGKILL
        assert [kill.name for kill in kernel.oom_kills] == ["large"]
        assert str(kernel.oom_kills[0]).startswith(
            f"Out of memory: Killed process {large.pid} (large)")
        kernel.check()
        kernel.switch(small)
        assert cpu.load(page, 8) == b"survives"
        kernel.check()
        assert counted(kernel)[0] == before[0]
        kernel.exit(small)
        assert counted(kernel)[1] == 99


@both
def test_another_process_is_killed_if_it_is_larger(mode):
    kernel, cpu, large = machine(mode, megabytes=4)
    start = large.mm.mmap(0, 400 * PAGE, RW, ANON)
    for number in range(400):
        cpu.store(start + number * PAGE, b"x")
    other = kernel.spawn("other")
    kernel.switch(other)
    start = other.mm.mmap(0, 380 * PAGE, RW, ANON)
    for number in range(380):
        cpu.store(start + number * PAGE, b"y")
    assert [kill.pid for kill in kernel.oom_kills] == [large.pid]
    kernel.check()


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


@both
def test_a_swap_file_that_shrinks_loses_nothing_that_is_in_memory(mode, tmp_path):
    with SwapFile.create(tmp_path / "swap", 4000, uuid=UUID(int=7)) as device:
        kernel, cpu, process, start = swapping(mode, device)
        resident = [leaf.vaddr for leaf in
                    process.space.tables.entries(start, start + 1500 * PAGE)
                    if leaf.entry & Entry.P]
        os.truncate(tmp_path / "swap", 20 * PAGE)
        with pytest.raises(SwapFileShrunk):
            cpu.load(start, 1500 * PAGE)
        kernel.check()
        for vaddr in resident[-100:]:
            leaf = process.space.tables.lookup(vaddr)
            if leaf.entry & Entry.P:
                number = (vaddr - start) // PAGE
                pfn = process.space.tables.pfn(leaf.entry)
                assert kernel.state.frames.read(pfn)[:2] == number.to_bytes(2, "little")
        kernel.exit(process)
        kernel.check()


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
