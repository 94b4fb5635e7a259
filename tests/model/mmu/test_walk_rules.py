"""Rules 8 to 21 of the walk: rights, protection keys and faults. [SDM 4.6, 4.7]

Test names carry the number of a rule in the project's list of paging rules; 1 to 7 are in
``test_walk_rules_formats.py``, 22 to 26 in ``test_walk_rules_flags.py``.
"""

from dataclasses import astuple
from itertools import product

import pytest

from pagewalk.model.x86 import AccessKind, Cr0, Cr4, Efer, Entry, Vector
from pagewalk.model.x86 import ErrorCode as Code

READ, WRITE, FETCH = AccessKind
ALLOWED = None
AD, WD = 1, 2  # access-disable and write-disable of key 0 in PKRU; each key has two bits

LEVELS = {
    "ia32-4M": ["PDE"],
    "ia32-4K": ["PDE", "PTE"],
    "x86_64-1G": ["PML4E", "PDPTE"],
    "x86_64-2M": ["PML4E", "PDPTE", "PDE"],
    "x86_64-4K": ["PML4E", "PDPTE", "PDE", "PTE"],
}
LONG = ("x86_64-1G", "x86_64-2M", "x86_64-4K")
HAVE_RESERVED_BITS = ("ia32-4M", *LONG)

each_wp = pytest.mark.parametrize("wp", [0, Cr0.WP], ids=["wp=0", "wp=1"])
each_kind = pytest.mark.parametrize("kind", AccessKind, ids=["read", "write", "fetch"])


def shapes(*names):
    return pytest.mark.parametrize("tables", names, indirect=True)


def each_level(*names):
    """Run a test once for each level of each shape."""
    pairs = [(name, level) for name in names for level in LEVELS[name]]
    return pytest.mark.parametrize(("tables", "level"), pairs, indirect=["tables"])


def reserved_bit(tables):
    return 1 << (51 if tables.mode.name == "x86_64" else 21)


def set_key(tables, key):
    tables[tables.leaf] = tables[tables.leaf] & ~(0xF << 59) | key << 59


@pytest.mark.parametrize("us", [0, Entry.US], ids=["supervisor_page", "user_page"])
def test_rule_08_supervisor_write_needs_w_only_if_wp(tables, us):
    tables[tables.leaf] = tables[tables.leaf] & ~(Entry.RW | Entry.US) | us
    assert tables.write() == Code.P | Code.WR
    tables.cr0 &= ~Cr0.WP
    assert tables.write() == ALLOWED


@each_wp
def test_rule_08_user_write_needs_w_whatever_wp(tables, wp):
    tables.cr0 = Cr0.PG | wp
    assert tables.write(user=True) == ALLOWED
    tables[tables.leaf] &= ~Entry.RW
    assert tables.write(user=True) == Code.P | Code.WR | Code.US


@each_level(*LEVELS)
def test_rule_09_one_supervisor_entry_keeps_smep_and_smap_away(tables, level):
    tables.cr4 |= Cr4.SMEP | Cr4.SMAP
    assert tables.fetch() == Code.P | Code.ID
    assert tables.read() == Code.P
    tables[level] &= ~Entry.US
    assert tables.fetch() == tables.read() == tables.write() == ALLOWED


@each_level(*LONG)
def test_rule_09_one_supervisor_entry_keeps_protection_keys_away(tables, level):
    tables.cr4 |= Cr4.PKE
    tables.pkru = AD
    assert tables.read() == Code.P | Code.PK
    tables[level] &= ~Entry.US
    assert tables.read() == tables.write() == ALLOWED


@each_wp
@pytest.mark.parametrize("xd", [0, Entry.XD], ids=["xd=0", "xd=1"])
@pytest.mark.parametrize("nxe", [0, Efer.NXE], ids=["nxe=0", "nxe=1"])
def test_rule_10_smep_forbids_supervisor_fetches_from_user_pages(tables, wp, xd, nxe):
    tables.cr4 |= Cr4.SMEP
    tables.cr0 = Cr0.PG | wp
    tables.efer = nxe
    if nxe and tables.mode.name == "x86_64":  # else bit 63 is reserved or not there
        tables[tables.leaf] |= xd
    assert tables.fetch() == Code.P | Code.ID


def test_rule_10_smep_leaves_all_else_alone(tables):
    tables.cr4 |= Cr4.SMEP
    assert tables.fetch(user=True) == tables.read() == tables.write() == ALLOWED
    tables[tables.leaf] &= ~Entry.US
    assert tables.fetch() == ALLOWED


# An access to a user page under SMAP: which of AC=0 and AC=1 let it through.
SMAP = [  # user, implicit, AC=0, AC=1
    (False, False, False, True),
    (False, True, False, False),
    (True, False, True, True),
    (True, True, False, False),  # to a descriptor table, say, at CPL 3
]


@each_wp
@pytest.mark.parametrize("kind", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize(("user", "implicit", "ac_0", "ac_1"), SMAP)
def test_rule_11_smap_and_ac_by_access(tables, kind, user, implicit, ac_0, ac_1, wp):
    tables.cr0 = Cr0.PG | wp
    tables.cr4 |= Cr4.SMAP
    fault = Code.P | (Code.WR if kind is WRITE else 0)  # no U/S, even at CPL 3
    for ac, allowed in [(False, ac_0), (True, ac_1)]:
        expected = ALLOWED if allowed else fault
        assert tables.error(kind, user=user, implicit=implicit, ac=ac) == expected


@each_kind
def test_rule_11_smap_is_about_user_pages_only(tables, kind):
    tables.cr4 |= Cr4.SMAP
    tables[tables.leaf] &= ~Entry.US
    assert tables.error(kind) == tables.error(kind, implicit=True) == ALLOWED


def test_rule_11_smap_exempts_fetches(tables):
    tables.cr4 |= Cr4.SMAP
    assert tables.fetch() == tables.fetch(user=True) == ALLOWED


def test_rule_11_without_smap_a_supervisor_reaches_user_pages(tables):
    assert tables.read() == tables.write(implicit=True, user=True) == ALLOWED


def test_rule_11_implicit_accesses_are_supervisor_accesses(tables):
    tables[tables.leaf] &= ~(Entry.US | Entry.RW)
    assert tables.read(user=True, implicit=True) == ALLOWED
    assert tables.write(user=True, implicit=True) == Code.P | Code.WR
    tables[tables.leaf] &= ~Entry.P
    assert tables.read(user=True, implicit=True) == 0


@pytest.mark.parametrize("key", range(16))
@shapes(*LONG)
def test_rule_12_access_disable_blocks_all_data_accesses_by_that_key(tables, key):
    tables.cr4 |= Cr4.PKE
    set_key(tables, key)
    tables.pkru = AD << 2 * key
    for user, cr0 in product([False, True], [Cr0.PG, Cr0.PG | Cr0.WP]):
        tables.cr0 = cr0
        us = Code.US if user else 0
        assert tables.read(user=user) == Code.P | Code.PK | us
        assert tables.write(user=user) == Code.P | Code.PK | Code.WR | us
        assert tables.fetch(user=user) == ALLOWED
    tables[tables.leaf] |= Entry.XD  # the bit above the key
    assert tables.read() == Code.P | Code.PK


@pytest.mark.parametrize("key", range(16))
@shapes(*LONG)
def test_rule_12_write_disable_blocks_writes_as_read_only_does(tables, key):
    tables.cr4 |= Cr4.PKE
    set_key(tables, key)
    tables.pkru = WD << 2 * key
    for wp in (0, Cr0.WP):
        tables.cr0 = Cr0.PG | wp
        assert tables.write(user=True) == Code.P | Code.PK | Code.WR | Code.US
        assert tables.write() == (Code.P | Code.PK | Code.WR if wp else ALLOWED)
        assert tables.write(user=True, implicit=True) == tables.write()
        assert tables.read() == tables.read(user=True) == tables.fetch(user=True) == ALLOWED


@pytest.mark.parametrize("key", range(16))
@shapes("x86_64-4K")
def test_rule_12_the_other_keys_block_nothing(tables, key):
    tables.cr4 |= Cr4.PKE
    set_key(tables, key)
    tables.pkru = 0xFFFF_FFFF & ~((AD | WD) << 2 * key)
    assert tables.read(user=True) == tables.write(user=True) == ALLOWED


@shapes(*LONG)
def test_rule_12_upper_entries_carry_no_key(tables):
    tables.cr4 |= Cr4.PKE
    for level in tables.levels[:-1]:
        tables[level] |= 0x5 << 59
    tables.pkru = AD << 2 * 5
    assert tables.read(user=True) == ALLOWED


def test_rule_12_pkru_needs_pke_and_64_bit_entries(tables):
    tables.pkru = 0xFFFF_FFFF
    assert tables.write(user=True) == ALLOWED
    tables.cr4 |= Cr4.PKE
    blocked = Code.P | Code.WR | Code.US | Code.PK
    assert tables.write(user=True) == (blocked if tables.mode.entry_bytes == 8 else ALLOWED)


@shapes(*LONG)
def test_rule_13_pkru_and_ac_count_as_they_are_at_each_access(tables):
    tables.cr4 |= Cr4.PKE | Cr4.SMAP
    assert tables.read(ac=True) == ALLOWED
    assert tables.read(ac=False) == Code.P
    tables.pkru = AD
    assert tables.read(ac=True) == Code.P | Code.PK
    tables.pkru = 0
    assert tables.read(ac=True) == ALLOWED


@each_kind
@each_level(*LONG)
def test_rule_14_xd_without_nxe_is_reserved(tables, level, kind):
    tables.efer &= ~Efer.NXE
    tables[level] |= Entry.XD
    assert tables.error(kind) == Code.P | Code.RSVD | (Code.WR if kind is WRITE else 0)


@each_level(*LEVELS)
def test_rule_15_p_is_0_only_if_an_entry_was_not_present(tables, level):
    tables[level] &= ~Entry.P
    assert tables.read() == 0
    tables[level] |= Entry.P
    tables[tables.leaf] &= ~Entry.US
    assert tables.read(user=True) == Code.P | Code.US


@shapes(*HAVE_RESERVED_BITS)
def test_rule_15_a_reserved_bit_fault_has_p_and_rsvd(tables):
    tables[tables.leaf] |= reserved_bit(tables)
    assert tables.read() == Code.P | Code.RSVD


@pytest.mark.parametrize("rights", [0, Entry.RW, Entry.US, Entry.RW | Entry.US])
def test_rule_16_wr_and_us_describe_the_access_never_the_page(tables, rights):
    tables[tables.leaf] = rights
    assert tables.read() == 0
    assert tables.write() == Code.WR
    assert tables.read(user=True) == Code.US
    assert tables.write(user=True) == Code.WR | Code.US


# I/D of a fetch, for each of CR4.SMEP, CR4.PAE, EFER.NXE.
ID_BIT = {
    (0, 0, 0): 0, (0, 0, 1): 0, (0, 1, 0): 0,       (0, 1, 1): Code.ID,
    (1, 0, 0): Code.ID, (1, 0, 1): Code.ID, (1, 1, 0): Code.ID, (1, 1, 1): Code.ID,
}  # fmt: skip


@pytest.mark.parametrize(("smep", "pae", "nxe"), ID_BIT)
@pytest.mark.parametrize("cause", ["not present", "reserved", "supervisor page"])
@shapes(*HAVE_RESERVED_BITS)
def test_rule_17_id_marks_a_fetch_under_smep_or_nxe(tables, cause, smep, pae, nxe):
    tables.cr4 = Cr4.PSE | smep * Cr4.SMEP | pae * Cr4.PAE
    tables.efer = nxe * Efer.NXE
    if cause == "not present":
        tables[tables.leaf], code = 0, 0
    elif cause == "reserved":
        tables[tables.leaf] |= reserved_bit(tables)
        code = Code.P | Code.RSVD
    else:
        tables[tables.leaf] &= ~Entry.US
        code = Code.P
    assert tables.fetch(user=True) == code | Code.US | ID_BIT[smep, pae, nxe]
    assert tables.read(user=True) == code | Code.US


# Rights of the page, the access, PKRU, error code.
PK_BIT = [
    (Entry.US, WRITE, True, AD, 0x27),  # R/W and the key both forbid it
    (Entry.US, WRITE, True, WD, 0x27),
    (Entry.US, WRITE, False, WD, 0x23),
    (Entry.US, READ, False, AD, 0x21),
    (Entry.RW, READ, True, AD | WD, 0x05),  # not a user-mode address
    (Entry.RW, WRITE, True, AD | WD, 0x07),
    (Entry.US, WRITE, True, 0, 0x07),  # the key would have allowed it
]


@pytest.mark.parametrize(("rights", "kind", "user", "pkru", "code"), PK_BIT)
@shapes(*LONG)
def test_rule_18_pk_is_set_when_the_key_forbids_whatever_else_does(
    tables, rights, kind, user, pkru, code
):
    tables.cr4 |= Cr4.PKE
    tables.pkru = pkru
    tables[tables.leaf] = tables[tables.leaf] & ~(Entry.US | Entry.RW) | rights
    assert tables.error(kind, user=user) == code


@shapes(*LONG)
def test_rule_18_pk_is_not_set_on_fetches_not_present_or_reserved(tables):
    tables.cr4 |= Cr4.PKE | Cr4.SMAP
    tables.pkru = 0xFFFF_FFFF
    assert tables.read() == Code.P | Code.PK  # SMAP would forbid it, too
    tables[tables.leaf] |= Entry.XD
    assert tables.fetch(user=True) == Code.P | Code.US | Code.ID
    tables[tables.leaf] |= reserved_bit(tables)
    assert tables.write(user=True) == Code.P | Code.WR | Code.US | Code.RSVD
    tables[tables.leaf] = 0
    assert tables.write(user=True) == Code.WR | Code.US


def test_rule_19_smep_and_smap_have_no_bit_of_their_own(tables):
    tables.cr4 |= Cr4.SMEP | Cr4.SMAP
    assert (tables.read(), tables.write(), tables.fetch()) == (0x01, 0x03, 0x11)


def test_rule_20_cr2_is_the_whole_address_of_the_byte(tables):
    tables[tables.leaf] &= ~Entry.P
    assert tables.access(READ).fault.vaddr == tables.vaddr
    assert tables.vaddr & 0xFFF


@shapes("ia32-4K", "x86_64-4K")
def test_rule_20_cr2_is_where_the_second_page_starts(tables):
    tables.vaddr = (tables.vaddr | 0xFFF) + 1  # the second half of an access across pages
    assert astuple(tables.access(WRITE).fault) == (Vector.PF, Code.WR, tables.vaddr)


# The first and last address of what is not canonical, and some between.
NONCANONICAL = [1 << 47, 0xFFFF_7FFF_FFFF_FFFF, 1 << 48, 1 << 63, 0x7FFF << 48]


@pytest.mark.parametrize(("stack", "vector"), [(False, Vector.GP), (True, Vector.SS)])
@pytest.mark.parametrize("vaddr", NONCANONICAL, ids=hex)
@shapes("x86_64-4K")
def test_rule_21_a_noncanonical_address_is_not_walked(tables, vaddr, stack, vector):
    before, tables.vaddr = tables.memory.copy(), vaddr
    walk = tables.access(WRITE, stack=stack)
    assert walk.steps == ()
    assert astuple(walk.fault) == (vector, 0, vaddr)
    assert (tables.memory.frames == before.frames).all()


CANONICAL = [
    *(("x86_64-1G", vaddr) for vaddr in (0, (1 << 47) - 1, 0xFFFF_8000_0000_0000, (1 << 64) - 1)),
    *(("ia32-4M", vaddr) for vaddr in (0, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)),
]


@pytest.mark.parametrize(("tables", "vaddr"), CANONICAL, indirect=["tables"])
def test_rule_21_the_ends_of_the_canonical_halves_are_walked(tables, vaddr):
    tables.move_to(vaddr)
    assert tables.access(READ, stack=True).paddr == tables.page | tables.offset
