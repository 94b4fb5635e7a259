"""The kernel's half of the address space through the MMU: no user gets in, the kernel does."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.address_space.fixmap import Fixmap
from pagewalk.model.address_space.kmap import KmapLocal, Pkmap
from pagewalk.model.address_space.layout import AreaKind
from pagewalk.model.address_space.page_tables import page_kernel
from pagewalk.model.address_space.vmalloc import Vmalloc
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.x86 import IA32, MODES, X86_64, AccessKind, ErrorCode, Vector
from pagewalk.sim.cosim import Machine
from pagewalk.sim.engine import create
from pagewalk.sim.engine.base import accesses, data_accesses
from pagewalk.sim.linux import LinuxKernel

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
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
        self.machine.invalidate(self.kernel.state.tlb.take())
        answer, = self.engine.run(self.kernel.state.memory, commands).answers
        return answer


def mapped_addresses(kernel):
    """Map a page in each area that maps pages as they are needed; return an address in each."""
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
    for kind, vaddr in addresses.items():
        assert layout.area_of(vaddr).kind is kind
    return addresses


@every_mode
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_a_user_may_reach_no_area_of_the_kernel(mode, engine):
    running = Running(mode, engine)
    kernel = running.kernel
    mapped = mapped_addresses(kernel)
    kernel_areas = [area for area in kernel.layout.areas
                    if area.start >= kernel.layout.task_size
                    and area.kind is not AreaKind.NON_CANONICAL]
    assert len(kernel_areas) >= (6 if mode is IA32 else 8)
    causes = {AccessKind.READ: 0, AccessKind.WRITE: ErrorCode.WR,
              AccessKind.FETCH: ErrorCode.ID if mode is X86_64 else 0}
    for area in kernel_areas:
        is_mapped = area.kind in mapped
        vaddr = mapped.get(area.kind, area.start)
        for kind, cause in causes.items():
            answer = running.answer(accesses(kernel.control, vaddr, kind, user=1))
            expected = ErrorCode.US | cause | (ErrorCode.P if is_mapped else 0)
            assert (answer["vector"], answer["error"], answer["vaddr"]) == (
                Vector.PF, expected, vaddr), (area, kind)
        if is_mapped:
            assert not running.answer(accesses(kernel.control, vaddr))["fault"], area


@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_the_non_canonical_hole_is_a_general_protection_fault(engine):
    running = Running(X86_64, engine)
    hole = running.kernel.layout.area(AreaKind.NON_CANONICAL)
    for vaddr in (hole.start, hole.end - 1):
        answer = running.answer(accesses(running.kernel.control, vaddr, user=1))
        assert (answer["vector"], answer["error"]) == (Vector.GP, 0)


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
