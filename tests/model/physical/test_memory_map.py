import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.physical.boot_options import Amount, BootOptions
from pagewalk.model.physical.kernel_config import AMD64, I686
from pagewalk.model.physical.memory_map import (
    E820Range,
    MemoryMap,
    MemoryMapError,
    MemoryRange,
    NodeRange,
    pc_memory,
)

from .linux_boots import BOOTS, Boot

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture(params=BOOTS)
def boot(request):
    return Boot(request.param)


def test_ranges_are_those_that_the_kernel_printed(boot):
    printed = re.findall(r"node +(\d+): \[mem 0x(\w+)-0x(\w+)\]", boot.dmesg)
    assert [(one.nid, one.start_pfn << 12, (one.end_pfn << 12) - 1)
            for one in boot.machine.ranges] == [
        (int(nid), int(start, 16), int(last, 16)) for nid, start, last in printed]


def test_end_of_ram_is_what_the_kernel_printed(boot):
    assert boot.machine.end_of_ram == int(re.search(r"last_pfn = (0x\w+)", boot.dmesg)[1], 16)


def test_lowmem_ends_where_the_kernel_printed(boot):
    low, high = boot.machine.lowmem_limit
    if printed := re.search(r"  low ram: 0 - (\w+)", boot.dmesg):
        megabytes = [int(size) for size in re.findall(r"(\d+)MB (?:HIGH|LOW)MEM", boot.dmesg)]
        assert low << 12 == int(printed[1], 16)
        assert [high - low >> 8, low >> 8] == megabytes
    else:
        assert low == high == boot.machine.end_of_ram


def test_present_memory_is_what_the_kernel_counted(boot):
    total = int(re.search(r"Memory: \d+K/(\d+)K", boot.dmesg)[1])
    assert sum(end - start for start, end in boot.machine.memory) * 4 == total


def i686(megabytes: int, **options) -> MemoryMap:
    return MemoryMap((E820Range(0, megabytes * MIB),), config=I686,
                     options=BootOptions(**options))


def test_lowmem_is_what_fits_beside_vmalloc():
    # 1 GiB of kernel addresses, less 20 MiB and 2 pages for the fixmap and what lies under it.
    maxmem = (GIB - 20 * MIB >> 12) - 2
    assert i686(2048).lowmem_limit == (maxmem - (128 * MIB >> 12), 2 * GIB >> 12)
    assert i686(2048, vmalloc_bytes=256 * MIB).lowmem_limit[0] == maxmem - (256 * MIB >> 12)


@pytest.mark.parametrize(
    ("megabytes", "highmem", "low", "high"),
    [
        (512, None, 512, 512),
        (512, 100, 412, 512),
        (512, 460, 512, 512),   # lowmem would have less than 64 MiB
        (512, 600, 512, 512),   # more than there is
        (2048, 100, None, None),
    ],
)
def test_highmem_has_the_size_that_was_asked_for(megabytes, highmem, low, high):
    pages = None if highmem is None else highmem * 256
    ends = i686(megabytes, highmem_pages=pages).lowmem_limit
    if low is None:  # all lowmem stays, and the machine has no more
        low = i686(megabytes).lowmem_limit[0] / 256
        high = low + highmem
    assert ends == (low * 256, high * 256)


def test_a_kernel_with_32_bits_does_not_see_what_reaches_above_them():
    below, across = E820Range(0, 3 * GIB), E820Range(3 * GIB + MIB, 6 * GIB)
    machine = MemoryMap((below, E820Range(4 * GIB, 6 * GIB)), config=I686)
    assert machine.lowmem_limit[1] == 3 * GIB >> 12
    machine = MemoryMap((below, across), config=I686)
    assert machine.lowmem_limit[1] == 1 << 20  # numbers of pages, but there is no such memory
    assert machine.memory[-1] == (256, 3 * GIB >> 12)
    assert MemoryMap((below, across)).lowmem_limit == (6 * GIB >> 12, 6 * GIB >> 12)


def test_the_first_page_and_the_range_below_one_mib_belong_to_the_bios():
    assert MemoryMap((E820Range(0, 2 * MIB),)).memory == [(1, 0xA0), (0x100, 0x200)]


def test_partial_pages_and_what_the_bios_owns_are_no_memory():
    machine = MemoryMap((
        E820Range(0x10, 0x1801), E820Range(0x2800, 0x6801), E820Range(0x6801, 0x7010),
        E820Range(0x9_F000, 0x12_0000), E820Range(0x11_0000, 0x11_0001, "reserved"),
    ))
    assert machine.memory == [(3, 7), (0x9F, 0xA0), (0x100, 0x110), (0x111, 0x120)]


RANGES = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 100), st.sampled_from(["usable", "reserved"])),
    min_size=1, max_size=8)


@given(RANGES)
def test_a_page_is_memory_if_all_its_bytes_are_usable_and_nothing_else(ranges):
    """Against a reference that looks at every kilobyte; the BIOS's ends before the first MiB."""
    at = MIB // 1024
    e820 = [E820Range((at + start) * 1024, (at + start + length) * 1024, kind)
            for start, length, kind in ranges]
    usable = {byte for one in e820 if one.kind == "usable"
              for byte in range(one.start, one.end, 1024)}
    usable -= {byte for one in e820 if one.kind != "usable"
               for byte in range(one.start, one.end, 1024)}
    pages = {byte >> 12 for byte in usable
             if all((byte & -4096) + part in usable for part in range(0, 4096, 1024))}
    try:
        memory = MemoryMap(tuple(e820)).memory
    except MemoryMapError:
        memory = []
    assert {pfn for start, end in memory for pfn in range(start, end)} == pages
    assert memory == sorted(memory)


def numa(*nodes: NodeRange, numa: bool = True, config=AMD64) -> MemoryMap:
    return MemoryMap((E820Range(MIB, 65 * MIB), E820Range(97 * MIB, 129 * MIB)), nodes,
                     cpus=(0, 1), config=config, options=BootOptions(numa=numa))


def test_memory_belongs_to_the_node_that_the_firmware_says():
    machine = numa(NodeRange(0, 0, 33 * MIB), NodeRange(1, 33 * MIB, 100 * MIB),
                   NodeRange(0, 100 * MIB, 200 * MIB))
    assert machine.ranges == [
        MemoryRange(0, 256, 33 * 256), MemoryRange(1, 33 * 256, 65 * 256),
        MemoryRange(1, 97 * 256, 100 * 256), MemoryRange(0, 100 * 256, 129 * 256)]
    assert machine.nids == [0, 1]
    assert machine.cpu_nodes == (0, 1)


@pytest.mark.parametrize(
    "machine",
    [
        numa(NodeRange(0, 0, 33 * MIB), NodeRange(1, 34 * MIB, 200 * MIB)),
        numa(NodeRange(0, 0, 33 * MIB), NodeRange(1, 33 * MIB, 200 * MIB), numa=False),
        numa(NodeRange(0, 0, 33 * MIB), NodeRange(1, 33 * MIB, 200 * MIB), config=I686),
        numa(),
    ],
    ids=["nodes leave out a MiB", "numa=off", "a kernel without NUMA", "no nodes"],
)
def test_all_is_one_node_if_the_kernel_does_not_use_nodes(machine):
    assert machine.ranges == [MemoryRange(0, 256, 65 * 256), MemoryRange(0, 97 * 256, 129 * 256)]
    assert machine.nids == [0]
    assert machine.cpu_nodes == (0, 0)


def test_memory_of_less_than_a_mib_may_be_of_no_node():
    machine = numa(NodeRange(0, 0, 33 * MIB), NodeRange(1, 34 * MIB - 4096, 200 * MIB))
    assert [one.nid for one in machine.ranges] == [0, 1, 1]
    assert machine.ranges[1].start_pfn == 34 * 256 - 1


def test_a_node_of_processors_alone_is_online():
    machine = MemoryMap((E820Range(MIB, 65 * MIB),), (NodeRange(0, 0, 65 * MIB),), cpus=(0, 2))
    assert machine.nids == [0, 2]
    assert [machine.distance(0, 0), machine.distance(0, 2)] == [10, 20]


def test_distances_are_the_firmwares(boot):
    if boot.machine.distances is None:
        assert boot.machine.nids == [0]
    else:
        for nid in boot.machine.nids:
            line = boot.read("distance").splitlines()[nid]
            assert [boot.machine.distance(nid, other) for other in boot.machine.nids] == [
                int(word) for word in line.split()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"e820": (E820Range(0, GIB, "reserved"),)}, r"^Memory map has no usable memory$"),
        ({"cpus": ()}, r"^Machine has no processor$"),
        ({"nodes": (NodeRange(0, 0, 2 * MIB), NodeRange(1, MIB, GIB))},
         r"^Node 0 and node 1 both have memory at 0x100000$"),
        ({"distances": ((10, 20), (20, 11))}, r"^Distances from node 1 must .*, not \(20, 11\)$"),
        ({"distances": ((10, 20),)}, r"^Distances from node 0 must be as many as nodes, 10 to"),
        ({"distances": ((10, 9), (20, 10))}, r"^Distances from node 0 must"),
        ({"distances": ((10, 256), (20, 10))}, r"^Distances from node 0 must"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(fields, message):
    with pytest.raises(MemoryMapError, match=message):
        MemoryMap(**{"e820": (E820Range(0, GIB),)} | fields)


def test_a_range_prints_as_the_kernel_prints_it(boot):
    for one in boot.machine.e820:
        if one.kind in ("usable", "reserved") and f"BIOS-e820: {one}" not in boot.dmesg:
            assert "e820: update" in boot.dmesg
            assert one == E820Range(0, 4096, "reserved")


def test_amounts_of_memory_are_pages_or_a_share():
    assert Amount(pages=5).of(1000) == 5
    assert Amount(percent=33).of(1000) == 330


@pytest.mark.parametrize(("memory_bytes", "expected"), [
    (0, [(0, 0x9FC00), (1 << 20, 1 << 20)]),
    (64 << 20, [(0, 0x9FC00), (1 << 20, 64 << 20)]),
    ((7 << 29) - 4096, [(0, 0x9FC00), (1 << 20, (7 << 29) - 4096)]),
    (7 << 29, [(0, 0x9FC00), (1 << 20, 3 << 30), (4 << 30, (4 << 30) + (1 << 29))]),
])
def test_a_pc_leaves_room_for_devices_below_4_gbytes(memory_bytes, expected):
    assert [(one.start, one.end) for one in pc_memory(memory_bytes)] == expected
