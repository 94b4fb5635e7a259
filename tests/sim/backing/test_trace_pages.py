"""What is mapped where, by the golden walk over the tables that were made."""

import numpy as np
import pytest

from pagewalk.model.mmu.control import Access
from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import IA32, LA57, MODES, PAGE_SHIFT, X86_64
from pagewalk.sim.backing.frame_list import frame_list
from pagewalk.sim.backing.frame_supply import FrameSupply
from pagewalk.sim.backing.page_source import TouchedPages
from pagewalk.sim.backing.relocation import relocated
from pagewalk.sim.backing.trace_pages import TracePages
from pagewalk.sim.errors import InputError

MIB = 1 << 20


def supply(mode=X86_64, megabytes=256, fragmentation=0.0, seed=0):
    return FrameSupply(mode, 40, megabytes * MIB, fragmentation, np.random.default_rng(seed))


def pages_of(mode=X86_64, size=0, *, thp=False, **more):
    frames = supply(mode, **more)
    return TracePages(mode, frames, TouchedPages(mode, frames, size, thp=thp))


@pytest.mark.parametrize("mode", MODES.values(), ids=lambda mode: mode.name)
@pytest.mark.parametrize("size", [0, 1])
def test_the_golden_walk_finds_each_page(mode, size):
    rng, pages = np.random.default_rng(1), pages_of(mode, size)
    top, used = mode.translated_bits - PAGE_SHIFT, set()
    bits = mode.pages[size].shift - PAGE_SHIFT
    for vpn in dict.fromkeys((rng.integers(0, 1 << top, 30) >> bits << bits).tolist()):
        page = pages.pages[pages.number(0, vpn)]
        tables, control = pages.tables(0), pages.control(0, pcids=False)
        vaddr = tables.canonical(vpn << PAGE_SHIFT) + 0x123
        found = walk(pages.supply.memory, mode, control, Access(vaddr, user=True))
        assert found.paddr == (page.pfn << PAGE_SHIFT) + 0x123
        assert found.paddr not in used
        used.add(found.paddr)
        assert len(page.nodes) == page.leaf
    assert pages.supply.tables == pages.nodes + 1


def test_address_spaces_have_tables_of_their_own():
    pages = pages_of()
    one, other = (pages.pages[pages.number(space, 5)] for space in (0, 1))
    assert one.pfn != other.pfn
    assert not set(one.nodes) & set(other.nodes)
    assert pages.control(0, pcids=True).cr3 & 0xFFF == 0
    assert pages.control(1, pcids=True).cr3 & 0xFFF == 1


def test_huge_pages_are_made_once_and_only_where_blocks_are():
    pages = pages_of(thp=True)
    numbers = {pages.number(0, vpn) for vpn in range(512)}
    assert len(numbers) == len(pages.pages) == 1
    assert pages.pages[0].size == 1
    broken = pages_of(thp=True, fragmentation=1.0)
    assert [broken.pages[broken.number(0, vpn)].size for vpn in (0, 1, 600)] == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_fragmentation_breaks_the_share_that_was_asked_for(mode):
    order = mode.levels[-2].shift - PAGE_SHIFT

    def blocks(share, seed=0):
        frames, count = supply(mode, fragmentation=share, seed=seed), 0
        while frames.take(order) is not None:
            count += 1
        small = 0
        while frames.take(0) is not None:
            small += 1
        return count, (count << order) + small

    (whole, pages), (half, left) = blocks(0.0), blocks(0.5)
    assert abs(half - whole / 2) < 0.1 * whole  # the watermarks keep some
    assert 0 < pages - left < 0.01 * pages  # a page each stays in use
    assert blocks(1.0)[0] == 0
    assert abs(blocks(0.5, seed=1)[0] - half) < 0.1 * whole


def test_huge_pages_of_one_gbyte_lie_behind_memory():
    pages = pages_of(size=2)
    first, second = (pages.pages[pages.number(0, vpn)].pfn for vpn in (0, 1 << 18))
    assert (first, second) == (1 << 18, 2 << 18)


def test_too_little_memory_is_said():
    pages = pages_of(megabytes=64)
    with pytest.raises(InputError, match="--memory: 64 Mbytes are too few for the pages of this"):
        [pages.number(0, vpn) for vpn in range(1 << 20)]
    with pytest.raises(InputError, match="2097152 Mbytes end above what 40 address bits reach"):
        supply(megabytes=1 << 21)


@pytest.mark.parametrize("mode", [X86_64, IA32, LA57], ids=lambda mode: mode.name)
@pytest.mark.parametrize("seed", range(3))
def test_relocation_is_one_to_one_and_keeps_what_is_in_a_table_together(mode, seed):
    bits = mode.translated_bits - PAGE_SHIFT
    vpn = np.unique(np.random.default_rng(seed).integers(0, 1 << bits, 50_000))
    moved = relocated(mode, vpn, seed)
    low = mode.levels[-1].index_bits
    assert len(np.unique(moved)) == len(vpn)
    assert ((moved >= 0) & (moved >> bits == 0)).all()
    assert (moved & (1 << low) - 1 == vpn & (1 << low) - 1).all()
    tops = [np.unique(one >> bits - 9 if mode is not IA32 else one >> low)
            for one in (relocated(mode, np.arange(0, 1 << low + 6, 1 << low), seed),)]
    assert len(tops[0]) > 40  # 64 tables side by side are in many entries of the root


def test_frames_can_be_given(tmp_path):
    path = tmp_path / "frames"
    path.write_text("# vaddr,paddr\n0x1000,0x9000\n0x200000,0x40000000,2097152\n")
    frames = supply()
    pages = TracePages(X86_64, frames, frame_list(str(path), X86_64, 40))
    small, large = (pages.pages[pages.number(0, vpn)] for vpn in (1, 0x234))
    assert (small.size, small.pfn, large.size, large.pfn) == (0, 9, 1, 0x40000)
    with pytest.raises(InputError, match="frames: has no page for address 0x3000, which the trace"):
        pages.number(0, 3)


@pytest.mark.parametrize(("text", "message"), [
    ("0x1000\n", "line 1 is '0x1000'; expected 'vaddr,paddr' or"),
    ("0x1000,x\n", "line 1 is '0x1000,x'; expected"),
    ("0,0\n0x1000,0x2001\n", "line 2 is a page of 4096 bytes at 0x1000 in 0x2001; expected a mul"),
    ("0x1000,0x0,8192\n", "line 1 is a page of 8192 bytes at 0x1000 in 0x0; expected"),
    ("0x1000,0x10000000000\n", "line 1 is a page of 4096 bytes at 0x1000 in 0x10000000000; exp"),
    ("# none\n", "has no page; expected 'vaddr,paddr'"), ("", "has no page; expected"),
])
def test_a_bad_list_is_one_line(tmp_path, text, message):
    (tmp_path / "frames").write_text(text)
    with pytest.raises(InputError, match=f"^{tmp_path}/frames: {message}"):
        frame_list(str(tmp_path / "frames"), X86_64, 40)
