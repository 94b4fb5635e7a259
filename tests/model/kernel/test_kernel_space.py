"""Kernel addresses as every process sees them."""

import pytest

from pagewalk.model.mmu.control import Access
from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import AccessKind, Entry, InvalidateOp

from .machines import MODES, PAGE, machine, owed

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
FLAGS = Entry.P | Entry.RW | Entry.A | Entry.D | Entry.G


@both
def test_a_page_of_vmalloc_is_seen_by_processes_that_were_there_before(mode):
    kernel, _, process = machine(mode)
    others = [kernel.spawn("other"), kernel.fork(process)]
    vaddr, pfn = kernel.layout.vmalloc.start, kernel.state.frames.alloc()
    kernel.kernel_space.set_page(vaddr, pfn, FLAGS)
    for one in [process, *others, kernel.spawn("late")]:
        kernel.switch(one)
        access = Access(vaddr + 7, AccessKind.WRITE)
        assert walk(kernel.state.memory, mode, kernel.control, access).paddr == pfn * PAGE + 7
    kernel.kernel_space.clear_page(vaddr)
    owed(kernel)
    kernel.kernel_space.flush_range(vaddr, vaddr + PAGE)
    assert [(one.op, one.vaddr) for one in owed(kernel)] == [
        (InvalidateOp.INVLPG, vaddr)]
    assert walk(kernel.state.memory, mode, kernel.control, access).fault is not None
    kernel.state.frames.put(pfn)
    kernel.state.kernel_tables.check()


@both
def test_the_direct_map_reaches_every_frame(mode):
    kernel, _, _ = machine(mode, megabytes=9)
    for start, end in kernel.state.allocator.machine.memory:
        for pfn in (start, (start + end) // 2, end - 1):
            found = walk(kernel.state.memory, mode, kernel.control,
                         Access(kernel.layout.page_offset + pfn * PAGE, AccessKind.WRITE))
            assert found.paddr == pfn * PAGE
