"""Hits and misses of a small TLB: in sets, of small pages; or of real pages, with invalidations."""

from collections.abc import Iterator

import numpy as np

from ...model.mmu.control import Control
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PAGE_SHIFT, X86_64, Entry
from ..explain.set_tlb import SetTlb
from .exercise import Exercise, Question
from .small_mode import ONE_LEVEL, small_control

__all__ = ["sets_exercise", "tlb_exercise"]

SETS, WAYS, ACCESSES = 2, 2, 10
SETS_GIVEN = """\
Pages have 32 bytes. The TLB has {sets} sets of {ways} entries; the lowest bit of the page number
selects the set, and a set replaces the entry that was not used for the longest time. It is empty.
The page table has these pages:

{pages}

Accesses: {accesses}"""

ENTRIES = 4
ROOT = 1 << PAGE_SHIFT
GIVEN = """\
4-level paging without PCIDs. The TLB has {entries} entries for pages of any size, and replaces the
one that was not used for the longest time. It is empty; there is no cache for entries of the
tables. Pages that are mapped:

{pages}

In this order:

{events}"""


def sets_exercise(rng: np.random.Generator) -> Exercise:
    """Return accesses to pages of 32 bytes, through two sets of two entries."""
    pages = sorted(int(page) for page in rng.permutation(32)[:6])
    frames = [int(frame) for frame in rng.permutation(np.arange(1, 128))[: len(pages)]]
    memory = PhysicalMemory(1)
    memory.add([0])
    for page, frame in zip(pages, frames, strict=True):
        memory.write(page, 1, ONE_LEVEL.flags.P | frame)
    tlb = SetTlb(memory, ONE_LEVEL, SETS, WAYS)
    accesses = [int(page) << 5 | int(rng.integers(32)) for page in rng.choice(pages, ACCESSES)]
    letters = ["H" if tlb.access(small_control(0), vaddr) is None else "M" for vaddr in accesses]
    given = SETS_GIVEN.format(
        sets=SETS, ways=WAYS, accesses=" ".join(f"{vaddr:#05x}" for vaddr in accesses),
        pages="\n".join(f"    page {page:2} -> page {frame}" for page, frame in
                        zip(pages, frames, strict=True)))
    why = ", ".join(f"page {vaddr >> 5} in set {(vaddr >> 5) % SETS}: {letter}"
                    for vaddr, letter in zip(accesses, letters, strict=True))
    return Exercise("tlb", "A TLB in sets", given, (Question(
        "Write H for each access that hits and M for each that misses, without blanks.",
        "".join(letters), why=why),))


def tlb_exercise(rng: np.random.Generator) -> Exercise:
    """Return accesses to pages of 4 Kbytes and 2 Mbytes, with INVLPG and MOV to CR3 between."""
    memory, pages = _pages(rng)
    tlb, control = SetTlb(memory, X86_64, 1, ENTRIES), Control(ROOT)
    events, letters, reads = [], [], 0
    for chance in rng.random(ACCESSES + 4):
        vaddr = int(rng.choice([*pages]))
        vaddr |= int(rng.integers(pages[vaddr]))
        if chance < 0.12:
            events.append(f"INVLPG {vaddr:#x}")
            tlb.invlpg(control, vaddr)
        elif chance < 0.22:
            events.append("MOV to CR3")
            tlb.mov_cr3()
        else:
            events.append(f"read {vaddr:#x}")
            done = tlb.access(control, vaddr)
            letters.append("H" if done is None else "M")
            reads += len(done.steps) if done is not None else 0
    given = GIVEN.format(entries=ENTRIES, pages="\n".join(_mapping(memory, *page) for page in
                                                          pages.items()),
                         events="\n".join(f"    {event}" for event in events))
    return Exercise("tlb", "A TLB and its invalidations", given, (
        Question("Write H for each read that hits and M for each that misses, without blanks.",
                 "".join(letters)),
        Question("How many entries of page tables are read in all?", str(reads),
                 why="four for each miss of a page of 4 Kbytes, three for one of 2 Mbytes"),
    ))


def _pages(rng: np.random.Generator) -> tuple[PhysicalMemory, dict[int, int]]:
    """Return tables with pages of two sizes, some global, and the pages with their sizes."""
    memory = PhysicalMemory(4)
    memory.add(range(1, 5))
    flags = Entry.P | Entry.RW | Entry.US
    for table in (1, 2, 3):
        memory.write(table << PAGE_SHIFT, 8, table + 1 << PAGE_SHIFT | flags)
    pages = {}
    for frame, index in enumerate(_indices(rng, 5), 16):
        is_global = Entry.G if rng.random() < 0.3 else 0
        memory.write((4 << PAGE_SHIFT) + 8 * index, 8, frame << PAGE_SHIFT | flags | is_global)
        pages[index << PAGE_SHIFT] = 1 << 12
    for number, index in enumerate(_indices(rng, 2), 1):
        is_global = Entry.G if rng.random() < 0.3 else 0
        memory.write((3 << PAGE_SHIFT) + 8 * index, 8, number << 21 | Entry.PS | flags | is_global)
        pages[index << 21] = 1 << 21
    return memory, pages


def _indices(rng: np.random.Generator, count: int) -> Iterator[int]:
    """Return indices of a table, in order, without the first."""
    return (int(index) for index in sorted(rng.permutation(np.arange(1, 512))[:count]))


def _mapping(memory: PhysicalMemory, vaddr: int, page_bytes: int) -> str:
    """Return a line about a page, of what the tables have."""
    small = page_bytes == 1 << 12
    table, shift = (4, 12) if small else (3, 21)
    entry = memory.read((table << PAGE_SHIFT) + 8 * (vaddr >> shift & 511), 8)
    paddr = entry & (1 << 40) - page_bytes
    return (f"    {vaddr:#010x} -> {paddr:#010x}, {'4 Kbytes' if small else '2 Mbytes'}"
            + (", global" if entry & Entry.G else ""))
