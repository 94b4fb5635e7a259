"""How a page comes to be there, and what the fault is counted as."""

from uuid import UUID

import pytest

from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.reclaim.direct_reclaim import try_to_free_pages
from pagewalk.model.kernel.reclaim.scan import ScanControl
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, SHARED, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def causes(cpu):
    found = [result.cause for result in cpu.results]
    cpu.results.clear()
    return found


@both
def test_anonymous_memory_reads_as_zeros_from_one_frame(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 8 * PAGE, RW, ANON)
    free = counted(kernel)[0]
    assert cpu.load(start, 8 * PAGE) == bytes(8 * PAGE)
    tables = sum(process.space.tables.tables) - 1
    assert counted(kernel)[0] == free - tables
    assert causes(cpu) == [FaultCause.ZERO_PAGE] * 8
    cpu.store(start + PAGE, b"x")
    assert causes(cpu) == [FaultCause.COPY_ON_WRITE]
    assert process.space.rss == 1
    kernel.check()


@both
def test_the_last_owner_of_a_shared_page_keeps_it(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"old")
    child = kernel.fork(process)
    for space in (process.space, child.space):
        assert not space.tables.lookup(start).entry & Entry.RW
    cpu.store(start, b"new")
    kernel.switch(child)
    assert cpu.load(start, 3) == b"old"
    cpu.store(start, b"own")
    assert causes(cpu) == [FaultCause.DEMAND_ZERO, FaultCause.COPY_ON_WRITE, FaultCause.REUSE]
    kernel.switch(process)
    assert cpu.load(start, 3) == b"new"
    kernel.check()


@both
def test_private_and_shared_pages_of_a_file(mode):
    kernel, cpu, process = machine(mode)
    file = File("data")
    content = kernel.register_file(file, bytes(2 * PAGE))
    private = process.mm.mmap(0, 2 * PAGE, RW, MapFlag.PRIVATE, file)
    shared = process.mm.mmap(0, 2 * PAGE, RW, MapFlag.SHARED, file)
    cpu.store(private, b"p")
    assert cpu.load(shared) == b"\0"
    cpu.store(shared, b"s")
    assert cpu.load(private) == b"p"
    assert causes(cpu) == [FaultCause.COPY_ON_WRITE, FaultCause.FILE, FaultCause.SHARED_WRITE]
    assert (process.maj_flt, process.min_flt) == (1, 2)
    kernel.check()
    kernel.exit(process)
    kernel.state.page_cache.drop(file)
    assert content[:1] == b"s"


@both
def test_shared_memory_is_one_for_parent_and_child(mode):
    kernel, cpu, process = machine(mode)
    before = counted(kernel)
    start = process.mm.mmap(0, 2 * PAGE, RW, SHARED)
    cpu.store(start, b"1")
    child = kernel.fork(process)
    kernel.switch(child)
    assert cpu.load(start) == b"1"
    cpu.store(start + PAGE, b"2")
    kernel.switch(process)
    assert cpu.load(start + PAGE) == b"2"
    kernel.exit(child)
    process.mm.munmap(start, 2 * PAGE)
    assert counted(kernel) == before


@both
def test_no_access_and_back_keeps_the_bytes(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"kept")
    process.mm.mprotect(start, PAGE, Prot.NONE)
    kernel.check()
    entry = process.space.tables.lookup(start).entry
    assert not entry & Entry.P
    process.mm.mprotect(start, PAGE, RW)
    causes(cpu)
    assert cpu.load(start, 4) == b"kept"
    cpu.store(start, b"own")
    assert causes(cpu) == []


@both
@pytest.mark.parametrize("locked", [False, True])
def test_a_page_that_comes_back_to_a_locked_mapping_gives_up_its_slot(mode, locked, tmp_path):
    with SwapFile.create(tmp_path / "swap", 100, uuid=UUID(int=1)) as device:
        kernel, cpu, process = machine(mode)
        kernel.swapon(device)
        start = process.mm.mmap(0, PAGE, RW, ANON)
        cpu.store(start, b"x")
        sc = ScanControl(nr_to_reclaim=1, force_deactivate=True)
        while not process.space.swapped:
            try_to_free_pages([kernel.state.lruvec], sc, kernel.state.page_ops)
        if locked:
            process.mm.mlock(start, PAGE, on_fault=True)
        assert cpu.load(start) == b"x"
        assert kernel.state.swap.nr_swap_pages == (99 if locked else 98)
        kernel.check()
