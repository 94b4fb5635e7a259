"""The list of pages against the golden walk: what it lists translates, and nothing else does."""

import random

import numpy as np
import pytest

from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.x86 import IA32, LA57, MODES, X86_64, AccessKind, Cr0, Cr4
from pagewalk.sim.errors import InputError
from pagewalk.sim.mapping import page_list
from pagewalk.sim.mapping.entry_rules import EXECUTE, USER, WRITE
from pagewalk.sim.mapping.page_list import canonical, chosen, pages_of
from pagewalk.sim.mapping.table_tree import TableTree
from pagewalk.sim.memory_file.file_memory import FileMemory

from .worlds import FRAME, random_world, world

SEEDS = range(6)
ALL_MODES = pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
WIDEST = 52


def listed(tree):
    """Return all pages as (address, size, physical address, rights)."""
    return [row for pages in pages_of(tree) for row in
            zip(pages.vaddr.tolist(), pages.size.tolist(), pages.paddr.tolist(),
                pages.rights.tolist(), strict=True)]


def walked(file, cpu, vaddr):
    """Return what the golden walk finds: physical address, page size and rights, or None."""
    control = type(cpu.control)(cpu.control.cr3, Cr0.PG | Cr0.WP, cpu.control.cr4 & ~Cr4.SMAP
                                & ~Cr4.SMEP, cpu.control.efer)

    def outcome(**access):
        return walk(FileMemory(file), cpu.mode, control, Access(vaddr, **access), WIDEST)

    read = outcome()
    if read.fault is not None:
        return None
    rights = ((WRITE if outcome(kind=AccessKind.WRITE).fault is None else 0)
              | (EXECUTE if outcome(kind=AccessKind.FETCH).fault is None else 0)
              | (USER if outcome(user=True).fault is None else 0))
    return read.paddr, read.page.page_bytes, rights


@ALL_MODES
@pytest.mark.parametrize("seed", SEEDS)
def test_every_listed_page_is_what_the_walk_finds(mode, seed):
    file, cpu = random_world(mode, seed)
    rng = random.Random(seed)
    rows = listed(TableTree(file, cpu))
    assert rows
    for vaddr, size, paddr, rights in rng.sample(rows, min(60, len(rows))):
        offset = rng.randrange(size)
        assert walked(file, cpu, vaddr + offset) == (paddr + offset, size, rights), hex(vaddr)


@ALL_MODES
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_not_listed_faults(mode, seed):
    file, cpu = random_world(mode, seed)
    rng = random.Random(seed)
    rows = listed(TableTree(file, cpu))
    starts = np.array([row[0] for row in rows], np.uint64)
    ends = starts + np.array([row[1] - 1 for row in rows], np.uint64)
    tried = 0
    for _ in range(400):
        # Near what is listed: the same address with one field changed.
        level = rng.choice(mode.levels)
        index = int(rng.choice(rows)[0]) ^ rng.getrandbits(level.index_bits) << level.shift
        vaddr = int(canonical(mode, np.array([index & (1 << mode.translated_bits) - 1],
                                             np.uint64))[0])
        hit = ((starts <= np.uint64(vaddr)) & (np.uint64(vaddr) <= ends)).any()
        found = walked(file, cpu, vaddr) if tried < 80 or hit else None
        assert (found is not None) == hit or tried >= 80, hex(vaddr)
        tried += 1
    assert tried == 400


@ALL_MODES
@pytest.mark.parametrize("most", [1, 7, 100])
def test_chunks_of_any_size_make_the_same_list(mode, most, monkeypatch):
    file, cpu = random_world(mode, 3)
    tree = TableTree(file, cpu)
    expected = listed(tree)
    assert expected == sorted(expected)
    assert tree.pages == len(expected)
    monkeypatch.setattr(page_list, "MOST_AT_ONCE", most)
    assert listed(tree) == expected
    assert max(map(len, pages_of(tree))) <= max(most, 1 << 10)


def test_pages_are_chosen_by_rights_and_addresses():
    base = 0x1000
    entries = {0x1000: 0x2007, 0x2000: 0x3007, 0x3000: 0x4007, 0x4000: base * 16 | 7,
               0x4008: 0x11001, 0x4010: 1 << 63 | 0x12007, 0x3008: 0x200087}
    file, cpu = world(X86_64, entries)
    tree = TableTree(file, cpu)

    def addresses(rights, start, end):
        return [hex(vaddr) for pages in chosen(pages_of(tree), rights, start, end)
                for vaddr in pages.vaddr.tolist()]

    assert addresses(0, 0, 1 << 64) == ["0x0", "0x1000", "0x2000", "0x200000"]
    assert addresses(WRITE | EXECUTE, 0, 1 << 64) == ["0x0", "0x200000"]
    assert addresses(USER, 0x1000, 0x2001) == ["0x2000"]
    assert addresses(0, 0xFFF, 0x1001) == ["0x0", "0x1000"]
    assert addresses(0, 0x3FFFFF, 0x400000) == ["0x200000"]
    assert addresses(0, 0x400000, 1 << 64) == []


@pytest.mark.parametrize("mode", [X86_64, LA57], ids=lambda mode: mode.name)
def test_a_root_that_leads_to_itself_everywhere_is_refused(mode):
    file, cpu = world(mode, {0x1000 + 8 * slot: 0x1007 for slot in range(512)})
    with pytest.raises(InputError, match=r"^held: CR3 0x1000 maps \d+ pages; expected .*$"):
        TableTree(file, cpu)


def test_a_root_that_leads_to_itself_once_is_listed():
    file, cpu = world(X86_64, {0x1000: 0x1007, 0x1008: 0x5007})
    rows = listed(TableTree(file, cpu))
    assert (0, 4096, 0x1000, 7) in rows
    assert [row[:3] for row in rows] == [(0, 4096, 0x1000), (0x1000, 4096, 0x5000)]


def test_32_bit_paging_has_large_pages_only_with_pse():
    file, cpu = world(IA32, {0x1000: 0x2E7, 0x0: 0x9007})
    assert listed(TableTree(file, cpu)) == [(0, 4 << 20, 0, 7)]
    plain = type(cpu)("CPU 0", type(cpu.control)(0x1000, cr4=0, efer=0))
    assert listed(TableTree(file, plain)) == [(0, FRAME, 0x9000, 7)]


@pytest.mark.parametrize(("cpu", "what"), [
    ({"cr4": Cr4.PAE, "efer": 0}, r"CPU 0 has PAE paging \(CR0 0x80010000, CR4 0x20\)"),
    ({"cr0": 0}, r"CPU 0 has no paging .*"),
    ({"cr3": 1 << 40}, r"has no memory at 0x10000000000, where CR3 of CPU 0 points"),
])
def test_registers_without_page_tables_are_told(cpu, what):
    file, known = world(X86_64, {0x1000: 0})
    control = type(known.control)(**{"cr3": 0x1000} | cpu)
    with pytest.raises(InputError, match=rf"^held: {what}; expected .*$"):
        TableTree(file, type(known)("CPU 0", control))
