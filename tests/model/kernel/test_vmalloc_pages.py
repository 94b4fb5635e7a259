"""Memory of the kernel's own: mapped for all processes, and given back."""

import pytest

from pagewalk.model.address_space.kernel_half.vmalloc import VmallocError, VmallocSpaceError
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.oom import OomKilled
from pagewalk.model.kernel.vmalloc_pages import VmallocTooLarge, vfree, vmalloc
from pagewalk.model.mmu.control import Access
from pagewalk.model.mmu.walk import PageFault, translate
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.x86 import IA32, AccessKind

from .machines import ANON, MIB, MODES, PAGE, RW, counted, machine, owed

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def paddr_of(kernel, vaddr, *, user=False):
    return translate(kernel.state.memory, kernel.mode, kernel.control,
                     Access(vaddr, AccessKind.WRITE, user=user))


@both
def test_every_process_has_it_and_none_may_use_it(mode):
    kernel, _, first = machine(mode)
    second = kernel.spawn("second")
    start = vmalloc(kernel, 3 * PAGE - 1)
    third = kernel.spawn("third")
    found = set()
    for process in (first, second, third):
        kernel.switch(process)
        found.add(tuple(paddr_of(kernel, start + at * PAGE) for at in range(3)))
        with pytest.raises(PageFault) as info:
            paddr_of(kernel, start, user=True)
        assert info.value.walk.fault.error_code == 7
    assert len(found) == 1
    assert len(set(found.pop())) == 3
    with pytest.raises(PageFault):
        paddr_of(kernel, start + 3 * PAGE)  # the guard page
    kernel.check()


@both
def test_addresses_are_not_used_again_until_they_are_flushed(mode):
    kernel, *_ = machine(mode)
    before = counted(kernel)[0]
    first = vmalloc(kernel, PAGE)
    owed(kernel)
    vfree(kernel, first)
    assert owed(kernel) == []
    assert vmalloc(kernel, PAGE) != first
    vfree(kernel, first + 2 * PAGE)
    kernel.map.vmalloc.purge()
    assert owed(kernel) != []
    assert vmalloc(kernel, PAGE) == first
    vfree(kernel, first)
    kernel.check()
    assert before - counted(kernel)[0] <= sum(kernel.state.kernel_tables.tables)


def test_it_may_be_in_highmem():
    kernel = Kernel.boot(IA32, 1024 * MIB)
    kernel.switch(kernel.spawn("first"))
    assert kernel.map.is_highmem(paddr_of(kernel, vmalloc(kernel, PAGE)) // PAGE)


@both
def test_without_memory_for_all_of_it_nothing_is_kept(mode):
    kernel = Kernel.boot(mode, 4 * MIB)
    kernel.map.vmalloc.vmap([1])  # its page tables are there
    before, total = counted(kernel)[0], kernel.state.allocator.totalram_pages
    with pytest.raises(OutOfMemory, match=r"^page allocation failure: order:0"):
        vmalloc(kernel, total * PAGE)
    assert counted(kernel)[0] == before
    with pytest.raises(VmallocError):
        vmalloc(kernel, 0)
    with pytest.raises(VmallocError):
        vfree(kernel, 0x1000)
    kernel.check()


@both
def test_who_calls_for_it_is_killed_for_memory_once_that_is_unwound(mode):
    kernel, cpu, process = machine(mode, megabytes=4)
    cpu.store(process.mm.mmap(0, PAGE, RW, ANON), b"x")

    def call():
        with kernel.acting(process):
            vmalloc(kernel, kernel.state.allocator.totalram_pages * PAGE)
    with pytest.raises(OomKilled):
        call()
    assert kernel.processes == {}
    kernel.check()


@both
def test_more_than_all_memory_is_refused_at_once(mode):
    kernel, cpu, process = machine(mode, megabytes=4)
    cpu.store(process.mm.mmap(0, PAGE, RW, ANON), b"x")
    before, bytes_in_all = counted(kernel), kernel.state.allocator.totalram_pages * PAGE
    for size in (bytes_in_all + PAGE, 8 * MIB, 1 << 40):
        with pytest.raises(VmallocTooLarge, match=rf"^vmalloc error: size {size}, exceeds total p"):
            vmalloc(kernel, size)
    with pytest.raises(VmallocError, match=r"^vmap of \d+ pages, but the machine has \d+$"):
        kernel.map.vmalloc.vmap([1] * (bytes_in_all // PAGE + 1))
    assert (counted(kernel), kernel.oom_kills) == (before, [])
    assert kernel.map.vmalloc.lazy == []
    kernel.check()


def test_without_addresses_for_it_no_page_is_taken():
    kernel, *_ = machine(IA32, megabytes=1024)
    kernel.state.frames.alloc = None  # nobody asks
    with pytest.raises(VmallocSpaceError):
        vmalloc(kernel, 200 * MIB)
