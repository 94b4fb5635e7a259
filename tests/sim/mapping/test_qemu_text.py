"""Lines of QEMU's monitor: those that it printed of real guests, and single ones by its source."""

import json
import lzma
import random
from pathlib import Path

import pytest

from pagewalk.model.x86 import IA32, LA57, X86_64
from pagewalk.sim.mapping.page_list import pages_of
from pagewalk.sim.mapping.qemu_text import mem_lines, tlb_lines
from pagewalk.sim.mapping.table_tree import TableTree
from pagewalk.sim.memory_file.open_memory import open_memory

from .test_page_list import listed, walked
from .worlds import world

DUMPS = Path(__file__).parents[2] / "data" / "dumps"
GUESTS = json.loads((DUMPS / "guests.json").read_text())
FORMATS = ("elf", "kdump", "raw", "lime", "avml")


def printed(name):
    return lzma.decompress((DUMPS / f"{name}.txt.xz").read_bytes()).decode().splitlines()


def processors(guest):
    return open_memory(DUMPS / f"{guest}.kdump.xz").cpus


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("guest", GUESTS)
def test_every_line_is_the_emulators_own(guest, kind):
    file = open_memory(DUMPS / f"{guest}.{kind}.xz")
    for number, cpu in enumerate(file.cpus or processors(guest)):
        tree = TableTree(file, cpu)
        assert [*tlb_lines(pages_of(tree))] == printed(f"{guest}.cpu{number}.tlb")
        if cpu.mode is not LA57:  # it prints nothing then
            assert [*mem_lines(pages_of(tree))] == printed(f"{guest}.cpu{number}.mem")


@pytest.mark.slow
@pytest.mark.parametrize("guest", GUESTS)
def test_the_golden_walk_finds_what_is_listed_of_a_guest(guest):
    file = open_memory(DUMPS / f"{guest}.kdump.xz")
    rng = random.Random(17)
    for cpu in file.cpus:
        rows = listed(TableTree(file, cpu))
        pages = {row[0]: row for row in rows}
        for vaddr, size, paddr, rights in rng.sample(rows, 300):
            offset = rng.randrange(size)
            assert walked(file, cpu, vaddr + offset) == (paddr + offset, size, rights)
            beside = vaddr ^ 1 << rng.randrange(12, 30)
            if cpu.mode is IA32:
                beside &= (1 << 32) - 1
            known = any(beside & -size in pages and pages[beside & -size][1] == size
                        for size in (4096, 2 << 20, 4 << 20, 1 << 30))
            assert (walked(file, cpu, beside) is not None) == known, hex(beside)


def lines(mode, entries):
    tree = TableTree(*world(mode, entries))
    return [*tlb_lines(pages_of(tree))], [*mem_lines(pages_of(tree))]


def test_a_page_of_4_kbytes_shows_no_pat():
    tlb, mem = lines(X86_64, {0x1000: 0x2007, 0x2000: 0x3007, 0x3000: 0x4005, 0x4000: 0xABC1FF})
    assert tlb == ["0000000000000000: 0000000000abc000 -G-DACTUW"]
    assert mem == ["0000000000000000-0000000000001000 0000000000001000 ur-"]


def test_large_pages_show_ps_and_no_pat_in_their_address():
    tlb, mem = lines(X86_64, {0x1800: 0x2007, 0x2FF8: 0x8000_0000_4000_1083, 0x1FF8: 0x3007,
                              0x3FF8: 0x4007, 0x4FF8: 0x60_0081})
    assert tlb == ["ffff807fc0000000: 0000000040000000 X-P-----W",
                   "ffffffffffe00000: 0000000000600000 --P------"]
    assert mem == ["ffff807fc0000000-ffff808000000000 0000000040000000 -rw",
                   "ffffffffffe00000-0001000000000000 0000000000200000 -r-"]


def test_a_page_of_4_mbytes():
    tlb, mem = lines(IA32, {0x1FFC: 0x0040_31E7, 0x1000: 0x2007, 0x2FFC: 0x5001})
    assert tlb == ["00000000003ff000: 0000000000005000 ---------",
                   "00000000ffc00000: 0000000000400000 -GPDA--UW"]
    assert mem == ["00000000003ff000-0000000000400000 0000000000001000 -r-",
                   "00000000ffc00000-0000000100000000 0000000000400000 urw"]


def test_a_range_goes_on_over_sizes_and_over_addresses_that_are_not_canonical():
    tlb, mem = lines(X86_64, {0x17F8: 0x2003, 0x2FF8: 0xC000_0083, 0x1800: 0x3003,
                              0x3000: 0x83, 0x3008: 0x4003, 0x4000: 0x83})
    assert len(tlb) == 3
    assert mem == ["00007fffc0000000-ffff800040200000 0000000080200000 -rw"]
