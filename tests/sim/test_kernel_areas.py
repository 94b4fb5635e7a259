"""The kernel's half of the address space through the MMU: no user gets in, the kernel does."""

from signal import SIGSEGV

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.address_space.kernel_half.fixmap import Fixmap
from pagewalk.model.address_space.kernel_half.kmap import KmapLocal, Pkmap
from pagewalk.model.address_space.kernel_half.layout import AreaKind
from pagewalk.model.address_space.kernel_half.mapping_ops import page_kernel
from pagewalk.model.address_space.kernel_half.vmalloc import Vmalloc
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.mmu.control import Access
from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.x86 import IA32, X86_64, AccessKind, ErrorCode, Vector
from pagewalk.sim.cosim.linux import LinuxKernel
from pagewalk.sim.cosim.machine import AccessFailed, Machine
from pagewalk.sim.engine import create
from pagewalk.sim.engine.command import accesses, data_accesses
from pagewalk.sim.workloads.workload import DATA_ACCESS

every_mode = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
MIB = 1 << 20


class Running:
    """A kernel with a process running, and an engine that translates for it."""

    def __init__(self, mode, engine, megabytes=4):
        linux = LinuxKernel(Kernel.boot(mode, megabytes * MIB), ())
        self.kernel = linux.kernel
        self.engine = create(engine, Config(mode=mode, entries=16, ports=("data",)))
        self.machine = Machine(self.engine, self.kernel.state.memory, linux)
        self.machine.invalidate(linux.switch(0))

    def answer(self, commands):
        """Return the answer to one command, after what the kernel wants invalidated."""
        with self.kernel.invalidations() as owed:
            pass
        self.machine.invalidate(owed)
        answer, = self.engine.run(self.kernel.state.memory, commands).answers
        return answer


def kernel_areas(kernel):
    """Return all areas above user addresses that an address can be in."""
    return [area for area in kernel.layout.areas if area.start >= kernel.layout.task_size
            and area.kind is not AreaKind.NON_CANONICAL]


def mapped_addresses(kernel):
    """Map a page in each area, as is done there if it is modelled; return an address in each."""
    layout, space = kernel.layout, kernel.kernel_space
    pfn = kernel.state.allocator.alloc_pages(Gfp.KERNEL)
    flags = page_kernel(kernel.mode)
    addresses = {
        AreaKind.DIRECT_MAP: layout.page_offset + (pfn << 12),
        AreaKind.VMALLOC: Vmalloc(layout, space).vmap([pfn]).start,
        AreaKind.FIXMAP: Fixmap(layout.fixed, space).set_fixmap(
            layout.fixed.slots[-1].name, pfn << 12, flags),
    }
    if layout.pkmap_slots:
        addresses[AreaKind.PKMAP] = Pkmap(layout, space).kmap(pfn)
    for area in kernel_areas(kernel):
        if area.kind not in addresses:
            addresses[area.kind] = area.start
            space.set_page(area.start, pfn, flags)
    for kind, vaddr in addresses.items():
        assert layout.area_of(vaddr).kind is kind
    return addresses


CAUSES = {AccessKind.READ: 0, AccessKind.WRITE: ErrorCode.WR, AccessKind.FETCH: ErrorCode.ID}


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_a_user_may_reach_no_area_of_the_kernel(mode, engine):
    """Nor learn from the error code of a page that is there more than that it is there."""
    running = Running(mode, engine)
    kernel = running.kernel
    areas = kernel_areas(kernel)
    assert len(areas) == (6 if mode is IA32 else 12)
    empty = [(area, vaddr) for area in areas for vaddr in (area.start, area.end - 1)
             if kernel.state.kernel_walk(Access(vaddr)).fault is not None]
    assert {area.kind for area, _ in empty} >= {area.kind for area in areas} - {
        AreaKind.DIRECT_MAP}
    for area, vaddr in empty:
        _expect_faults(running, area, vaddr, 0)
    mapped = mapped_addresses(kernel)
    for area in areas:
        _expect_faults(running, area, mapped[area.kind], ErrorCode.P)
        assert not running.answer(accesses(kernel.control, mapped[area.kind]))["fault"], area


def _expect_faults(running, area, vaddr, present):
    for kind, cause in CAUSES.items():
        answer = running.answer(accesses(running.kernel.control, vaddr, kind, user=1))
        if kind is AccessKind.FETCH and running.kernel.mode is IA32:
            cause = 0  # without NX and SMEP
        assert (answer["vector"], answer["error"], answer["vaddr"]) == (
            Vector.PF, ErrorCode.US | cause | present, vaddr), (area, kind)


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_a_process_that_tries_gets_a_signal_and_changes_nothing(mode, engine):
    running = Running(mode, engine)
    kernel = running.kernel
    mapped = mapped_addresses(kernel)  # all of them of one page
    assert {*mapped} == {area.kind for area in kernel_areas(kernel)}
    page = mapped[AreaKind.DIRECT_MAP] - kernel.layout.page_offset
    kernel.state.memory.write(page, 8, 0x5EC2E7)
    for vaddr in mapped.values():
        for store in (False, True):
            with pytest.raises(AccessFailed) as caught:
                running.machine.run(np.array([(0, store, 8, vaddr, 1)], DATA_ACCESS))
            assert caught.value.signal == SIGSEGV
        assert running.answer(data_accesses(kernel.control, vaddr))["value"] == 0x5EC2E7
    assert kernel.state.memory.read(page, 8) == 0x5EC2E7


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_the_non_canonical_hole_is_a_general_protection_fault(engine):
    running = Running(X86_64, engine)
    hole = running.kernel.layout.area(AreaKind.NON_CANONICAL)
    for vaddr in (hole.start, hole.end - 1):
        answer = running.answer(accesses(running.kernel.control, vaddr, user=1))
        assert (answer["vector"], answer["error"]) == (Vector.GP, 0)
        aligned = vaddr & -8
        with pytest.raises(AccessFailed, match=f"^Signal 11 at the load from {aligned:#x} of "):
            running.machine.run(np.array([(0, False, 8, aligned, 0)], DATA_ACCESS))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_highmem_is_reached_through_kmap_alone(engine):
    """Pages come and go in the slots of kmap and kmap_local; the data stay in the pages."""
    running = Running(IA32, engine, megabytes=1024)
    kernel = running.kernel
    layout, space = kernel.layout, kernel.kernel_space
    pkmap = Pkmap(layout, space)
    local = KmapLocal(layout.fixed, space, page_kernel(IA32), 0)
    pages = [kernel.state.allocator.alloc_pages(Gfp.HIGHUSER) for _ in range(8)]
    limit = layout.high_memory - layout.page_offset >> 12
    assert min(pages) >= limit  # no address in the direct map

    def access(vaddr, store, value=0):
        answer = running.answer(data_accesses(kernel.control, vaddr, store, value, size=4))
        assert not answer["fault"]
        return int(answer["value"])

    for number, pfn in enumerate(pages):
        access(pkmap.kmap(pfn), True, 0xA000_0000 + number)
        pkmap.kunmap(pfn)
    for _ in range(3):
        for number, pfn in enumerate(pages):
            vaddr = local.kmap(pfn)
            assert layout.area_of(vaddr).kind is AreaKind.FIXMAP
            assert access(vaddr, False) == 0xA000_0000 + number
            local.kunmap(vaddr)
    for number, pfn in enumerate(pages):
        assert kernel.state.memory.read(pfn << 12, 4) == 0xA000_0000 + number
