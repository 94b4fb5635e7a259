"""Ranges: pages that follow each other and permit the same, whatever chunks they come in."""

import pytest

from pagewalk.model.x86 import MODES
from pagewalk.sim.mapping import page_list
from pagewalk.sim.mapping.page_list import pages_of
from pagewalk.sim.mapping.rights_range import merged, rights_text
from pagewalk.sim.mapping.table_tree import TableTree

from .test_page_list import listed
from .worlds import random_world, world


def plainly_merged(rows):
    ranges = []
    for vaddr, size, paddr, rights in rows:
        if ranges and ranges[-1][1:4] == [vaddr, size, rights]:
            ranges[-1][1] += size
        else:
            ranges.append([vaddr, vaddr + size, size, rights, paddr])
    return [tuple(one) for one in ranges]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [50, 1 << 18])
def test_ranges_are_those_of_a_plain_loop(mode, seed, most, monkeypatch):
    monkeypatch.setattr(page_list, "MOST_AT_ONCE", most)
    tree = TableTree(*random_world(mode, seed, fill=4, dense=200))
    found = [(one.start, one.end, one.page_bytes, one.rights, one.paddr)
             for one in merged(pages_of(tree))]
    assert found == plainly_merged(listed(tree))
    assert 100 < len(found) < tree.pages * 9 // 10
    assert sum(one.pages for one in merged(pages_of(tree))) == tree.pages


def test_a_range_may_end_with_the_address_space():
    mode = MODES["x86_64"]
    tree = TableTree(*world(mode, {0x1FF8: 0x2003, 0x2FF8: 0x4000_0083, 0x2FF0: 0x83}))
    one, = merged(pages_of(tree))
    assert (one.start, one.end, one.pages, one.paddr) == ((1 << 64) - (2 << 30), 1 << 64, 2, 0)


def test_rights_are_four_letters():
    assert [rights_text(rights) for rights in range(8)] == [
        "-r--", "-rw-", "ur--", "urw-", "-r-x", "-rwx", "ur-x", "urwx"]
