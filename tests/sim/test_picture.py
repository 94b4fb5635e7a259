"""Pictures of walks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, MODES, X86_64, AccessKind, Cr0, Cr4
from pagewalk.sim.picture import size_name
from pagewalk.sim.report import (
    result_table,
    walk_picture,
)
from pagewalk.sim.result import Result

from .walk_pictures import FOUR_LEVELS, LONG, picture, plain

SHORT = Control(cr3=0x1000, cr4=Cr4.PSE)


# Whole pictures


def test_a_walk_of_four_levels():
    address = 0x00007FFF_F7DD5123
    entries = {0x17F8: 0x2027, 0x2FF8: 0x3027, 0x3DF0: 0x4007, 0x4EA8: 0x8000_0000_0ABC_D107}
    assert picture(X86_64, LONG, Access(address, AccessKind.WRITE, user=True), entries) == """\
user write at linear address 0x00007ffff7dd5123   (x86_64 paging)

    63            48   47     39   38     30   29     21   20     12   11         0
  ┌──────────────────┬───────────┬───────────┬───────────┬───────────┬──────────────┐
  │ 0000000000000000 │ 011111111 │ 111111111 │ 110111110 │ 111010101 │ 000100100011 │
  │  sign extension  │ PML4E 255 │ PDPTE 511 │  PDE 446  │  PTE 469  │ offset 0x123 │
  └──────────────────┴───────────┴───────────┴───────────┴───────────┴──────────────┘

  CR3 0x1000
   │
   ▼  PML4 table at 0x1000
  PML4E  255  at 0x17f8  0x0000000000002027  P RW US ·   ·   A · ·  ·   · ·
   │
   ▼  page-directory-pointer table at 0x2000
  PDPTE  511  at 0x2ff8  0x0000000000003027  P RW US ·   ·   A · ·  ·   · ·
   │
   ▼  page directory at 0x3000
  PDE    446  at 0x3df0  0x0000000000004007  P RW US ·   ·   · · ·  ·   · ·
   │  sets A: now 0x0000000000004027
   │
   ▼  page table at 0x4000
  PTE    469  at 0x4ea8  0x800000000abcd107  P RW US ·   ·   · · ·  ·   G XD
   │  sets A and D: now 0x800000000abcd167
   │
   ▼  4K page at 0xabcd000, offset 0x123; user, writable, no execute
  physical address 0xabcd123   memory type: PAT entry 0
""".splitlines()


def test_a_walk_of_two_levels_that_ends_at_a_swap_entry():
    entries = {0x1000: 0x2023, 0x2004: 0x5A5A_5A00}
    assert picture(IA32, SHORT, Access(0x1FFC, user=True), entries) == """\
user read at linear address 0x00001ffc   (ia32 paging)

    31      22   21      12   11         0
  ┌────────────┬────────────┬──────────────┐
  │ 0000000000 │ 0000000001 │ 111111111100 │
  │   PDE 0    │   PTE 1    │ offset 0xffc │
  └────────────┴────────────┴──────────────┘

  CR3 0x1000
   │
   ▼  page directory at 0x1000
  PDE      0  at 0x1000  0x00002023  P RW ·  ·   ·   A · ·  ·   ·
   │
   ▼  page table at 0x2000
  PTE      1  at 0x2004  0x5a5a5a00  not present
   │  with P clear the other bits are the system's own, as in a swap entry
   │
   ✗  the entry is not present
  #PF error code 0x4   CR2 0x00001ffc
      P=0 not present, W/R=0 read, U/S=1 user
""".splitlines()


def last(lines, count=1):
    return "\n".join(lines[-count:])


@pytest.mark.parametrize(("entries", "page", "fields"), [
    (FOUR_LEVELS, "4K page at 0x5000, offset 0xabc", ["PML4E 0", "PDPTE 0", "PDE 0", "PTE 0"]),
    (FOUR_LEVELS | {0x3000: 0x40_00E7}, "2M page at 0x400000, offset 0xabc",
     ["PML4E 0", "PDPTE 0", "PDE 0"]),
    (FOUR_LEVELS | {0x2000: 0x4000_00E7}, "1G page at 0x40000000, offset 0xabc",
     ["PML4E 0", "PDPTE 0"]),
])
def test_every_page_size_of_four_levels(entries, page, fields):
    lines = picture(X86_64, LONG, Access(0xABC), entries)
    assert lines[-2] == f"   ▼  {page}; user, writable, executable"
    names = [name.strip() for name in lines[5].strip(" │").split("│")]
    assert names == ["sign extension", *fields, "offset 0xabc"]


def test_a_4m_page_above_4_gbytes():
    lines = picture(IA32, SHORT, Access(0x12_3456), {0x1000: 0x0080_20E7})
    assert lines[-2].startswith("   ▼  4M page at 0x100800000, offset 0x123456;")
    assert "physical address 0x100923456" in lines[-1]
    assert " D PS ·   ·" in last(lines, 4)


def test_without_pse_a_large_entry_is_a_table():
    entries = {0x1000: 0x20E7, 0x2000: 0x3067}
    lines = picture(IA32, Control(cr3=0x1000, cr4=0), Access(0x123), entries)
    assert "4K page at 0x3000" in lines[-2]
    assert "PTE 0" in lines[5]


def test_flags_that_mean_nothing_in_a_table_entry_are_not_shown():
    entries = FOUR_LEVELS | {0x3000: 0x4000 | 0x167}
    entry = next(line for line in picture(X86_64, LONG, Access(0), entries) if " PDE " in line[:6])
    assert entry.endswith("P RW US ·   ·   A · ·  ·   · ·")


def test_pat_is_bit_7_of_a_pte_and_bit_12_of_a_large_page():
    small = picture(X86_64, LONG, Access(0), FOUR_LEVELS | {0x4000: 0x50E7})
    assert small[-4].endswith("A D ·  PAT · ·")
    large = picture(X86_64, LONG, Access(0), FOUR_LEVELS | {0x3000: 0x10E7})
    assert large[-4].endswith("A D PS PAT · ·")
    assert small[-1].endswith("PAT entry 4")


def test_a_protection_key_is_shown_with_the_leaf():
    control = Control(cr3=0x1000, cr4=LONG.cr4 | Cr4.PKE, pkru=1 << 10)
    lines = picture(X86_64, control, Access(0, user=True), FOUR_LEVELS | {0x4000: 0x5067 | 5 << 59})
    assert "   │  protection key 5" in lines
    assert lines[-1].strip() == "P=1 present, W/R=0 read, U/S=1 user, PK=1 protection key"


SMEP_SMAP = Control(cr3=0x1000, cr4=LONG.cr4 | Cr4.SMEP | Cr4.SMAP)


@pytest.mark.parametrize(("access", "entries", "reason", "code"), [
    (Access(0, AccessKind.WRITE, user=True), FOUR_LEVELS | {0x2000: 0x3065},
     "not permitted: the page is user, read-only, executable",
     "P=1 present, W/R=1 write, U/S=1 user"),
    (Access(0), FOUR_LEVELS,
     "not permitted: the page is user, writable, executable, and CR4.SMAP is set",
     "P=1 present, W/R=0 read, U/S=0 supervisor"),
    (Access(0, AccessKind.FETCH), FOUR_LEVELS,
     "not permitted: the page is user, writable, executable, and CR4.SMEP is set",
     "P=1 present, W/R=0 fetch, U/S=0 supervisor, I/D=1 instruction fetch"),
    (Access(0, ac=True), FOUR_LEVELS | {0x1000: 0x20E7},
     "the entry has a reserved bit set",
     "P=1 present, W/R=0 read, U/S=0 supervisor, RSVD=1 reserved bit"),
])
def test_a_page_fault_says_why(access, entries, reason, code):
    lines = picture(X86_64, SMEP_SMAP, access, entries)
    assert lines[-3] == f"   ✗  {reason}"
    assert lines[-2].startswith("  #PF error code 0x")
    assert lines[-1].strip() == code


def test_a_non_canonical_address_has_no_levels():
    lines = picture(X86_64, LONG, Access(1 << 47), {})
    assert last(lines, 4) == ("  CR3 0x1000\n   │\n   ✗  not canonical: bits 63:47 of the address "
                              "are not all equal\n  #GP error code 0x0")


def test_a_machine_check_shows_the_levels_before_it():
    lines = picture(X86_64, LONG, Access(0), {0x1000: 0x9_9000 | 7})
    assert last(lines, 2) == ("   ✗  there is no memory where the next entry should be\n"
                              "  #MC error code 0x0")
    assert any(line.startswith("  PML4E") for line in lines)


def test_without_paging_there_is_nothing_to_walk():
    lines = picture(IA32, Control(cr3=0, cr0=0), Access(0x1234), {})
    assert lines[-2:] == ["   ▼  paging is off: linear addresses are physical",
                          "  physical address 0x1234   memory type: PAT entry 0"]


entry_values = st.integers(0, (1 << 64) - 1) | st.integers(0, 7).map(lambda pfn: pfn << 12 | 0x27)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    mode=st.sampled_from(list(MODES.values())),
    vaddr=st.integers(0, (1 << 47) - 1),
    values=st.lists(entry_values, min_size=8, max_size=8),
    kind=st.sampled_from(AccessKind),
    flags=st.tuples(*[st.booleans()] * 3),
    cr4=st.integers(0, (1 << 23) - 1),
)
def test_every_picture_fits_and_tells_the_outcome(mode, vaddr, values, kind, flags, cr4):
    vaddr &= (1 << mode.vaddr_bits) - 1
    memory = PhysicalMemory()
    memory.add(range(8))
    for pfn, value in enumerate(values):
        memory.frames[pfn] = value
    control = Control(cr3=0x1000, cr0=Cr0.PG | Cr0.WP, cr4=cr4)
    result = walk(memory, mode, control, Access(vaddr, kind, *flags))
    lines = walk_picture(mode, control, result).plain.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith(("  P", )) and " at " in line for line in lines) == len(result.steps)
    if result.fault is None:
        assert f"physical address {result.paddr:#x} " in lines[-1]
    else:
        fault = result.fault
        assert f"#{fault.vector.name} error code {fault.error_code:#x}" in last(lines, 2)


@pytest.mark.parametrize(("page_bytes", "name"), [(1 << 12, "4K"), (1 << 21, "2M"), (1 << 22, "4M"),
                                                  (1 << 30, "1G")])
def test_size_names(page_bytes, name):
    assert size_name(page_bytes) == name


# Tables


def test_a_replay_without_hardware_shows_no_hardware():
    result = Result(X86_64, "probes", 1000, accesses=4000, seconds=1.25)
    text = plain(result_table({"model": result}))
    assert [line.split() for line in text.splitlines()] == [
        ["model"], ["probes", "1,000"], ["agreements", "1,000"], ["mismatches", "0"],
        ["accesses", "4,000"], ["seconds", "1.2"]]
