import re

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pagewalk.model.address_space.kernel_half.layout import LINUX_I686, layout_of
from pagewalk.model.address_space.kernel_half.mapping_ops import page_kernel
from pagewalk.model.address_space.kernel_half.vmalloc import (
    Vmalloc,
    VmallocError,
    VmallocSpaceError,
    VmAreaUse,
)
from pagewalk.model.x86 import IA32, Entry

from ..dict_tables import DictTables
from ..linux_kernels import machine, text

KERNEL = page_kernel(IA32)
LAYOUT = LINUX_I686.layout(1 << 18)
START = LAYOUT.vmalloc.start
SMALL = LINUX_I686.layout(LINUX_I686.maxmem >> 12)

LINE = re.compile(r"0x([0-9a-f]+)-0x([0-9a-f]+) +\d+ (\S+)(?: \[\w+\])?(?: pages=(\d+))?"
                  r"(?: phys=0x([0-9a-f]+))? (ioremap|vmalloc|vmap)")
THREAD_SIZE = 16 << 10  # what amd64 aligns kernel stacks to, which kernel_clone asks for


def areas(boot: str) -> list[tuple[int, int, str, str, str | None]]:
    """Return the areas of vmalloc: start, pages, who asked, what for, physical address."""
    space = layout_of(machine(boot)).vmalloc
    rows = []
    for line in text(boot, "vmallocinfo.txt").splitlines():
        start, end, caller, _, phys, flag = LINE.match(line).groups()
        if int(start, 16) in space and not caller.startswith("pcpu_get_vm_areas"):
            pages = (int(end, 16) - int(start, 16) >> 12) - 1
            rows.append((int(start, 16), pages, caller, flag, phys))
    return rows


def allocate(vmalloc: Vmalloc, pages: int, caller: str, flag: str, phys: str | None) -> int:
    if flag == "ioremap":
        return vmalloc.ioremap(int(phys, 16), pages << 12, caller)
    if flag == "vmap":
        return vmalloc.vmap(range(pages), caller).start
    align = THREAD_SIZE if caller.startswith("kernel_clone") else 4096
    return vmalloc.vmalloc(range(pages), caller, align=align).start


# As long as nothing had been freed, addresses rise in the order in which they were asked for, but
# for those that fill the gaps of aligned areas. i686 has freed a module's set-up code by its ninth
# area, and later more; amd64, whose kernel stacks are never given back, its first after 89.
@pytest.mark.parametrize(("boot", "count"), [("i686-A", 8), ("amd64-A", 89)])
def test_areas_get_the_addresses_that_the_real_kernel_gave(boot, count):
    vmalloc = Vmalloc(layout_of(machine(boot)), DictTables())
    real = areas(boot)[:count]
    found = [allocate(vmalloc, *row) for _, *row in real]
    assert found == [row[0] for row in real]
    vmalloc.check()


@pytest.mark.parametrize(("boot", "count"), [("i686-A", 8), ("amd64-A", 89)])
def test_vmallocinfo_reads_as_the_real_file(boot, count):
    # The real kernel knows "vpages", and the node of each page of a machine with nodes.
    vmalloc = Vmalloc(layout_of(machine(boot)), DictTables())
    for _, *row in areas(boot)[:count]:
        allocate(vmalloc, *row)
    strip = re.compile(r" \[\w+\]| vpages| N\d+=\d+")
    real = strip.sub("", text(boot, "vmallocinfo.txt"))
    assert vmalloc.vmallocinfo().splitlines() == real.splitlines()[:count]


def test_an_area_maps_its_pages_and_leaves_a_guard_page():
    tables = DictTables()
    vmalloc = Vmalloc(LAYOUT, tables)
    first = vmalloc.vmalloc([7, 9, 8])
    second = vmalloc.vmalloc([1])
    assert tables.pages == {START: (7, KERNEL), START + 0x1000: (9, KERNEL),
                            START + 0x2000: (8, KERNEL), START + 0x4000: (1, KERNEL)}
    assert (first.end, second.start) == (START + 0x4000, START + 0x4000)
    assert vmalloc.find(START + 0x3FFF) is first
    assert vmalloc.find(second.end) is None


def test_freed_addresses_are_unmapped_at_once_but_used_only_after_a_purge():
    tables = DictTables()
    vmalloc = Vmalloc(LAYOUT, tables)
    first, second = vmalloc.vmalloc([1, 2]), vmalloc.vmalloc([3])
    assert vmalloc.vfree(first.start) == (1, 2)
    assert list(tables.pages) == [second.start]
    assert tables.flushed == []
    assert vmalloc.vmalloc([4]).start == second.end
    vmalloc.purge()
    assert tables.flushed == [(first.start, first.end)]
    assert vmalloc.vmalloc([5]).start == first.start


def test_one_flush_covers_all_that_was_freed():
    tables = DictTables()
    vmalloc = Vmalloc(LAYOUT, tables)
    made = [vmalloc.vmalloc([number]) for number in range(5)]
    vmalloc.vfree(made[3].start)
    vmalloc.vfree(made[1].start)
    vmalloc.purge()
    vmalloc.purge()
    assert tables.flushed == [(made[1].start, made[3].end)]


@pytest.mark.parametrize(("cpus", "mib"), [(1, 32), (2, 64), (3, 64), (4, 96)])
def test_more_than_32_mbytes_for_each_doubling_of_processors_bring_a_purge(cpus, mib):
    # lazy_max_pages: fls(cpus) * 32 Mbytes
    vmalloc = Vmalloc(LINUX_I686.layout(1 << 14), DictTables(), cpus=cpus)
    made = [vmalloc.vmalloc(range(255)) for _ in range(mib + 1)]  # a Mbyte each, with its guard
    for area in made[:-1]:
        vmalloc.vfree(area.start)
    assert vmalloc.lazy == [(made[0].start, made[-1].start)]
    vmalloc.vfree(made[-1].start)
    assert vmalloc.lazy == []


def test_addresses_that_run_out_bring_a_purge_and_only_then_an_error():
    layout = SMALL
    vmalloc = Vmalloc(layout, DictTables())
    pages = (layout.vmalloc.end - layout.vmalloc.start) // 4096
    area = vmalloc.vmalloc(range(pages - 5))
    vmalloc.vfree(vmalloc.vmalloc(range(2)).start)
    assert vmalloc.vmalloc(range(3)).start == area.end
    with pytest.raises(VmallocSpaceError, match=r"^vmap allocation for size 12288 failed$"):
        vmalloc.vmalloc(range(2))
    vmalloc.check()


def test_an_aligned_area_needs_room_for_the_worst_alignment():
    # The kernel keeps free stretches in a tree, whose root here is the rest of the space. It looks
    # at the one freed, left of it, only if that had room for 20 Kbytes anywhere and 16 more.
    vmalloc = Vmalloc(LAYOUT, DictTables())
    aligned = vmalloc.vmalloc(range(4), align=THREAD_SIZE)
    vmalloc.vmalloc([1])  # fills the gap before it
    after = vmalloc.vmalloc(range(4))
    assert after.start == aligned.end
    vmalloc.vfree(aligned.start)
    vmalloc.purge()
    assert vmalloc.vmalloc(range(4), align=THREAD_SIZE).start > after.start
    assert vmalloc.vmalloc(range(4)).start == aligned.start  # it would have fitted


def test_ioremap_shows_the_page_of_any_address_uncached():
    tables = DictTables()
    vmalloc = Vmalloc(LAYOUT, tables)
    vaddr = vmalloc.ioremap(0xFED0_0123, 0x2000)
    assert vaddr % 0x4000 == 0x123  # three pages, aligned to four
    page = vaddr & ~0xFFF
    uncached = KERNEL | Entry.PCD
    assert tables.pages == {page + number * 4096: (0xFED00 + number, uncached)
                            for number in range(3)}
    assert "phys=0xfed00000 ioremap" in vmalloc.vmallocinfo()
    vmalloc.iounmap(vaddr)
    assert tables.pages == {}


class Exhausted(Exception):
    pass


@pytest.mark.parametrize("works", [0, 1, 3])
@pytest.mark.parametrize("make", [
    lambda vmalloc: vmalloc.vmalloc([7, 8, 9, 10]), lambda vmalloc: vmalloc.vmap([7, 8, 9, 10]),
    lambda vmalloc: vmalloc.ioremap(0xFED0_0000, 0x4000)], ids=["vmalloc", "vmap", "ioremap"])
def test_an_area_that_cannot_be_mapped_to_its_end_is_given_up(make, works):
    tables = DictTables()
    vmalloc = Vmalloc(LAYOUT, tables)
    set_page = tables.set_page

    def fail(*args):
        if len(tables.pages) == works:
            raise Exhausted
        set_page(*args)

    tables.set_page = fail
    with pytest.raises(Exhausted):
        make(vmalloc)
    tables.set_page = set_page
    assert (tables.pages, vmalloc.areas) == ({}, [])
    vmalloc.check()
    [(start, end)] = vmalloc.lazy  # a TLB may know the pages that were there
    assert end - start == 5 << 12
    vmalloc.purge()
    assert tables.flushed == [(start, end)]
    make(vmalloc)
    assert vmalloc.areas[0].start == start


def test_pages_of_vmap_stay_their_owners():
    vmalloc = Vmalloc(LAYOUT, DictTables())
    area = vmalloc.vmap([5, 5])
    assert area.use is VmAreaUse.VMAP
    assert vmalloc.vfree(area.start) == ()


def test_vmallocinfo_lists_what_waits_for_a_purge_last_and_counts_pages_by_node():
    vmalloc = Vmalloc(LAYOUT, DictTables(), node_of=lambda pfn: pfn // 100)
    first = vmalloc.vmalloc([1, 150, 2], "first+0x1/0x2")
    second = vmalloc.vmalloc([3], "second+0x1/0x2")
    vmalloc.vfree(second.start)
    assert vmalloc.vmallocinfo() == (
        f"{first.start:#x}-{first.end:#x}   16384 first+0x1/0x2 pages=3 vmalloc N0=2 N1=1\n"
        f"{second.start:#x}-{second.end:#x}    8192 unpurged vm_area\n"
    )


def test_requests_that_make_no_sense_are_refused():
    vmalloc = Vmalloc(LAYOUT, DictTables())
    with pytest.raises(VmallocError, match=r"^Trying to vfree\(\) nonexistent vm area \(0x1000\)$"):
        vmalloc.vfree(0x1000)
    with pytest.raises(VmallocError, match=r"not 0 pages aligned to 4096$"):
        vmalloc.vmalloc([])
    with pytest.raises(VmallocError, match=r"not 1 pages aligned to 12288$"):
        vmalloc.vmalloc([1], align=12288)
    with pytest.raises(VmallocError, match=r"^ioremap needs at least a byte from address 0 up"):
        vmalloc.ioremap(0xFED0_0000, 0)


class Churn(RuleBasedStateMachine):
    """vmalloc beside a set of page numbers, where the lowest fit is searched page by page."""

    def __init__(self):
        super().__init__()
        self.tables = DictTables()
        self.vmalloc = Vmalloc(SMALL, self.tables)
        self.used: set[int] = set()
        self.waiting: set[int] = set()
        self.live = {}

    def lowest(self, pages: int) -> int:
        page = SMALL.vmalloc.start >> 12
        taken = self.used | self.waiting
        while taken & set(range(page, page + pages)):
            page += 1
        return page

    @rule(pages=st.integers(1, 9))
    def allocate(self, pages):
        expected = self.lowest(pages + 1)
        area = self.vmalloc.vmalloc(range(pages))
        assert area.start >> 12 == expected
        self.live[area.start] = set(range(expected, expected + pages + 1))
        self.used |= self.live[area.start]

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def free(self, data):
        start = data.draw(st.sampled_from(sorted(self.live)))
        self.vmalloc.vfree(start)
        pages = self.live.pop(start)
        self.used -= pages
        self.waiting |= pages

    @rule()
    def purge(self):
        self.vmalloc.purge()
        self.waiting.clear()

    @invariant()
    def consistent(self):
        self.vmalloc.check()
        mapped = sum(len(pages) - 1 for pages in self.live.values())
        assert len(self.tables.pages) == mapped


Churn.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestChurn = pytest.mark.slow(Churn.TestCase)
