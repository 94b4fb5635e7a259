"""Findings: each kind planted in page tables that have no other."""

import pytest

from pagewalk.model.x86 import X86_64, Efer
from pagewalk.sim.mapping.kernel_regions import kernel_layout
from pagewalk.sim.mapping.oddities import oddities
from pagewalk.sim.mapping.page_list import pages_of
from pagewalk.sim.mapping.rights_range import merged
from pagewalk.sim.mapping.table_tree import TableTree
from pagewalk.sim.memory_file.cpu_state import CpuState

from .worlds import world

XD = 1 << 63
# 0x5000 is the page table of the addresses from 0x400000 on, 0x8000 that of the top 2 Mbytes.
SOUND = {0x1000: 0x2007, 0x2000: 0x3007, 0x3010: 0x5007, 0x5000: 0x20005, 0x5008: XD | 0x21007,
         0x1FF8: 0x6007, 0x6FF8: 0x7007, 0x7FF8: 0x8007, 0x8008: XD | 0x22003}


def found(entries, **control):
    file, cpu = world(X86_64, SOUND | entries)
    if control:
        cpu = CpuState("CPU 0", type(cpu.control)(0x1000, **control))
    tree = TableTree(file, cpu)
    ranges = [*merged(pages_of(tree))]
    layout = kernel_layout(tree.mode, ranges)
    return [one.text for one in oddities(tree, layout, ranges, pages_of(tree))]


@pytest.mark.parametrize(("entries", "texts"), [
    ({}, []),
    ({0x5010: 0x23007, 0x5018: 0x23007}, ["W+X: 2 pages, the first at 0x402000"]),
    ({0x8010: XD | 0x23007}, ["kernel half open to user: 1 page, the first at 0xffffffffffe02000"]),
    ({0x5010: XD | 0x3005}, ["page table open to user: 1 page, the first at 0x402000"]),
    ({0x3018: XD | 0x87}, ["page table open to user: 1 page, the first at 0x600000"]),
    ({0x5010: XD | 0x3001}, []),
    ({0x3000: 0x9007, 0x9000: XD | 0x24005}, ["page 0 mapped: 1 range, the first at 0x0"]),
    ({0x1008: 0x2087, 0x3018: 0x2087}, ["reserved bit set: 2 entries"]),
    ({0x3018: 0xFFFF_F007}, ["table not in the file: 1 entry"]),
])
def test_each_finding_is_told(entries, texts):
    assert found(entries) == texts


def test_without_nxe_no_page_is_one_that_should_not_be_executed():
    # All XD bits are reserved then.
    assert found({0x5010: 0x23007}, efer=Efer.LMA | Efer.LME) == ["reserved bit set: 2 entries"]


def test_the_page_of_old_system_calls_may_be_used():
    vsyscall = {0x7FD8: 0x9007, 0x9000: 0x25005}
    assert found(vsyscall) == []
    assert found({0x7FD8: 0x9007, 0x9000: XD | 0x25007}) == [
        "kernel half open to user: 1 page, the first at 0xffffffffff600000"]
