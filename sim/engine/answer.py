"""Answers of an engine: the record of one, and how answers are made."""

import enum
from typing import NamedTuple

import numpy as np

from ...model.physical.memory import BusError, PhysicalMemory
from ...model.x86 import Vector

__all__ = ["ANSWER", "NOTHING", "PAGE_RIGHTS", "REFUSED", "Answer", "Loss", "access_memory"]


class Loss(enum.IntEnum):
    """Why an access was never answered; ``harness.cc`` knows each as ``LOST_`` and its name."""

    BY_RESET = 1
    BY_CANCEL = 2


PAGE_RIGHTS = ("writable", "user", "execute_disable", "key", "dirty", "global_page")
"""The fields of ``ANSWER`` that say what a page permits, and whether it is dirty and global."""

SECOND = {name: f"second_{name}" for name in ("paddr", "page", "memory_type", *PAGE_RIGHTS)}
"""By what is told of a page, the field of ``ANSWER`` that has it of the second page."""

ANSWER = np.dtype(
    [
        ("paddr", "<u8"),  # 0 on a fault
        ("vaddr", "<u8"),  # CR2 of a page fault; 0 without a fault
        ("accepted", "<u8"),  # cycle in which the request was accepted; 0 in the model
        ("answered", "<u8"),  # cycle in which the answer was taken; 0 in the model
        ("value", "<u8"),  # Op.EXCHANGE, READ and DATA: memory as it was before; else 0
        ("error", "<u2"),  # error code; 0 without a fault
        ("fault", "u1"),
        ("vector", "u1"),  # Vector; 0 without a fault
        ("page", "u1"),  # index into PagingMode.pages; 0 on a fault
        ("memory_type", "u1"),  # index into the PAT; 0 on a fault
        ("hit", "u1"),  # whether the access needed no walk; 0 in the model, and if lost
        ("lost", "u1"),  # Loss: why it was never answered, if it was not
        # What the page permits, where the MMU has Config.rights; 0 on a fault, as in the response.
        ("writable", "u1"),
        ("user", "u1"),
        ("execute_disable", "u1"),
        ("key", "u1"),
        ("dirty", "u1"),
        ("global_page", "u1"),
        # Of the page into which the access crosses: all 0 on a fault, and where none is crossed.
        ("second_paddr", "<u8"),  # of its first byte
        *((name, "u1") for name in [*SECOND.values()][1:]),
    ],
    align=True,
)
"""The record of the answer to one command.

All fields but the two cycles are 0 for an invalidation, a wait, a barrier, a reset and a control
command; but an invalidation that the MMU refuses, with ``Config.checks``, is a ``fault`` of
``vector`` #GP. An access is answered in the cycle in which its answer is taken: both valid and
ready. One that was lost has the cycle of the reset there, or of the ``Op.CANCEL``, and of the
other fields only ``accepted``. A ``Purpose.PROBE`` or ``LOOKUP`` that found nothing is answered by
a ``fault`` without a vector. Hits are accesses that the TLB answered, and those that need no
translation. An exchange or a read has ``value``, or where there is no memory a ``fault`` of
``vector`` #MC; so has ``Op.DATA`` if its translation is without fault, beside the translation or
the ``vaddr`` of the machine check. But for what goes through a port the two cycles are the same:
the only or last one in which it was the command's turn.
"""


class Answer(NamedTuple):
    """One answer in Python, with the fields of ``ANSWER`` in their order.

    Engines that make answers one by one make these, for storing into a numpy record field by field
    costs more than a walk.
    """

    paddr: int = 0
    vaddr: int = 0
    accepted: int = 0
    answered: int = 0
    value: int = 0
    error: int = 0
    fault: int = 0
    vector: int = 0
    page: int = 0
    memory_type: int = 0
    hit: int = 0
    lost: int = 0
    writable: int = 0
    user: int = 0
    execute_disable: int = 0
    key: int = 0
    dirty: int = 0
    global_page: int = 0
    second_paddr: int = 0
    second_page: int = 0
    second_memory_type: int = 0
    second_writable: int = 0
    second_user: int = 0
    second_execute_disable: int = 0
    second_key: int = 0
    second_dirty: int = 0
    second_global_page: int = 0


NOTHING = Answer()
"""The answer to a command that has no outcome, such as a wait."""

REFUSED = Answer(fault=1, vector=Vector.GP)
"""The answer to an invalidation that is refused."""


def access_memory(
    memory: PhysicalMemory,
    paddr: int,
    size: int,
    *,
    new: int | None,
    translation: Answer = NOTHING,
    vaddr: int = 0,
) -> Answer:
    """Read ``size`` bytes, then write the low ones of ``new`` if there is one; return the answer.

    It is ``translation``, to which the value before is added; where there is no memory, it is a
    machine check at ``vaddr``.
    """
    try:
        value = memory.read(paddr, size)
        if new is not None:
            memory.write(paddr, size, new & (1 << 8 * size) - 1)
    except BusError:
        return Answer(vaddr=vaddr, fault=1, vector=Vector.MC)
    return translation._replace(value=value)
