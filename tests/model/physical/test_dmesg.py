import pytest

from pagewalk.model.physical.boot_options import Amount
from pagewalk.model.physical.dmesg import read_dmesg
from pagewalk.model.physical.kernel_config import AMD64, I686
from pagewalk.model.physical.memory_map import E820Range, MemoryMapError, NodeRange

from .linux_boots import BOOTS, Boot

MAP = """\
[    0.000000] Command line: console=ttyS0 movablecore=25% numa=off
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable
[    0.000000] BIOS-e820: [mem 0x0000000040000000-0x00000000400fffff] ACPI NVS
[    0.000000] last_pfn = 0x40000 max_arch_pfn = 0x400000000
"""


@pytest.mark.parametrize("name", BOOTS)
def test_a_real_boot_is_read_as_what_it_was(name):
    machine = Boot(name).machine
    assert machine.config is (AMD64 if name.startswith("amd64") else I686)
    assert machine.cpus == (0,)
    assert len(machine.nids) == (2 if name.startswith("amd64") else 1)


def test_each_line_is_read():
    machine = read_dmesg(MAP)
    assert machine.e820 == (
        E820Range(0, 0x9FC00), E820Range(0x10_0000, 0x4000_0000),
        E820Range(0x4000_0000, 0x4010_0000, "ACPI NVS"))
    assert machine.options.movablecore == Amount(percent=25)
    assert not machine.options.numa
    assert machine.cpus == (0,)


def test_five_levels_of_page_tables_do_not_make_another_kernel():
    assert read_dmesg(MAP.replace("0x400000000", "0x10000000000")) == read_dmesg(MAP)


def test_time_stamps_and_carriage_returns_do_not_matter():
    plain = "".join(f"{line[15:]}\r\n" for line in MAP.splitlines())
    assert read_dmesg(plain) == read_dmesg(MAP)


def test_a_map_from_the_command_line_replaces_that_of_the_bios():
    text = MAP + "user: [mem 0x0000000000100000-0x000000001fffffff] usable\n"
    assert read_dmesg(text).e820 == (E820Range(0x10_0000, 0x2000_0000),)


def test_changes_that_the_kernel_reports_count():
    text = MAP + (
        "e820: update [mem 0x20000000-0x20000fff] usable ==> reserved\n"
        "e820: update [mem 0x30000000-0x30000fff] usable ==> usable\n"
        "e820: remove [mem 0x3f000000-0xffffffff] usable\n")
    assert read_dmesg(text).memory == [
        (1, 0x9F), (0x100, 0x2_0000), (0x2_0001, 0x3_F000)]


def test_nodes_and_processors_come_from_the_srat():
    text = MAP + (
        "SRAT: PXM 0 -> APIC 0x00 -> Node 0\n"
        "SRAT: PXM 1 -> APIC 0x01 -> Node 1\n"
        "SRAT: PXM 2 -> APIC 0x02 -> Node 2\n"
        "ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x1fffffff]\n"
        "ACPI: SRAT: Node 1 PXM 1 [mem 0x20000000-0x3fffffff] hotplug\n"
        "smp: Brought up 2 nodes, 2 CPUs\n")
    machine = read_dmesg(text, ((10, 21), (21, 10)))
    assert machine.cpus == (0, 1)
    assert machine.nodes == (NodeRange(0, 0, 0x2000_0000),
                             NodeRange(1, 0x2000_0000, 0x4000_0000, hotplug=True))
    assert machine.distance(1, 0) == 21


def test_processors_that_the_srat_lacks_are_on_node_0():
    assert read_dmesg(MAP + "smp: Brought up 1 node, 3 CPUs\n").cpus == (0, 0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^Boot messages have no line 'BIOS-e820: \[mem \.\.\.\] usable'$"),
        (MAP.replace("max_arch_pfn", "max"), r"^Boot messages have no line 'last_pfn = "),
        (MAP.replace("0x400000000", "0x1000000"),
         r"^max_arch_pfn is 0x1000000: expected one of 0x400000000 \(amd64\), 0x100000 \(i686\)$"),
        (MAP.replace("] usable", "] reserved"), r"^Memory map has no usable memory$"),
    ],
)
def test_messages_without_a_machine_are_refused(text, message):
    with pytest.raises(MemoryMapError, match=message):
        read_dmesg(text)
