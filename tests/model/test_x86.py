"""The facts of model/x86.py against literals written out from the Intel SDM, volume 3A."""

import dataclasses
import enum
import inspect

import pytest

from pagewalk.model import x86
from pagewalk.model.x86 import IA32, LA57, MODES, X86_64, Cr4, Efer, Leaf, selected_mode


def constants(namespace: type) -> dict[str, int]:
    """Return every constant of a class of plain ints, or every member of an enum, aliases too."""
    if issubclass(namespace, enum.Enum):
        return {name: member.value for name, member in namespace.__members__.items()}
    return {name: value for name, value in vars(namespace).items() if not name.startswith("_")}


# Comparing whole classes makes a new constant fail until it has its literal here.
FACTS = {
    x86.Cr0: {  # section 2.5, figure 2-7
        "PE": 0x0000_0001,
        "WP": 0x0001_0000,
        "NW": 0x2000_0000,
        "CD": 0x4000_0000,
        "PG": 0x8000_0000,
    },
    x86.Cr3: {  # table 4-13; section 4.10.4.1 on MOV to CR3
        "PCID": 0x0000_0000_0000_0FFF,
        "NO_FLUSH": 0x8000_0000_0000_0000,
    },
    x86.Cr4: {  # section 2.5, figure 2-7
        "PSE": 0x00_0010,
        "PAE": 0x00_0020,
        "PGE": 0x00_0080,
        "LA57": 0x00_1000,
        "PCIDE": 0x02_0000,
        "SMEP": 0x10_0000,
        "SMAP": 0x20_0000,
        "PKE": 0x40_0000,
    },
    x86.Efer: {  # section 2.2.1, figure 2-4
        "LME": 0x100,
        "LMA": 0x400,
        "NXE": 0x800,
    },
    x86.Entry: {  # tables 4-4 to 4-6 and 4-14 to 4-19; by format below
        "P": 0x001,
        "RW": 0x002,
        "US": 0x004,
        "PWT": 0x008,
        "PCD": 0x010,
        "A": 0x020,
        "D": 0x040,
        "PS": 0x080,
        "PAT": 0x080,
        "G": 0x100,
        "PAT_LARGE": 0x1000,
        "KEY": 0x7800_0000_0000_0000,
        "XD": 0x8000_0000_0000_0000,
    },
    x86.ErrorCode: {  # section 4.7, figure 4-12
        "P": 0x01,
        "WR": 0x02,
        "US": 0x04,
        "RSVD": 0x08,
        "ID": 0x10,
        "PK": 0x20,
    },
    x86.Vector: {  # section 6.3.1, table 6-1
        "SS": 12,
        "GP": 13,
        "PF": 14,
        "MC": 18,
    },
    x86.InvalidateOp: {  # 0 to 3: section 4.10.4.1, the types of INVPCID; the others are ours
        "INVPCID_ADDRESS": 0,
        "INVPCID_CONTEXT": 1,
        "INVPCID_ALL": 2,
        "INVPCID_ALL_NON_GLOBAL": 3,
        "INVLPG": 4,
        "MOV_CR3": 5,
        "MOV_CR4": 6,
        "MOV_CR0": 7,
    },
    x86.AccessKind: {  # ours, and that of the access vectors
        "READ": 0,
        "WRITE": 1,
        "FETCH": 2,
    },
}


@pytest.mark.parametrize("namespace", FACTS, ids=lambda namespace: namespace.__name__)
def test_constants_are_those_of_the_manual(namespace):
    assert constants(namespace) == FACTS[namespace]


# What each bit of each format is called, `.` if the manual gives it no name that concerns a walk.
# Bits 62:59 are the protection key, written K.
FORMATS = """
bit   4-4    4-5    4-6    4-14   4-15   4-16   4-17   4-18   4-19
      PDE    PDE    PTE    PML4E  PDPTE  PDPTE  PDE    PDE    PTE
      4M     table  4K            1G     table  2M     table  4K
 0    P      P      P      P      P      P      P      P      P
 1    RW     RW     RW     RW     RW     RW     RW     RW     RW
 2    US     US     US     US     US     US     US     US     US
 3    PWT    PWT    PWT    PWT    PWT    PWT    PWT    PWT    PWT
 4    PCD    PCD    PCD    PCD    PCD    PCD    PCD    PCD    PCD
 5    A      A      A      A      A      A      A      A      A
 6    D      .      D      .      D      .      D      .      D
 7    PS     PS     PAT    .      PS     PS     PS     PS     PAT
 8    G      .      G      .      G      .      G      .      G
12    PAT_L  .      .      .      PAT_L  .      PAT_L  .      .
59    .      .      .      .      K      .      K      .      K
62    .      .      .      .      K      .      K      .      K
63    .      .      .      XD     XD     XD     XD     XD     XD
"""
SPELLED_OUT = {"PAT_L": "PAT_LARGE", "K": "KEY"}


def named_bits() -> list[tuple[int, str]]:
    """Return each pair of bit and name in ``FORMATS``, once."""
    rows = [line.split() for line in FORMATS.splitlines() if line[:2].strip().isdigit()]
    pairs = {(int(bit), name) for bit, *names in rows for name in names if name != "."}
    return sorted((bit, SPELLED_OUT.get(name, name)) for bit, name in pairs)


@pytest.mark.parametrize(("bit", "name"), named_bits())
def test_a_name_stands_for_one_bit_in_every_format(bit, name):
    assert constants(x86.Entry)[name] >> bit & 1


def test_every_entry_bit_is_in_some_format():
    assert {name for _, name in named_bits()} == set(constants(x86.Entry))


# Sections 4.3 and 4.5, figures 4-2 to 4-4 and 4-8 to 4-10: which linear-address bits select the
# entry, what an entry of the level maps, and what decides that it maps a page.
KB, MB, GB, TB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
LEVELS = [
    # mode    entry    high low   maps       leaf          table
    (IA32,   "PDE",   31, 22,   4 * MB,   Leaf.IF_PS,  "page directory"),
    (IA32,   "PTE",   21, 12,   4 * KB,   Leaf.ALWAYS, "page table"),
    (X86_64, "PML4E", 47, 39, 512 * GB,   Leaf.NEVER,  "PML4 table"),
    (X86_64, "PDPTE", 38, 30,   1 * GB,   Leaf.IF_PS,  "page-directory-pointer table"),
    (X86_64, "PDE",   29, 21,   2 * MB,   Leaf.IF_PS,  "page directory"),
    (X86_64, "PTE",   20, 12,   4 * KB,   Leaf.ALWAYS, "page table"),
    (LA57,   "PML5E", 56, 48, 256 * TB,   Leaf.NEVER,  "PML5 table"),
    (LA57,   "PML4E", 47, 39, 512 * GB,   Leaf.NEVER,  "PML4 table"),
    (LA57,   "PDPTE", 38, 30,   1 * GB,   Leaf.IF_PS,  "page-directory-pointer table"),
    (LA57,   "PDE",   29, 21,   2 * MB,   Leaf.IF_PS,  "page directory"),
    (LA57,   "PTE",   20, 12,   4 * KB,   Leaf.ALWAYS, "page table"),
]  # fmt: skip


def test_levels_are_those_of_the_manual():
    assert [
        (mode, level.name, level.shift + level.index_bits - 1, level.shift, level.page_bytes,
         level.leaf, level.table)
        for mode in (IA32, X86_64, LA57)
        for level in mode.levels
    ] == LEVELS  # fmt: skip


# Table 4-1. 32-bit paging reaches 40 physical-address bits only by PSE-36.
WIDTHS = [
    # mode    name      entry bytes, linear address, translated, physical address
    (IA32,   "ia32",   4, 32, 32, 40),
    (X86_64, "x86_64", 8, 64, 48, 52),
    (LA57,   "la57",   8, 64, 57, 52),
]  # fmt: skip


def test_widths_are_those_of_the_manual():
    assert [
        (mode, mode.name, mode.entry_bytes, mode.vaddr_bits, mode.translated_bits,
         mode.max_paddr_bits)
        for mode in (IA32, X86_64, LA57)
    ] == WIDTHS  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "sizes"),
    [(IA32, [4 * KB, 4 * MB]), (X86_64, [4 * KB, 2 * MB, 1 * GB]),
     (LA57, [4 * KB, 2 * MB, 1 * GB])],
    ids=["ia32", "x86_64", "la57"],
)
def test_pages_are_listed_smallest_first(mode, sizes):
    assert [level.page_bytes for level in mode.pages] == sizes
    assert all(level in mode.levels for level in mode.pages)


def test_a_page_frame_has_4_kbytes():
    assert x86.PAGE_SHIFT == 12


def test_modes_are_found_by_name():
    assert MODES == {"ia32": IA32, "x86_64": X86_64, "la57": LA57}


@pytest.mark.parametrize(("cr4", "efer", "mode"), [
    (0, 0, IA32), (Cr4.PSE, Efer.NXE, IA32), (Cr4.PAE, Efer.NXE, None), (Cr4.PAE, Efer.LME, None),
    (Cr4.PAE, Efer.LME | Efer.LMA, X86_64), (Cr4.PAE | Cr4.LA57, Efer.LME | Efer.LMA, LA57)])
def test_registers_select_a_mode(cr4, efer, mode):
    """Section 4.1.1; LA57 means something in IA-32e mode only."""
    assert selected_mode(cr4, efer) is mode


def test_without_1_gbyte_pages_a_pdpte_always_points_to_a_table():
    mode = X86_64.without_1g_pages()
    assert [level.page_bytes for level in mode.pages] == [4 * KB, 2 * MB]
    assert [level.leaf for level in mode.levels] == [
        Leaf.NEVER, Leaf.NEVER, Leaf.IF_PS, Leaf.ALWAYS]
    # Nothing else differs.
    pdpte = dataclasses.replace(mode.levels[1], leaf=Leaf.IF_PS)
    levels = (mode.levels[0], pdpte, *mode.levels[2:])
    assert dataclasses.replace(mode, levels=levels) == X86_64


def test_a_mode_without_1_gbyte_pages_is_the_same_without_them():
    assert IA32.without_1g_pages() == IA32
    mode = X86_64.without_1g_pages()
    assert mode.without_1g_pages() == mode


@pytest.mark.parametrize(
    "mode", [*MODES.values(), X86_64.without_1g_pages()], ids=[*MODES, "x86_64 without 1g"])
class TestEveryMode:
    """What the walk takes for granted about any paging mode, those still to come included."""

    def test_levels_cover_the_translated_bits_without_gap_or_overlap(self, mode):
        bits = [
            bit
            for level in reversed(mode.levels)
            for bit in range(level.shift, level.shift + level.index_bits)
        ]
        assert bits == list(range(x86.PAGE_SHIFT, mode.translated_bits))

    def test_a_table_fills_one_frame(self, mode):
        assert {mode.entry_bytes << level.index_bits for level in mode.levels} == {4 * KB}

    def test_only_the_last_level_is_always_a_leaf(self, mode):
        always = [level.leaf is Leaf.ALWAYS for level in mode.levels]
        assert always == [False] * (len(always) - 1) + [True]

    def test_levels_have_names_of_their_own(self, mode):
        assert len({level.name for level in mode.levels}) == len(mode.levels)

    def test_paging_translates_no_more_than_the_linear_address(self, mode):
        assert mode.translated_bits <= mode.vaddr_bits

    def test_facts_cannot_be_changed(self, mode):
        with pytest.raises(dataclasses.FrozenInstanceError):
            mode.levels[0].shift = 0
        with pytest.raises(dataclasses.FrozenInstanceError):
            mode.max_paddr_bits = 0


def test_all_names_every_public_object():
    own = {
        name
        for name, value in vars(x86).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", x86.__name__) == x86.__name__
    }
    assert own == set(x86.__all__)


def test_lowest_bit_is_where_a_field_begins():
    assert x86.lowest_bit(x86.Cr4.SMEP) == 20
    assert x86.lowest_bit(x86.Entry.KEY) == 59
    assert x86.lowest_bit(x86.Cr3.PCID) == 0


@pytest.mark.parametrize(("mode", "has"), [
    (IA32, {"has_pse"}),
    (X86_64, {"has_execute_disable", "has_pcids", "has_protection_keys"}),
], ids=lambda value: getattr(value, "name", None))
def test_what_a_mode_has(mode, has):
    names = {name for name in dir(type(mode)) if name.startswith("has_")}
    assert {name for name in names if getattr(mode, name)} == has
