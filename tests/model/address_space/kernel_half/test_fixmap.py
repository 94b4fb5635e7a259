from itertools import pairwise

import pytest

from pagewalk.model.address_space.kernel_half.fixmap import (
    FIXMAP_AMD64,
    FIXMAP_I686,
    FixedAddresses,
    Fixmap,
    FixmapError,
)
from pagewalk.model.x86 import Entry

from ..dict_tables import DictTables
from ..linux_kernels import page_tables

FIXMAPS = {"i686": FIXMAP_I686, "amd64": FIXMAP_AMD64}
LOCAL_APIC, IO_APIC = 0xFEE0_0000, 0xFEC0_0000
# PAGE_KERNEL_IO_NOCACHE: the flags of both APICs in the page tables of i686-A.
NOCACHE = Entry.P | Entry.RW | Entry.PWT | Entry.PCD | Entry.A | Entry.D | Entry.G

# enum fixed_addresses with the configuration of Debian's kernels: slot, number, address. The kernel
# counts FIX_KMAP from FIX_KMAP_BEGIN, and FIX_BTMAP from FIX_BTMAP_END, the first number of each.
SLOTS = [
    ("i686", "FIX_HOLE", 0, 0xFFFF_F000),
    ("i686", "FIX_DBGP_BASE", 1, 0xFFFF_E000),
    ("i686", "FIX_EARLYCON_MEM_BASE", 2, 0xFFFF_D000),
    ("i686", "FIX_APIC_BASE", 3, 0xFFFF_C000),
    ("i686", "FIX_IO_APIC_BASE", 4, 0xFFFF_B000),
    ("i686", "FIX_KMAP", 68, 0xFFFB_B000),
    ("i686", "FIX_PCIE_MCFG", 580, 0xFFDB_B000),
    ("i686", "FIX_APEI_GHES_IRQ", 581, 0xFFDB_A000),
    ("i686", "FIX_APEI_GHES_NMI", 582, 0xFFDB_9000),
    ("i686", "FIX_BTMAP", 1024, 0xFFBF_F000),
    ("i686", "FIX_WP_TEST", 1536, 0xFF9F_F000),
    ("amd64", "VSYSCALL_PAGE", 511, 0xFFFF_FFFF_FF60_0000),
    ("amd64", "FIX_DBGP_BASE", 512, 0xFFFF_FFFF_FF5F_F000),
    ("amd64", "FIX_EARLYCON_MEM_BASE", 513, 0xFFFF_FFFF_FF5F_E000),
    ("amd64", "FIX_APIC_BASE", 514, 0xFFFF_FFFF_FF5F_D000),
    ("amd64", "FIX_IO_APIC_BASE", 515, 0xFFFF_FFFF_FF5F_C000),
    ("amd64", "FIX_PARAVIRT_BOOTMAP", 643, 0xFFFF_FFFF_FF57_C000),
    ("amd64", "FIX_APEI_GHES_NMI", 645, 0xFFFF_FFFF_FF57_A000),
    ("amd64", "FIX_BTMAP", 1024, 0xFFFF_FFFF_FF3F_F000),
    ("amd64", "FIX_TBOOT_BASE", 1536, 0xFFFF_FFFF_FF1F_F000),
]


@pytest.mark.parametrize(("kernel", "name", "number", "vaddr"), SLOTS)
def test_slots_follow_the_kernels_enumeration(kernel, name, number, vaddr):
    fixmap = FIXMAPS[kernel]
    assert fixmap.slot(name).first == number
    assert fixmap.address(name) == vaddr
    assert fixmap.slot_of(vaddr + 0xABC) == (fixmap.slot(name), 0)


@pytest.mark.parametrize("boot", ["i686-A", "i686-B", "amd64-A", "amd64-B"])
def test_the_real_kernel_mapped_the_apics_in_their_slots_and_nothing_else(boot):
    # The legacy vsyscall page is only emulated: nothing is mapped there.
    fixmap = FIXMAPS[boot.split("-")[0]]
    found = {fixmap.slot_of(vaddr)[0].name: paddr
             for vaddr, paddr, _, kind in page_tables(boot, "page") if kind == "fixmap"}
    assert found == {"FIX_APIC_BASE": LOCAL_APIC, "FIX_IO_APIC_BASE": IO_APIC}


def test_boundaries_of_the_fixmap():
    assert FIXMAP_I686.start == 0xFFDB_8000
    assert FIXMAP_I686.total_start == 0xFF9F_E000
    assert FIXMAP_AMD64.start == 0xFFFF_FFFF_FF57_9000


def test_slots_do_not_overlap():
    for fixmap in FIXMAPS.values():
        for below, above in pairwise(fixmap.slots):
            assert below.first + below.count <= above.first


@pytest.mark.parametrize(("permanent", "expected"), [(100, 100), (512, 512), (513, 1024)])
def test_boot_time_slots_lie_in_one_page_table(permanent, expected):
    fixmap = FixedAddresses(0xFFFF_F000, (("FIX_X", permanent),), (), table_entries=1024)
    btmap = fixmap.slot("FIX_BTMAP")
    assert btmap.first == expected
    assert btmap.first // 1024 == (btmap.first + btmap.count - 1) // 1024


def test_setting_a_slot_maps_the_page_at_its_address():
    tables = DictTables()
    fixmap = Fixmap(FIXMAP_I686, tables)
    assert fixmap.set_fixmap("FIX_APIC_BASE", LOCAL_APIC, NOCACHE) == 0xFFFF_C000
    assert fixmap.set_fixmap("FIX_IO_APIC_BASE", IO_APIC, NOCACHE, index=1) == 0xFFFF_A000
    assert tables.pages == {0xFFFF_C000: (LOCAL_APIC >> 12, NOCACHE),
                            0xFFFF_A000: (IO_APIC >> 12, NOCACHE)}
    assert NOCACHE == 0x17B


def test_clearing_a_slot_unmaps_and_flushes_it():
    tables = DictTables()
    fixmap = Fixmap(FIXMAP_I686, tables)
    fixmap.set_fixmap("FIX_WP_TEST", 0x1000, Entry.P)
    fixmap.clear_fixmap("FIX_WP_TEST")
    assert tables.pages == {}
    assert tables.flushed[-1] == (0xFF9F_F000, 0xFFA0_0000)


def test_slots_that_there_are_not_are_refused():
    with pytest.raises(FixmapError, match=r"^Fixmap has no slot FIX_NONE$"):
        FIXMAP_I686.address("FIX_NONE")
    with pytest.raises(FixmapError, match=r"^FIX_IO_APIC_BASE has pages 0 to 63, not 64$"):
        FIXMAP_I686.address("FIX_IO_APIC_BASE", 64)
    with pytest.raises(FixmapError, match=r"^0xffc00000 is in no slot of the fixmap$"):
        FIXMAP_I686.slot_of(0xFFC0_0000)
