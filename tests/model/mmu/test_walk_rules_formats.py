"""Rules 1 to 7 of the walk: from the root to the leaf, and the formats of entries. [SDM 4.3, 4.5]

Test names carry the number of a rule in the project's list of paging rules.
"""

import pytest

from pagewalk.model.x86 import X86_64, AccessKind, Cr4, Efer, Entry
from pagewalk.model.x86 import ErrorCode as Code

READ, WRITE, _ = AccessKind
ALLOWED = None
SUPERVISOR, USER = {"user": False}, {"user": True}

LEVELS = {
    "ia32-4M": ["PDE"],
    "ia32-4K": ["PDE", "PTE"],
    "x86_64-1G": ["PML4E", "PDPTE"],
    "x86_64-2M": ["PML4E", "PDPTE", "PDE"],
    "x86_64-4K": ["PML4E", "PDPTE", "PDE", "PTE"],
}
LONG = ("x86_64-1G", "x86_64-2M", "x86_64-4K")
MAXPHYADDR = (32, 36, 40, 46, 52)


def shapes(*names):
    return pytest.mark.parametrize("tables", names, indirect=True)


def each_level(*names, upper=False):
    """Run a test once for each level of each shape, or only for those above the leaf."""
    pairs = [(name, level) for name in names for level in LEVELS[name][: -1 if upper else None]]
    return pytest.mark.parametrize(("tables", "level"), pairs, indirect=["tables"])


def reserved_bits(tables, level, bits):
    """Return which of ``bits``, each set alone in the entry of ``level``, are found reserved."""
    sound, reserved = tables[level], set()
    for bit in bits:
        tables[level] = sound | 1 << bit
        fault = tables.access(READ).fault
        if fault is not None and fault.error_code & Code.RSVD:
            reserved.add(bit)
    return reserved


@each_level(*LEVELS)
def test_rule_01_not_present_hides_every_other_bit(tables, level):
    tables[level] = (1 << 8 * tables.mode.entry_bytes) - 1 & ~Entry.P
    assert tables.read() == 0
    assert tables.access(READ).steps[-1].level.name == level


@each_level(*LEVELS, upper=True)
def test_rule_01_a_leaf_that_is_not_present_wins_over_rights_higher_up(tables, level):
    tables[level] &= ~(Entry.US | Entry.RW)
    tables[tables.leaf] &= ~Entry.P
    assert tables.write(user=True) == Code.WR | Code.US


@each_level(*LONG, upper=True)
def test_rule_01_a_reserved_leaf_wins_over_rights_higher_up(tables, level):
    tables[level] = tables[level] & ~(Entry.US | Entry.RW) | Entry.XD
    tables[tables.leaf] |= 1 << 51
    assert tables.write(user=True) == Code.P | Code.WR | Code.US | Code.RSVD
    assert tables.fetch(user=True) == Code.P | Code.US | Code.RSVD | Code.ID


@each_level(*LONG, upper=True)
def test_rule_01_reserved_bits_are_judged_before_going_down(tables, level):
    tables[level] |= 1 << 51
    tables[tables.leaf] = 0
    assert tables.read() == Code.P | Code.RSVD
    assert tables.access(READ).steps[-1].level.name == level


# By format: the bits that are reserved whatever the registers say.
ALWAYS_RESERVED = [
    ("x86_64-4K", "PML4E", {7}),
    ("x86_64-4K", "PDPTE", set()),
    ("x86_64-1G", "PDPTE", set(range(13, 30))),
    ("x86_64-4K", "PDE", set()),
    ("x86_64-2M", "PDE", set(range(13, 21))),
    ("x86_64-4K", "PTE", set()),
]


@pytest.mark.parametrize("nxe", [0, Efer.NXE], ids=["nxe=0", "nxe=1"])
@pytest.mark.parametrize("paddr_bits", MAXPHYADDR)
@pytest.mark.parametrize(("tables", "level", "always"), ALWAYS_RESERVED, indirect=["tables"])
def test_rule_02_reserved_bits_of_four_level_paging(tables, level, always, paddr_bits, nxe):
    tables[tables.leaf] &= ~tables.page  # it may lie above MAXPHYADDR
    tables.paddr_bits = paddr_bits
    tables.efer = Efer.LME | Efer.LMA | nxe
    # PS makes a PDPTE or PDE one of another format.
    bits = set(range(64)) - ({7} if level in ("PDPTE", "PDE") else set())
    beyond_memory = set(range(paddr_bits, 52))
    assert reserved_bits(tables, level, bits) == always | beyond_memory | (set() if nxe else {63})


@shapes("x86_64-1G")
def test_rule_02_ps_is_reserved_in_a_pdpte_without_1_gbyte_pages(tables):
    assert tables.read() is ALLOWED
    tables.mode = X86_64.without_1g_pages()
    walk = tables.access(READ)
    assert walk.fault.error_code == Code.P | Code.RSVD
    assert walk.steps[-1].level.name == "PDPTE"


@shapes("x86_64-2M", "x86_64-4K")
def test_rule_02_a_processor_without_1_gbyte_pages_maps_smaller_ones_as_ever(tables):
    with_1g_pages = tables.access(READ)
    tables.mode = X86_64.without_1g_pages()
    walk = tables.access(READ)
    assert (walk.fault, walk.paddr) == (None, tables.page | tables.offset)
    assert (walk.page, walk.memory_type) == (with_1g_pages.page, with_1g_pages.memory_type)


@each_level(*LONG)
def test_rule_02_ignored_bits_change_nothing(tables, level):
    tables[level] |= 0x7FF << 52 | 0x7 << 9
    walk = tables.access(READ)
    assert (walk.fault, walk.paddr) == (None, tables.page | tables.offset)


def test_rule_03_the_leaf_selects_the_memory_type(tables):
    pat = Entry.PAT_LARGE if tables.leaf != "PTE" else Entry.PAT
    sound = tables[tables.leaf]
    for bits, index in [(Entry.PWT, 1), (Entry.PCD, 2), (pat, 4), (pat | Entry.PCD, 6)]:
        tables[tables.leaf] = sound | bits
        walk = tables.access(READ)
        assert (walk.memory_type, walk.paddr) == (index, tables.page | tables.offset)
        assert walk.page.name == tables.leaf


@each_level(*LEVELS, upper=True)
def test_rule_03_upper_entries_do_not_touch_the_memory_type(tables, level):
    tables[level] |= Entry.PWT | Entry.PCD
    assert tables.access(READ).memory_type == 0


@shapes("ia32-4K", "x86_64-4K")
def test_rule_03_bit_12_of_a_pte_is_address(tables):
    tables[tables.leaf] |= 1 << 12
    walk = tables.access(READ)
    assert (walk.memory_type, walk.paddr) == (0, tables.page | 1 << 12 | tables.offset)


@shapes("ia32-4K")
def test_rule_04_ps_is_ignored_without_pse(tables):
    tables[tables.levels[0]] |= Entry.PS
    tables.cr4 = Cr4.PGE | Cr4.SMEP
    assert tables.access(READ).paddr == tables.page | tables.offset
    tables.cr4 |= Cr4.PSE
    assert tables.access(READ).page.name == "PDE"


@shapes("x86_64-2M", "x86_64-1G")
def test_rule_04_ps_needs_no_pse_in_four_level_paging(tables):
    tables.cr4 &= ~Cr4.PSE
    assert tables.access(READ).paddr == tables.page | tables.offset


@pytest.mark.parametrize("paddr_bits", MAXPHYADDR)
@each_level("ia32-4K")
def test_rule_04_nothing_is_reserved_in_a_pte_or_a_pde_of_a_table(tables, level, paddr_bits):
    tables.paddr_bits = paddr_bits
    tables.cr4 &= ~Cr4.PSE  # so that bit 7 of the PDE means nothing
    assert reserved_bits(tables, level, range(32)) == set()


@pytest.mark.parametrize(
    ("paddr_bits", "first"), [(32, 13), (36, 17), (39, 20), (40, 21), (46, 21), (52, 21)]
)
@shapes("ia32-4M")
def test_rule_04_bits_of_a_4m_page_above_maxphyaddr_are_reserved(tables, paddr_bits, first):
    tables.paddr_bits = paddr_bits
    assert reserved_bits(tables, "PDE", range(32)) == set(range(first, 22))


@pytest.mark.parametrize(
    ("paddr_bits", "entry_bit", "paddr_bit"),
    [(36, 13, 32), (36, 16, 35), (40, 13, 32), (40, 17, 36), (40, 20, 39), (52, 20, 39)],
)
@shapes("ia32-4M")
def test_rule_04_pse_36_puts_address_bits_39_to_32_at_20_to_13(
    tables, paddr_bits, entry_bit, paddr_bit
):
    tables.paddr_bits = paddr_bits
    tables["PDE"] |= 1 << entry_bit
    assert tables.access(READ).paddr == 1 << paddr_bit | tables.page | tables.offset


LOWEST = {"ia32-4K": 12, "ia32-4M": 22, "x86_64-4K": 12, "x86_64-2M": 21, "x86_64-1G": 30}


@pytest.mark.parametrize("paddr_bits", MAXPHYADDR)
@pytest.mark.parametrize(("tables", "lowest"), LOWEST.items(), indirect=["tables"])
def test_rule_05_each_address_bit_of_a_leaf_is_that_bit_of_the_address(tables, lowest, paddr_bits):
    tables.paddr_bits = paddr_bits
    tables[tables.leaf] &= ~tables.page
    blank = tables[tables.leaf]
    for bit in range(lowest, min(paddr_bits, 8 * tables.mode.entry_bytes)):
        tables[tables.leaf] = blank | 1 << bit
        assert tables.access(READ).paddr == 1 << bit | tables.offset


def test_rule_05_no_other_bit_of_a_leaf_leaks_into_the_address(tables):
    others = 0xFFF & ~Entry.PS
    others |= Entry.PAT_LARGE if tables.leaf != "PTE" else Entry.PAT
    others |= 0xFFF << 52 if tables.mode.name == "x86_64" else 0
    tables[tables.leaf] |= others
    assert tables.access(READ).paddr == tables.page | tables.offset


@pytest.mark.parametrize("how", [SUPERVISOR, USER], ids=["supervisor", "user"])
@each_level(*LEVELS)
def test_rule_06_a_write_needs_rw_at_every_level(tables, level, how):
    tables[level] &= ~Entry.RW
    user = Code.US if how["user"] else 0
    assert tables.write(**how) == Code.P | Code.WR | user
    assert tables.read(**how) == tables.fetch(**how) == ALLOWED


@pytest.mark.parametrize("kind", AccessKind, ids=["read", "write", "fetch"])
@each_level(*LEVELS)
def test_rule_06_a_user_access_needs_us_at_every_level(tables, level, kind):
    tables[level] &= ~Entry.US
    tables.efer = 0  # no I/D in the error code
    assert tables.error(kind, user=True) == Code.P | Code.US | (Code.WR if kind is WRITE else 0)
    assert tables.error(kind) == ALLOWED


@each_level(*LONG)
def test_rule_06_xd_at_any_level_forbids_fetches_only(tables, level):
    tables[level] |= Entry.XD
    assert tables.fetch() == Code.P | Code.ID
    assert tables.fetch(user=True) == Code.P | Code.ID | Code.US
    assert tables.read() == tables.write() == tables.read(user=True) == ALLOWED


@pytest.mark.parametrize("low_bits", [0, 0xFFF])
def test_rule_06_cr3_carries_no_rights(tables, low_bits):
    tables.cr3 |= low_bits
    assert tables.write(user=True) == tables.fetch(user=True) == ALLOWED


@pytest.mark.parametrize("pge", [0, Cr4.PGE], ids=["pge=0", "pge=1"])
@each_level(*LEVELS)
def test_rule_07_g_is_never_reserved_and_never_address(tables, level, pge):
    tables.cr4 |= pge
    tables[level] |= Entry.G
    assert tables.access(WRITE).paddr == tables.page | tables.offset


@pytest.mark.parametrize("bit_6", [0, Entry.D])
@each_level(*LEVELS, upper=True)
def test_rule_07_bit_6_above_the_leaf_is_ignored(tables, level, bit_6):
    tables[level] |= bit_6
    assert tables.write() == ALLOWED
    assert tables[level] & Entry.D == bit_6
