"""Translate addresses by hand: two levels of small tables, as in the field's textbook.

[Arpaci-Dusseau, "Operating Systems: Three Easy Pieces", chapter 20, homework]
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...model.mmu.walk import Access, Walk, walk
from ...model.physical.memory import PhysicalMemory
from .exercise import Exercise, Question
from .small_mode import TWO_LEVELS, small_control

__all__ = ["walk_exercise"]

PAGES, PAGE_BYTES, VALID, INVALID = 128, 32, 0x80, 0x7F
TABLES, PAGES_OF_TABLE, QUESTIONS = 3, 8, 3
GIVEN = """\
A virtual address has 15 bits: 5 bits for the page directory, 5 bits for the page table, 5 bits of
offset. Physical memory has 128 pages of 32 bytes. An entry of either table is one byte: its highest
bit says that the entry is valid, the seven bits below it are a page number.

The page directory is page {root}. These are the pages that are not all zeros, in hexadecimal:
"""


def walk_exercise(rng: np.random.Generator) -> Exercise:
    """Return three addresses to translate in a memory that is shown byte by byte."""
    pages = [int(page) for page in rng.permutation(PAGES)]
    root, tables = pages[0], pages[1 : 1 + TABLES]
    data = pages[1 + TABLES : 1 + TABLES + TABLES * PAGES_OF_TABLE]
    memory = np.zeros((PAGES, PAGE_BYTES), np.uint8)
    memory[[root, *tables]] = INVALID
    memory[data] = rng.integers(1, 0x1F, (len(data), PAGE_BYTES))
    directory = rng.permutation(PAGE_BYTES)[:TABLES]
    for number, (index, table) in enumerate(zip(directory, tables, strict=True)):
        memory[root, index] = VALID | table
        leaves = rng.permutation(PAGE_BYTES)[:PAGES_OF_TABLE]
        first = number * PAGES_OF_TABLE
        memory[table, leaves] = np.array(data[first : first + PAGES_OF_TABLE]) | VALID
    physical = _physical(memory)
    questions = tuple(_question(physical, root, vaddr)
                      for vaddr in _addresses(rng, memory, root, directory))
    lines = (f"page {page:3}: " + " ".join(f"{byte:02x}" for byte in row)
             for page, row in enumerate(memory.tolist()) if any(row))
    return Exercise("walk", "Two levels of page tables",
                    GIVEN.format(root=root) + "\n" + "\n".join(lines), questions)


def _physical(pages: NDArray[np.uint8]) -> PhysicalMemory:
    memory = PhysicalMemory(1)
    memory.add([0])
    memory.write_bytes(0, pages.tobytes())
    return memory


def _addresses(rng: np.random.Generator, memory: NDArray[np.uint8],
               root: int, directory: NDArray[np.int64]) -> Iterator[int]:
    """Yield addresses: most lead somewhere, some to a missing page, some to a missing table."""
    for chance in rng.random(QUESTIONS):
        top = int(rng.choice(directory)) if chance < 0.85 else int(rng.integers(PAGE_BYTES))
        index = int(rng.integers(PAGE_BYTES))
        table = memory[int(memory[root, top]) & INVALID]
        if chance < 0.6:
            index = int(rng.choice(np.flatnonzero(table >= VALID)))
        yield top << 10 | index << 5 | int(rng.integers(PAGE_BYTES))


def _question(memory: PhysicalMemory, root: int, vaddr: int) -> Question:
    done = walk(memory, TWO_LEVELS, small_control(root), Access(vaddr))
    prompt = (f"Virtual address {vaddr:#06x}: what is the physical address? If there is none: "
              "'fault pde' or 'fault pte', by the entry that is not valid.")
    if done.fault is None:
        return Question(prompt, f"{done.paddr:#05x}", why=_why(done))
    return Question(prompt, f"fault {done.steps[-1].level.name.lower()}", why=_why(done))


def _why(done: Walk) -> str:
    words = []
    for step in done.steps:
        index = done.access.vaddr >> step.level.shift & PAGE_BYTES - 1
        valid = bool(step.entry & VALID)
        words.append(f"{step.level.name} {index} at {step.paddr:#05x} is {step.entry:#04x}: "
                     + (f"page {step.entry & INVALID}" if valid else "not valid"))
    return "; ".join(words)
