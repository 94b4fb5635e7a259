"""Roots of page tables are found in memory without registers, and nothing else is."""

import json
from pathlib import Path

import numpy as np
import pytest

from pagewalk.model.x86 import IA32, LA57, X86_64
from pagewalk.sim.mapping.root_search import find_roots, mode_of_root
from pagewalk.sim.mapping.table_tree import TableTree
from pagewalk.sim.memory_file.cpu_state import CpuState
from pagewalk.sim.memory_file.open_memory import open_memory

from .worlds import HeldFile, world

DUMPS = Path(__file__).parents[2] / "data" / "dumps"
GUESTS = json.loads((DUMPS / "guests.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["raw", "lime", "avml"])
@pytest.mark.parametrize("guest", GUESTS)
def test_every_cr3_of_a_guest_is_found(guest, kind):
    known = [int(cpu["cr3"], 16) for cpu in GUESTS[guest]["cpus"]]
    file = open_memory(DUMPS / f"{guest}.{kind}.xz")
    roots = find_roots(file)
    assert set(known) <= {one.cr3 for one in roots}
    mode = open_memory(DUMPS / f"{guest}.kdump.xz").cpus[0].mode
    assert {one.mode for one in roots} == {mode}
    assert [mode_of_root(file, cr3) for cr3 in known] == [mode] * len(known)
    assert roots[0].maps_itself


def kernel(mode, root, apart=0x8000):
    """Return entries of a kernel that maps the frames 0 to 15 at the top of its addresses.

    Its tables begin ``apart`` bytes behind the root.
    """
    size, slots = mode.entry_bytes, 4096 // mode.entry_bytes
    entries, table = {}, root
    for _ in mode.levels[:-1]:
        below = root + apart if table == root else table + 0x1000
        entries[table + (slots - 1) * size] = below | 0x63
        table = below
    return entries | {table + number * size: number << 12 | 0x63 for number in range(16)}


@pytest.mark.parametrize("mode", [IA32, X86_64, LA57], ids=lambda mode: mode.name)
def test_a_small_kernel_is_found_among_data(mode):
    file, _ = world(mode, kernel(mode, 0x1000), frame_count=256)
    rng = np.random.default_rng(5)
    for pfn in range(32, 200):
        file.held[pfn] = rng.bytes(4096)
    root, = [one for one in find_roots(file) if one.maps_itself]
    assert (root.mode, root.cr3, root.pages) == (mode, 0x1000, 16)


def test_a_root_that_maps_itself_counts_before_a_deeper_one_that_does_not():
    file, _ = world(X86_64, kernel(X86_64, 0x1000) | kernel(LA57, 0x20000))
    first = find_roots(file)[0]
    assert (first.mode, first.cr3, first.maps_itself) == (X86_64, 0x1000, True)


def test_a_table_that_a_root_leads_to_is_no_root():
    # Read as a root, the table in frame 33 leads by frame 15, as if that were a table, to itself.
    file, _ = world(X86_64, kernel(X86_64, 0x1000, 0x20000) | {0xFFF8: 0x21063})
    tree = TableTree(file, CpuState.in_mode("CPU 0", X86_64, 0x21000))
    assert tree.pages == 2
    assert 1 in tree.table_pfns  # so it leads to the root, too
    found = [one.cr3 for one in find_roots(file)]
    assert found[0] == 0x1000
    assert not {0x21000, 0x22000, 0x23000} & set(found)


def test_there_is_nothing_to_find_in_data():
    rng = np.random.default_rng(6)
    file = HeldFile({pfn: rng.bytes(4096) for pfn in range(64)}, 64)
    assert find_roots(file) == []
    assert mode_of_root(file, 0x3000) is None
    assert find_roots(HeldFile({}, 64)) == []


@pytest.mark.slow
@pytest.mark.parametrize("guest", GUESTS)
def test_empty_tables_may_have_been_left_out(guest):
    # makedumpfile -d 1 leaves out all frames of zeros.
    whole = open_memory(DUMPS / f"{guest}.kdump.xz")
    pfns = np.concatenate([*whole.occupied()])
    data, _ = whole.frames(pfns)
    held = {pfn: row.tobytes() for pfn, row in zip(pfns.tolist(), data, strict=True) if row.any()}
    file = HeldFile(held, whole.end >> 12, lacks=True)
    assert find_roots(file) == find_roots(whole)
