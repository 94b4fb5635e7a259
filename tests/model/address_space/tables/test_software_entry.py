from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.address_space.tables.software_entry import (
    AMD64_ENTRIES,
    I686_ENTRIES,
    EntryError,
    EntryFlag,
    EntryKind,
    SwapPte,
)
from pagewalk.model.x86 import Entry

FORMATS = {"amd64": AMD64_ENTRIES, "i686": I686_ENTRIES}
DATA = Path(__file__).parents[3] / "data" / "linux-6.1"

# Of each boot: entries of swapped pages, and of 4-Kbyte and 2-Mbyte pages with PROT_NONE.
COUNTS = {"i686-A": (838, 48, 0), "i686-B": (838, 48, 0), "amd64-A": (838, 48, 0),
          "amd64-B": (560, 32, 1)}

# /proc/PID/pagemap [Documentation/admin-guide/mm/pagemap.rst]
PM_PRESENT, PM_SWAP, PM_SOFT_DIRTY = 1 << 63, 1 << 62, 1 << 55
PM_FRAME = (1 << 55) - 1


def recorded(boot: str) -> list[tuple[int, int, int]]:
    """Return every user entry without P of a boot: log2 of what it maps, itself, and pagemap."""
    with np.load(DATA / boot / "not-present.npz") as arrays:
        columns = (arrays[name].tolist() for name in ("shift", "entry", "pagemap"))
        return list(zip(*columns, strict=True))


def pagemap(form, shift: int, entry: int, soft_dirty: int) -> int:
    """Return what /proc/PID/pagemap would say of an entry, as far as the entry tells.

    [fs/proc/task_mmu.c, pte_to_pagemap_entry]
    """
    if form.kind(entry, shift) is EntryKind.PROT_NONE:
        return PM_PRESENT | form.pfn(entry, shift) | soft_dirty
    swap = form.decode_swap(entry)
    if form is AMD64_ENTRIES:
        soft_dirty = PM_SOFT_DIRTY if swap.flags & EntryFlag.SOFT_DIRTY else 0
    return PM_SWAP | swap.offset << 5 | swap.type | soft_dirty


@pytest.mark.parametrize("boot", COUNTS)
def test_every_swap_and_prot_none_entry_decodes_to_what_pagemap_says(boot):
    form = FORMATS[boot.split("-")[0]]
    counts = {(EntryKind.SWAP, 12): 0, (EntryKind.PROT_NONE, 12): 0, (EntryKind.PROT_NONE, 21): 0}
    for shift, entry, said in recorded(boot):
        counts[form.kind(entry, shift), shift] += 1
        # i686 keeps soft-dirty nowhere; of PROT_NONE pages it is a bit of the entry like any other.
        seen = PM_PRESENT | PM_SWAP | PM_FRAME | PM_SOFT_DIRTY
        assert pagemap(form, shift, entry, said & PM_SOFT_DIRTY) == said & seen
    assert tuple(counts.values()) == COUNTS[boot]


@pytest.mark.parametrize("boot", COUNTS)
def test_recorded_entries_are_encoded_as_the_kernel_did(boot):
    form = FORMATS[boot.split("-")[0]]
    for shift, entry, _ in recorded(boot):
        if form.kind(entry, shift) is EntryKind.SWAP:
            assert form.encode_swap(form.decode_swap(entry)) == entry
        else:
            flags = entry & 0xFFF | entry & Entry.XD * (form is AMD64_ENTRIES)
            assert form.encode_prot_none(form.pfn(entry, shift), flags, shift) == entry


@pytest.mark.parametrize("boot", COUNTS)
def test_arrays_decode_as_entries_one_by_one(boot):
    form = FORMATS[boot.split("-")[0]]
    for level in (12, 21):
        entries = [entry for shift, entry, _ in recorded(boot) if shift == level]
        assert_same(form, entries, level)


def assert_same(form, entries: list[int], shift: int = 12) -> None:
    found = form.decode(np.array(entries, np.uint64 if form.bits == 64 else np.uint32), shift)
    for number, entry in enumerate(entries):
        kind = form.kind(entry, shift)
        swap = form.decode_swap(entry) if kind >= EntryKind.SWAP else SwapPte(0, 0)
        try:
            pfn = form.pfn(entry, shift)
        except EntryError:
            pfn = 0
        row = [array[number] for array in (found.kind, found.type, found.offset, found.flags,
                                           found.pfn)]
        assert row == [kind, swap.type, swap.offset, swap.flags, pfn], f"{entry:#x}"


@pytest.mark.slow
@given(st.data(), st.sampled_from(["amd64", "i686"]), st.sampled_from([12, 21]))
def test_arrays_decode_any_entry_as_one_by_one(data, kernel, shift):
    form = FORMATS[kernel]
    bits = st.integers(0, (1 << form.bits) - 1)
    without_present = bits.map(lambda entry: entry & ~(Entry.P | Entry.G))
    assert_same(form, data.draw(st.lists(bits | without_present | st.integers(0, 511))), shift)


@given(st.data(), st.sampled_from(["amd64", "i686"]))
def test_a_swap_entry_comes_back_and_is_never_present(data, kernel):
    form = FORMATS[kernel]
    flags = data.draw(st.sets(st.sampled_from([flag for flag, _ in form.flag_bits]))
                      if form.flag_bits else st.just(set()))
    entry = SwapPte(data.draw(st.integers(0, 31)),
                      data.draw(st.integers(0, (1 << form.offset_bits) - 1)),
                      EntryFlag(sum(flags)))
    value = form.encode_swap(entry)
    if value & ~form.ignored:  # i686: type 0, offset 0 would be the empty entry
        assert form.kind(value) >= EntryKind.SWAP
        assert form.decode_swap(value) == entry
    assert value & (Entry.P | Entry.G) == 0
    assert value < 1 << form.bits


@given(st.data(), st.sampled_from(["amd64", "i686"]))
def test_a_prot_none_page_keeps_its_frame(data, kernel):
    form = FORMATS[kernel]
    pfn = data.draw(st.integers(0, (1 << form.pfn_bits) - 1))
    entry = form.encode_prot_none(pfn, Entry.A | Entry.D)
    assert form.kind(entry) is EntryKind.PROT_NONE
    assert form.pfn(entry) == pfn


def test_amd64_stores_frames_and_offsets_inverted_against_l1tf():
    assert AMD64_ENTRIES.encode_prot_none(0x1234) == 0xF_FFFF_FEDC_B120
    assert AMD64_ENTRIES.encode_swap(SwapPte(0, 1)) == 0x07FF_FFFF_FFFF_FC00
    assert I686_ENTRIES.encode_prot_none(0x1234) == 0x0123_4120
    assert I686_ENTRIES.encode_swap(SwapPte(0, 1)) == 0x200


def test_the_type_lies_at_the_top_of_amd64_entries_and_in_bits_1_to_5_of_i686():
    entry = SwapPte(0b10011, 0x1234)
    inverted = 0x1234 ^ (1 << 50) - 1
    assert AMD64_ENTRIES.encode_swap(entry) == 0b10011 << 59 | inverted << 9
    assert I686_ENTRIES.encode_swap(entry) == 0b10011 << 1 | 0x1234 << 9


def test_the_highest_swap_types_are_no_devices():
    # MAX_SWAPFILES with CONFIG_MIGRATION, _MEMORY_FAILURE, without _DEVICE_PRIVATE; only amd64 has
    # _PTE_MARKER. [include/linux/swap.h]
    assert (AMD64_ENTRIES.max_swapfiles, I686_ENTRIES.max_swapfiles) == (26, 27)
    names = ["HWPOISON", "MIGRATION_READ", "MIGRATION_READ_EXCLUSIVE", "MIGRATION_WRITE"]
    for form in FORMATS.values():
        types = [form.type_of(EntryKind[name]) for name in names]
        assert types == list(range(form.max_swapfiles, form.max_swapfiles + 4))
        assert form.type_of(EntryKind.SWAPIN_ERROR) == 31
        last = form.encode_swap(SwapPte(form.max_swapfiles - 1, 7))
        assert form.kind(last) is EntryKind.SWAP
    assert AMD64_ENTRIES.type_of(EntryKind.PTE_MARKER) == 30
    with pytest.raises(EntryError, match=r"^No swap type means PTE_MARKER$"):
        I686_ENTRIES.type_of(EntryKind.PTE_MARKER)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_migration_entry_names_the_page_that_moves(form):
    write = form.type_of(EntryKind.MIGRATION_WRITE)
    accessed = 1 << form.swap_pfn_bits & (1 << form.offset_bits) - 1
    entry = form.encode_swap(SwapPte(write, 0x1234 | accessed))
    assert form.kind(entry) is EntryKind.MIGRATION_WRITE
    assert form.pfn(entry) == 0x1234


def test_flags_are_kept_in_bits_1_to_3_of_amd64_and_nowhere_in_i686():
    plain = AMD64_ENTRIES.encode_swap(SwapPte(3, 5))
    flags = {EntryFlag.SOFT_DIRTY: Entry.RW, EntryFlag.UFFD_WP: Entry.US,
             EntryFlag.EXCLUSIVE: Entry.PWT}
    for flag, bit in flags.items():
        assert AMD64_ENTRIES.encode_swap(SwapPte(3, 5, flag)) == plain | bit
    with pytest.raises(EntryError, match=r"^A swap entry of 32 bits cannot hold EXCLUSIVE$"):
        I686_ENTRIES.encode_swap(SwapPte(3, 5, EntryFlag.EXCLUSIVE))


def test_empty_entries_may_have_accessed_and_dirty_set_on_amd64():
    assert AMD64_ENTRIES.kind(Entry.A | Entry.D) is EntryKind.NONE
    assert I686_ENTRIES.kind(0) is EntryKind.NONE
    assert I686_ENTRIES.kind(Entry.A) is not EntryKind.NONE


def test_a_huge_page_that_is_being_split_is_present_for_the_kernel():
    entry = AMD64_ENTRIES.encode_prot_none(0x200, Entry.PS, 21) & ~Entry.G
    assert AMD64_ENTRIES.kind(entry, 21) is EntryKind.PROT_NONE
    assert AMD64_ENTRIES.kind(entry) is not EntryKind.PROT_NONE


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(EntryError, match=r"^Swap type must be 0 to 31, not 32$"):
        AMD64_ENTRIES.encode_swap(SwapPte(32, 0))
    with pytest.raises(EntryError, match=r"^Swap offset must have at most 23 bits, not be 0x80"):
        I686_ENTRIES.encode_swap(SwapPte(0, 1 << 23))
    with pytest.raises(EntryError, match=r"^Page frame must have at most 20 bits and be aligned to"
                                         r" 4096 bytes, not be 0x100000$"):
        I686_ENTRIES.encode_prot_none(1 << 20)
    with pytest.raises(EntryError, match=r"aligned to 2097152 bytes, not be 0x201$"):
        AMD64_ENTRIES.encode_prot_none(0x201, Entry.PS, 21)
    with pytest.raises(EntryError, match=r"^Entry 0x67 is PRESENT, not a swap entry$"):
        AMD64_ENTRIES.decode_swap(0x67)
    with pytest.raises(EntryError, match=r"^Entry 0x0 is NONE and has no page frame$"):
        AMD64_ENTRIES.pfn(0)
