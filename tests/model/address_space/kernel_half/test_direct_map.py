import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.address_space.kernel_half.direct_map import (
    DirectMap,
    HighmemError,
    MappedRange,
    direct_map_ranges,
    split_large_pages,
)
from pagewalk.model.address_space.kernel_half.layout import LINUX_AMD64, LINUX_I686, layout_of
from pagewalk.model.physical.kernel_config import AMD64, I686
from pagewalk.model.physical.memory_map import E820Range, MemoryMap

from ..dict_tables import DictTables
from ..linux_kernels import BOOTS, PAGE_SIZES, machine, page_tables, text

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = PAGE_SIZES["amd64"]
PAGE = 4096


def as_rows(ranges):
    return [(one.start, one.end, one.page_bytes) for one in ranges]


def read_only(boot: str) -> list[tuple[int, int]]:
    """Return the bytes that the running kernel made read-only, by the files of the boot.

    Its own code and constants, and the page of the IDT; the code of modules and of BPF programs
    lies in other pages, whose addresses in the direct map are made read-only as well.
    """
    code, rodata = (
        tuple(int(word, 16) for word in
              re.search(rf"([0-9a-f]+)-([0-9a-f]+) : Kernel {name}", text(boot, "iomem.txt"))
              .groups())
        for name in ("code", "rodata")
    )
    kernel = [(start, -(-end // PAGE) * PAGE) for start, end in (code, rodata)]
    if boot.startswith("i686"):  # one stretch, and the IDT lies in a page table that is split
        return [(code[0], kernel[1][1])]
    idt = int(re.search(r"([0-9a-f]+) b idt_table", text(boot, "kallsyms-mm.txt"))[1], 16)
    idt -= 0xFFFF_FFFF_8000_0000
    return [*kernel, (idt, idt + PAGE), *page_tables(boot, "module-text")]


@pytest.mark.parametrize("boot", BOOTS)
def test_page_sizes_are_those_of_the_real_kernels_page_tables(boot):
    sizes = PAGE_SIZES[boot.split("-")[0]]
    ranges = direct_map_ranges(machine(boot), page_sizes=sizes)
    for start, end in read_only(boot):
        ranges = split_large_pages(ranges, start, end, sizes)
    real = page_tables(boot, "direct")
    assert as_rows(ranges) == real
    assert len(real) >= 5


@pytest.mark.parametrize("boot", ["i686-A", "i686-B"])
def test_the_kernel_counts_as_many_pages_of_each_size(boot):
    sizes = PAGE_SIZES["i686"]
    ranges = direct_map_ranges(machine(boot), page_sizes=sizes)
    for start, end in read_only(boot):
        ranges = split_large_pages(ranges, start, end, sizes)
    kibibytes = {size: sum(one.end - one.start for one in ranges if one.page_bytes == size) // KIB
                 for size in sizes}
    counted = {name: int(number) for name, number in
               re.findall(r"DirectMap(\w+): +(\d+) kB", text(boot, "meminfo-direct-map.txt"))}
    assert counted == {"4k": kibibytes[4 * KIB], "4M": kibibytes[4 * MIB]}


def test_memory_at_boot_has_pages_as_large_as_it_allows():
    # amd64-B: 3 Gbytes less some pages, and 2 Gbytes from 4 Gbytes on.
    assert as_rows(direct_map_ranges(machine("amd64-B"), page_sizes=SIZES)) == [
        (0, 2 * MIB, 4 * KIB),
        (2 * MIB, GIB, 2 * MIB),
        (GIB, 2 * GIB, GIB),
        (2 * GIB, 0xBFE0_0000, 2 * MIB),
        (0xBFE0_0000, 0xBFFD_A000, 4 * KIB),
        (4 * GIB, 6 * GIB, GIB),
    ]


def test_a_processor_without_1_gbyte_pages_gets_2_mbyte_pages():
    ranges = direct_map_ranges(machine("amd64-B"), page_sizes=SIZES[:2])
    assert {one.page_bytes for one in ranges} == {4 * KIB, 2 * MIB}
    assert as_rows(ranges)[-1] == (4 * GIB, 6 * GIB, 2 * MIB)


@st.composite
def machines(draw):
    edges = sorted(draw(st.sets(st.integers(1, 0xA0_0000), min_size=4, max_size=12)))
    ranges = [E820Range(start * 4096, end * 4096)
              for start, end in zip(edges[::2], edges[1::2], strict=False)]
    config = draw(st.sampled_from([AMD64, I686]))
    return MemoryMap((E820Range(0, 640 * KIB), E820Range(MIB, 2 * MIB), *ranges), config=config)


@given(machines())
def test_all_of_lowmem_and_the_first_mbyte_are_mapped_once(machine):
    sizes = PAGE_SIZES[machine.config.name]
    ranges = direct_map_ranges(machine, page_sizes=sizes)
    lowmem, _ = machine.lowmem_limit
    for below, above in pairwise(ranges):
        assert below.end <= above.start
    mapped = sum(one.end - one.start for one in ranges)
    first_mbyte = 256
    pages = sum(max(0, min(end, lowmem) - max(start, first_mbyte)) for start, end in machine.memory)
    assert mapped == (pages + first_mbyte) * 4096
    for one in ranges:
        assert one.start % one.page_bytes == one.end % one.page_bytes == 0


@given(machines(), st.data())
def test_splitting_keeps_what_is_mapped_and_separates_the_edges(machine, data):
    sizes = PAGE_SIZES[machine.config.name]
    ranges = direct_map_ranges(machine, page_sizes=sizes)
    one = data.draw(st.sampled_from(ranges))
    pages = (one.end - one.start) // 4096
    start = one.start + 4096 * data.draw(st.integers(0, pages - 1))
    end = start + 4096 * data.draw(st.integers(1, (one.end - start) // 4096))
    split = split_large_pages(ranges, start, end, sizes)
    total = sum(one.end - one.start for one in ranges)
    assert sum(one.end - one.start for one in split) == total
    for piece in split:
        assert piece.start % piece.page_bytes == piece.end % piece.page_bytes == 0
        for edge in (start, end):
            if piece.start < edge < piece.end:
                assert edge % piece.page_bytes == 0
    # Nothing but the pages at the edges is split.
    small = sum(one.end - one.start for one in split if one.page_bytes == 4096)
    before = sum(one.end - one.start for one in ranges if one.page_bytes == 4096)
    assert small - before <= 2 * sizes[1]


def test_a_1_gbyte_page_is_split_only_as_far_as_it_takes():
    split = split_large_pages([MappedRange(0, GIB, GIB)], 4 * MIB + 4 * KIB, 8 * MIB, SIZES)
    assert as_rows(split) == [
        (0, 4 * MIB, 2 * MIB),
        (4 * MIB, 6 * MIB, 4 * KIB),
        (6 * MIB, GIB, 2 * MIB),
    ]


def test_a_large_page_whose_rights_change_as_a_whole_stays():
    ranges = [MappedRange(0, GIB, GIB), MappedRange(GIB, GIB + 4 * MIB, 2 * MIB)]
    assert split_large_pages(ranges, 0, GIB + 2 * MIB, SIZES) == ranges


def test_addresses_of_lowmem_translate_both_ways():
    direct = DirectMap(LINUX_I686.layout(0x5_0000))
    assert direct.va(0x1234_5678) == 0xD234_5678
    assert direct.pa(0xD234_5678) == 0x1234_5678
    assert direct.virt_to_page(0xD234_5678) == 0x12345
    assert direct.page_address(direct.max_low_pfn - 1) == 0xF6BF_D000
    assert DirectMap(LINUX_AMD64.layout(0x5_0000)).va(0x1000) == 0xFFFF_8880_0000_1000


def test_highmem_has_no_address():
    direct = DirectMap(LINUX_I686.layout(0x5_0000))
    assert direct.max_low_pfn == 0x36BFE
    with pytest.raises(HighmemError, match=r"^Physical address 0x36bfe000 has no linear address: "
                                           r"the direct map ends at 0x36bfe000$"):
        direct.page_address(0x36BFE)
    with pytest.raises(HighmemError, match=r"^Linear address 0xf6bfe000 is not in the direct map"):
        direct.pa(0xF6BF_E000)
    with pytest.raises(HighmemError):
        direct.pa(0xBFFF_FFFF)


def test_mapping_it_hands_every_range_to_the_page_tables():
    boot = machine("i686-A")
    tables = DictTables()
    ranges = direct_map_ranges(boot, page_sizes=PAGE_SIZES["i686"])
    DirectMap(layout_of(boot)).map(ranges, tables)
    assert tables.ranges[1] == (0xC040_0000, 0x400, 0x3640_0000, 4 * MIB, 0x163)
    assert sum(row[2] for row in tables.ranges) == 0x36BF_E000  # the holes of the first Mbyte too
