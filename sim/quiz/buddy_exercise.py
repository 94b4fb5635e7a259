"""Splits and merges of the buddy allocator, and its free lists afterwards."""

from functools import partial

import numpy as np

from ...model.physical.buddy import Buddy
from ...model.physical.page import MAX_ORDER, MemMap, MigrateType
from .exercise import Exercise, Question

__all__ = ["buddy_exercise", "zone_exercise"]

OPERATIONS = 8
RULES = """\
The buddy allocator of Linux has a zone of {pages} pages, 0 to {last}, all free: {free}.
- A block is taken from the head of the first list, from its order upwards, that is not empty. What
  is too large is halved: the upper half goes to the head of the list of its order, the lower one is
  halved again or taken.
- A block that is freed is merged with its buddy for as long as that is free as a whole. Then it
  goes to the head of its list; but to the tail if the pair that it would make with its buddy has a
  free buddy of that size itself.

In this order:

{operations}"""


def _exercise(rng: np.random.Generator, *, pages: int, orders: int) -> Exercise:
    """Return allocations and frees in a zone of so many pages."""
    buddy = _zone(pages)
    free = _free_blocks(buddy)
    lines: list[str] = []
    live: dict[str, tuple[int, int]] = {}
    questions: list[Question] = []
    for number in range(OPERATIONS):
        if live and rng.random() < 0.4:
            name = str(rng.choice(sorted(live)))
            buddy.free(*live.pop(name))
            lines.append(f"free {name}")
            continue
        name, order = chr(ord("A") + number), int(rng.integers(orders))
        pfn = buddy.rmqueue(order, MigrateType.MOVABLE)
        lines.append(f"{name} = a block of order {order}")
        if pfn is not None:
            live[name] = pfn, order
        questions.append(Question(f"Which is the first page of {name}? If there is none: 'none'",
                                  "none" if pfn is None else str(pfn)))
    counts = buddy.nr_free[: min(pages.bit_length(), MAX_ORDER)]
    questions.append(Question(
        f"How many free blocks are there in the end of the orders 0 to {len(counts) - 1}, in this "
        "order? Write the numbers with blanks.", " ".join(map(str, counts))))
    given = RULES.format(pages=pages, last=pages - 1, free=free, operations="\n".join(
        f"    {number}. {line}" for number, line in enumerate(lines, 1)))
    return Exercise("buddy", "Split and merge", given, tuple(questions))


def _zone(pages: int) -> Buddy:
    mem_map = MemMap(0, pages)
    mem_map.add_memory(0, pages, 0)
    buddy = Buddy(mem_map, 0, 0, pages)
    buddy.free_memory(0, pages)
    return buddy


def _free_blocks(buddy: Buddy) -> str:
    return ", ".join(f"{count} block{'s' * (count > 1)} of order {order}"
                     for order, count in enumerate(buddy.nr_free) if count)


buddy_exercise = partial(_exercise, pages=32, orders=4)
"""Makes an exercise with 32 pages."""

zone_exercise = partial(_exercise, pages=2048, orders=9)
"""Makes an exercise with 2,048 pages, in two blocks of the largest order."""
