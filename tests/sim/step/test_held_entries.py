"""What is read inside the hardware, against what golden walks let a TLB keep."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import Cr3

from .stepping import CONFIGS, PCID, Stepped

pytestmark = pytest.mark.slow


@pytest.fixture(params=CONFIGS)
def stepped(request, tmp_path):
    return Stepped(CONFIGS[request.param], tmp_path)


def _by_address(entries):
    return sorted(entries, key=lambda one: one.vaddr)


def test_each_tlb_holds_what_golden_walks_give(stepped):
    expected = {}
    for port in stepped.config.ports:
        stepped.add(*(f"{line} port={port}" for line in stepped.lines), "barrier")
        walks = stepped.walks()
        assert all(one.fault is None for one in walks)
        expected[port] = stepped.pages(walks)
    state = stepped.run(rest=60)[-1]
    for port, pages in expected.items():
        held = [one.entry for one in state.tlbs[port]]
        assert _by_address(held) == _by_address(pages)
        assert len({one.place for one in state.tlbs[port]}) == len(held)
    assert (state.l2 is None) == (not stepped.config.l2_entries)
    if state.l2 is not None:
        assert _by_address(one.entry for one in state.l2) == _by_address(pages)
    kinds = {(one.pcid, one.dirty, one.memory_type, one.rights.key) for one in pages}
    assert len(kinds) >= 3  # they can be told apart


def test_the_walk_cache_holds_tables_of_golden_walks(stepped):
    stepped.add(*stepped.lines)
    expected = stepped.tables(stepped.walks())
    state = stepped.run(rest=60)[-1]
    held = [one.entry for one in state.tables]
    assert set(held) <= expected
    assert len(set(held)) == len(held)
    pcid = stepped.control.cr3 & Cr3.PCID if stepped.config.mode.has_pcids else 0
    assert all(one.pcid == pcid for one in state.tables)
    assert bool(held) == bool(stepped.config.walk_cache)
    if stepped.config.walk_cache:
        lowest = stepped.config.mode.levels[-2]
        assert {one for one in held if one.level == lowest} == {
            one for one in expected if one.level == lowest}


def test_an_invalidation_leaves_the_others(stepped):
    vaddr = stepped.lines[1].split()[1]
    stepped.add(*stepped.lines, "barrier", "wait 60", f"invlpg {vaddr}")
    pages = stepped.pages(stepped.walks())
    state = stepped.run(rest=100)[-1]
    left = [one for one in pages if one.vaddr != int(vaddr, 16) & ~0xFFF]
    held = {one.entry for pages in state.tlbs.values() for one in pages}
    assert held == set(left)
    assert state.tables == []
    if state.l2 is not None:
        assert {one.entry for one in state.l2} == set(left)


def test_a_new_cr3_leaves_what_is_global(stepped):
    root = stepped.control.cr3
    stepped.add(*stepped.lines, "barrier", "wait 60", f"mov cr3 {root:#x}")
    pages = stepped.pages(stepped.walks())
    state = stepped.run(rest=100)[-1]
    left = {one for one in pages if one.pcid is None}
    assert len(left) == 1
    assert {one.entry for pages in state.tlbs.values() for one in pages} == left
    if state.l2 is not None:
        assert {one.entry for one in state.l2} == left


@pytest.mark.parametrize("index", ["plain", "folded"])
@pytest.mark.parametrize("l2_entries", [0, 16])
def test_pages_of_every_set_are_told_by_their_numbers(index, l2_entries, tmp_path):
    config = Config(ports=("data",), entries=8, ways=2, index=index, l2_entries=l2_entries)
    stepped = Stepped(config, tmp_path)
    memory, addresses = stepped.session.memory, range(0x400000, 0x600000, 0x7000)
    for vaddr in addresses:
        memory.write(0x5000 + (vaddr >> 12 & 511) * 8, 8, vaddr << 4 | 7)
    stepped.add(*(f"read {vaddr:#x} user" for vaddr in addresses))
    state = stepped.run(rest=20)[-1]
    for held in (state.tlbs["data"], state.l2 or []):
        assert all(one.entry.paddr == one.entry.vaddr << 4 for one in held)
    assert len(state.tlbs["data"]) == 8
    assert len(state.l2 or []) == l2_entries
    assert {one.entry.pcid for one in state.tlbs["data"]} == {PCID}
