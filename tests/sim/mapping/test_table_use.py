"""Page tables themselves, their sharing, and what maps a frame."""

import pytest

from pagewalk.model.x86 import X86_64
from pagewalk.sim.mapping.page_list import pages_of
from pagewalk.sim.mapping.table_tree import TableTree
from pagewalk.sim.mapping.table_use import frame_uses, table_uses
from pagewalk.sim.memory_file.cpu_state import CpuState

from .worlds import world

# Two roots, at 0x1000 and 0x2000, share all below 0x3000; 0x5000 is used twice by 0x4000, and
# 0x6000 is a table that maps nothing.
ENTRIES = {0x1FF8: 0x3007, 0x2FF8: 0x3007, 0x2000: 0x3007, 0x3000: 0x4007, 0x3008: 0x6007,
           0x4000: 0x5007, 0x4010: 0x5007, 0x4018: 0x40_0083, 0x5008: 0x7001, 0x5010: 0x7007}
TOP = 0xFFFF_FF80_0000_0000


@pytest.fixture
def trees():
    file, cpu = world(X86_64, ENTRIES)
    return [TableTree(file, cpu), TableTree(file, CpuState.in_mode("CPU 1", X86_64, 0x2000))]


def test_tables_tell_their_uses(trees):
    found = {(one.table, one.pfn): (one.first, one.entries, one.uses, one.cpus)
             for one in table_uses(trees)}
    both = ("CPU 0", "CPU 1")
    assert found == {
        ("PML4 table", 1): (TOP, 1, 1, ("CPU 0",)),
        ("PML4 table", 2): (0, 2, 1, ("CPU 1",)),
        ("page-directory-pointer table", 3): (0, 1, 2, both),
        ("page directory", 4): (0, 3, 1, both),
        ("page table", 5): (0, 2, 2, both),
    } | {("PML4 table", 1): (0, 1, 1, ("CPU 0",))}


def test_the_same_root_of_two_processors_is_used_twice(trees):
    assert table_uses([trees[0], trees[0]])[0].uses == 2


@pytest.mark.parametrize(("pfn", "expected"), [
    (7, [(0x1000, 4096, 4), (0x2000, 4096, 7), (0x40_1000, 4096, 4), (0x40_2000, 4096, 7)]),
    (0x400, [(0x60_0000, 2 << 20, 5)]),
    (0x401, [(0x60_1000, 2 << 20, 5)]),
    (0x5FF, [(0x7F_F000, 2 << 20, 5)]),
    (0x600, []),
    (3, []),
])
def test_the_mappings_of_a_frame(pfn, expected, trees):
    found = [(use.vaddr - TOP, use.page_bytes, use.rights) for use in frame_uses(trees[0], pfn)]
    assert found == [(vaddr, size, rights) for vaddr, size, rights in expected]
    total = len(frame_uses(trees[1], pfn))
    assert total == 2 * len(expected)
    assert trees[1].pages == sum(map(len, pages_of(trees[1]))) == 10
