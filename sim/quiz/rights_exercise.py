"""Faults of a small page table that has rights, and their error codes."""

import numpy as np

from ...model.mmu.walk import Access, walk
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import AccessKind
from .exercise import Exercise, Question
from .small_mode import RIGHTS, small_control

__all__ = ["rights_exercise"]

ENTRIES, QUESTIONS = 16, 4
GIVEN = """\
A virtual address has 9 bits: 4 bits of page number, 5 bits of offset. An entry of the page table
has 16 bits: bit 15 says that it is valid, bit 14 that user mode may write to the page, bit 13 that
user mode may use it at all; the lowest seven bits are a page number. The supervisor may read and
write whatever is valid. The error code of a page fault has bit 0 set if the entry was valid, bit 1
for a write, bit 2 for an access of user mode.

{entries}"""


def rights_exercise(rng: np.random.Generator) -> Exercise:
    """Return four accesses to pages of 32 bytes."""
    memory = PhysicalMemory(1)
    memory.add([0])
    lines = []
    for index in range(ENTRIES):
        flags = [bit for bit, chance in ((RIGHTS.flags.P, 0.8), (RIGHTS.flags.RW, 0.6),
                                         (RIGHTS.flags.US, 0.7)) if rng.random() < chance]
        entry = sum(flags) | int(rng.integers(1, 128))
        memory.write(2 * index, 2, entry)
        lines.append(f"    entry {index:2}: {entry:#06x}")
    questions = []
    for _ in range(QUESTIONS):
        access = Access(int(rng.integers(1 << RIGHTS.vaddr_bits)), AccessKind(int(rng.integers(2))),
                        user=bool(rng.random() < 0.75))
        questions.append(_question(memory, access))
    return Exercise("faults", "Rights and error codes", GIVEN.format(entries="\n".join(lines)),
                    tuple(questions))


def _question(memory: PhysicalMemory, access: Access) -> Question:
    done = walk(memory, RIGHTS, small_control(0), access)
    who = "user" if access.user else "supervisor"
    prompt = (f"{who} {access.kind.name.lower()} at {access.vaddr:#05x}: what is the physical "
              "address? If it faults: 'fault' and the error code.")
    why = f"entry {access.vaddr >> RIGHTS.page_shift} is {done.steps[0].entry:#06x}"
    if done.fault is None:
        return Question(prompt, f"{done.paddr:#05x}", why=why)
    return Question(prompt, f"fault {done.fault.error_code:#x}", why=why)
