"""Faults on transparent huge pages."""

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.page_fault import FaultOutcome
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.reclaim.lru import LruFlag
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.x86 import Entry, ErrorCode

from .machines import ANON, MIB, PAGE, RW, counted, machine

both = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
AREA = 0x4000_0000


@pytest.fixture
def thp(request):
    """A machine that has transparent huge pages always, and a process with 12 Mbytes."""
    kernel, cpu, process = machine(request.param, 64)
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    process.mm.mmap(AREA, 12 * MIB, RW, ANON | MapFlag.FIXED)
    return kernel, cpu, process


every = pytest.mark.parametrize("thp", KERNEL_MODES.values(), ids=KERNEL_MODES, indirect=True)


def causes(cpu):
    results, cpu.results = cpu.results, []
    return [one.cause for one in results]


@every
def test_one_fault_fills_a_huge_page(thp):
    kernel, cpu, process = thp
    size, count = kernel.state.thp.page_bytes, kernel.state.thp.page_count
    cpu.store(AREA + size + 7 * PAGE, b"data")
    assert causes(cpu) == [FaultCause.DEMAND_ZERO]
    leaf = process.space.tables.lookup(AREA + size)
    assert (leaf.vaddr, leaf.level.page_bytes) == (AREA + size, size)
    assert leaf.entry & 0xFFF == (Entry.P | Entry.RW | Entry.US | Entry.A | Entry.D | Entry.PS)
    assert (process.space.rss, len(kernel.state.lruvec)) == (count, count)
    assert len(process.space.thp.deposits) == 1
    assert cpu.load(AREA + 2 * size - PAGE, PAGE) == bytes(PAGE)
    assert cpu.load(AREA + size + 7 * PAGE, 4) == b"data"
    assert causes(cpu) == []
    kernel.check()


@every
@pytest.mark.parametrize(("error_code", "order"), [(6, "page, table"), (4, "table, page")])
def test_the_table_that_is_kept_comes_after_a_new_page_and_before_the_zero_page(
        thp, error_code, order, monkeypatch):
    kernel, _, process = thp
    frames, asked = kernel.state.frames, []
    process.space.tables.alloc(AREA, len(kernel.mode.levels) - 2)
    alloc_table, alloc_block = frames.alloc_table, frames.alloc_block
    monkeypatch.setattr(frames, "alloc_table", lambda: asked.append("table") or alloc_table())
    monkeypatch.setattr(frames, "alloc_block",
                        lambda *which: asked.append("page") or alloc_block(*which))
    kernel.handle_page_fault(AREA, error_code)
    assert ", ".join(asked) == order
    kernel.check()


@every
def test_without_memory_for_the_table_the_huge_page_is_given_back(thp, monkeypatch):
    kernel, _, process = thp
    process.space.tables.alloc(AREA, len(kernel.mode.levels) - 2)
    before = counted(kernel)

    def fail():
        raise OutOfMemory(0, 0, ())

    monkeypatch.setattr(kernel.state.frames, "alloc_table", fail)
    with pytest.raises(OutOfMemory):
        kernel.handle_page_fault(AREA, ErrorCode.WR | ErrorCode.US)
    assert counted(kernel) == before
    kernel.check()


@every
def test_a_small_page_keeps_huge_ones_out(thp):
    kernel, cpu, process = thp
    kernel.state.thp.enabled = ThpEnabled.NEVER
    cpu.store(AREA, b"small")
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    cpu.store(AREA + PAGE, b"small, too")
    assert process.space.rss == 2
    kernel.check()


@every
def test_reads_find_the_huge_zero_page_and_a_write_makes_one_small_page(thp):
    kernel, cpu, process = thp
    assert cpu.load(AREA + 3 * PAGE) == b"\0"
    leaf = process.space.tables.lookup(AREA)
    assert leaf.entry & (Entry.PS | Entry.RW) == Entry.PS
    cpu.store(AREA + 3 * PAGE, b"x")
    assert causes(cpu) == [FaultCause.ZERO_PAGE, FaultCause.COPY_ON_WRITE]
    assert process.space.rss == 1
    assert cpu.load(AREA + 2 * PAGE, 2 * PAGE) == bytes(PAGE) + b"x" + bytes(PAGE - 1)
    assert causes(cpu) == []  # the small zero page
    kernel.check()


@every
def test_after_a_fork_writes_copy_small_pages(thp):
    kernel, cpu, process = thp
    count = kernel.state.thp.page_count
    cpu.store(AREA, b"parent")
    free, _ = counted(kernel)
    child = kernel.fork(process)
    assert (process.space.rss, child.space.rss) == (count, count)
    kernel.switch(child)
    cpu.store(AREA + 5 * PAGE, b"child")
    assert causes(cpu)[-1] is FaultCause.COPY_ON_WRITE
    assert child.space.thp.deposits == []
    assert len(process.space.thp.deposits) == 1
    tables = sum(child.space.tables.tables)
    assert counted(kernel)[0] == free - tables - 1
    kernel.check()
    kernel.exit(child)
    kernel.switch(process)
    cpu.store(AREA + PAGE, b"again")
    assert causes(cpu) == [FaultCause.REUSE]
    assert len(process.space.thp.deposits) == 1
    assert (cpu.load(AREA, 6), cpu.load(AREA + 5 * PAGE, 5)) == (b"parent", bytes(5))
    kernel.check()


@every
def test_a_page_of_which_one_part_is_shared_is_split_by_a_write(thp):
    """The child gives up all but one small page: the parent can have no more than small ones."""
    kernel, cpu, process = thp
    size = kernel.state.thp.page_bytes
    cpu.store(AREA, b"parent")
    child = kernel.fork(process)
    child.mm.munmap(AREA + PAGE, 12 * MIB - PAGE)
    kernel.check()
    cpu.store(AREA + 9 * PAGE, b"x")
    assert causes(cpu)[-1] is FaultCause.REUSE
    assert process.space.thp.deposits == []
    cpu.store(AREA, b"y")
    assert causes(cpu)[-1] is FaultCause.COPY_ON_WRITE
    kernel.switch(child)
    assert cpu.load(AREA, 6) == b"parent"
    kernel.check()
    assert size


@every
def test_an_access_that_need_not_have_faulted_sets_the_flags(thp):
    kernel, cpu, process = thp
    cpu.store(AREA, b"x")
    error = ErrorCode.WR | ErrorCode.US | ErrorCode.P
    result = kernel.handle_page_fault(AREA + PAGE, error)
    assert (result.outcome, result.cause) == (FaultOutcome.RETRY, FaultCause.SPURIOUS)
    assert process.space.thp.deposits


@every
def test_population_takes_a_fault_for_each_huge_page(thp):
    kernel, _, process = thp
    size = kernel.state.thp.page_bytes
    faults = process.min_flt
    process.mm.madvise(AREA, 3 * size, Madvise.POPULATE_WRITE)
    assert process.min_flt - faults == 3
    assert process.space.rss == 3 * size // PAGE
    kernel.check()


@every
def test_population_marks_a_huge_page_in_its_entry_and_only_for_writes(thp):
    kernel, cpu, process = thp
    cpu.store(AREA, b"x")
    tables, flags = process.space.tables, Entry.A | Entry.D
    paddr = tables.lookup(AREA).paddr
    tables.update(paddr, clear=flags)
    process.mm.madvise(AREA, PAGE, Madvise.POPULATE_READ)
    assert not tables.read(paddr) & flags
    process.mm.madvise(AREA, PAGE, Madvise.POPULATE_WRITE)
    assert tables.read(paddr) & flags == flags
    pfn = process.space.thp.pfn(tables.read(paddr))
    assert not kernel.state.lruvec.flags(pfn) & LruFlag.REFERENCED
    kernel.check()


@every
def test_the_kernel_clears_parts_of_huge_pages(thp):
    _, cpu, process = thp
    cpu.store(AREA, b"x" * 3 * PAGE)
    process.space.store(AREA + PAGE - 7, bytes(PAGE + 16))
    assert cpu.load(AREA, 3 * PAGE) == (b"x" * (PAGE - 7)).ljust(2 * PAGE + 9, b"\0").ljust(
        3 * PAGE, b"x")
    assert process.space.thp.deposits
