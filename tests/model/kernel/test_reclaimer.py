"""Reclaim with real page tables: what is written, what comes back, and who is killed."""

import os
from uuid import UUID

import pytest

from pagewalk.model.kernel.page_fault import SignalNumber
from pagewalk.model.kernel.swap.errors import SwapFileShrunk
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, Killed, counted, machine
from .pressure import swapping, write_all

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def swap(tmp_path):
    with SwapFile.create(tmp_path / "swap", 4000, uuid=UUID(int=7), label="test") as device:
        yield device


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


