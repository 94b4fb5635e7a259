"""What every engine takes and gives: commands in, answers out, as numpy records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...model.mmu.walk import Control
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import InvalidateOp

__all__ = ["ANSWER", "COMMAND", "OP_ACCESS", "OP_INVALIDATE", "Engine", "EngineStalled", "Run",
           "accesses", "invalidation", "stall_limit"]

OP_ACCESS = 0
OP_INVALIDATE = 1

COMMAND = np.dtype(
    [
        ("op", "u1"),  # OP_ACCESS or OP_INVALIDATE
        ("port", "u1"),  # index into Config.ports
        ("kind", "u1"),  # AccessKind
        ("user", "u1"),
        ("implicit", "u1"),
        ("ac", "u1"),
        ("stack", "u1"),
        ("invalidate", "u1"),  # InvalidateOp
        ("vaddr", "<u8"),  # of the access, or of INVLPG and INVPCID
        ("old", "<u4"),  # MOV CR0/CR4: the register before
        ("new", "<u8"),  # MOV CRn: the value written
        ("pcid", "<u2"),  # INVPCID
        ("cr0", "<u4"),
        ("cr3", "<u8"),
        ("cr4", "<u4"),
        ("efer", "<u4"),
        ("pkru", "<u4"),
    ],
    align=True,
)
"""One command, taken in order: an access through a port, or an invalidation."""

ANSWER = np.dtype(
    [
        ("paddr", "<u8"),  # 0 on a fault
        ("vaddr", "<u8"),  # CR2 of a page fault; 0 without a fault
        ("accepted", "<u8"),  # cycle in which the request was accepted; 0 in the model
        ("answered", "<u8"),  # cycle in which the answer became valid; 0 in the model
        ("error", "<u2"),  # error code; 0 without a fault
        ("fault", "u1"),
        ("vector", "u1"),  # Vector; 0 without a fault
        ("page", "u1"),  # index into PagingMode.pages; 0 on a fault
        ("memory_type", "u1"),  # index into the PAT; 0 on a fault
    ],
    align=True,
)
"""The answer to one command; all fields but the two cycles are 0 for an invalidation."""


class EngineStalled(Exception):
    """The hardware made no progress for so long that it never will."""


def stall_limit(latency: int) -> int:
    """Return after how many cycles without any progress an engine gives up."""
    return 100 + 10 * latency


@dataclass(frozen=True, slots=True)
class Run:
    """Answers (N,) of dtype ``ANSWER`` in the order of the commands, and what the run cost.

    ``cycles`` counts clock cycles, 0 for the model; ``events`` counts cycles in which each bit of
    the MMU's ``events`` port was set, by flat name, empty for the model.
    """

    answers: NDArray[np.void]
    cycles: int = 0
    events: Mapping[str, int] = field(default_factory=dict)


class Engine(Protocol):
    """Something that carries out commands against page tables in a physical memory."""

    def run(self, memory: PhysicalMemory, commands: NDArray[np.void]) -> Run:
        """Carry out ``commands`` (N,) of dtype ``COMMAND`` in order; A and D go to ``memory``.

        TLB contents persist from one call to the next, even if ``memory`` is another one:
        invalidate between them, as software would. Raise ``EngineStalled``.
        """
        ...


def accesses(
    control: Control,
    vaddr: ArrayLike,
    kind: ArrayLike = 0,
    *,
    user: ArrayLike = 0,
    implicit: ArrayLike = 0,
    ac: ArrayLike = 0,
    stack: ArrayLike = 0,
    port: ArrayLike = 0,
) -> NDArray[np.void]:
    """Return access commands, one per element of the arguments broadcast together."""
    fields = {"vaddr": vaddr, "kind": kind, "user": user, "implicit": implicit, "ac": ac,
              "stack": stack, "port": port}
    arrays = np.broadcast_arrays(*(np.asarray(value) for value in fields.values()))
    commands = np.zeros(arrays[0].shape, COMMAND).reshape(-1)
    for name, array in zip(fields, arrays, strict=True):
        commands[name] = array.reshape(-1)
    _set_control(commands, control)
    return commands


def invalidation(
    control: Control,
    op: InvalidateOp,
    *,
    vaddr: int = 0,
    pcid: int = 0,
    old: int = 0,
    new: int = 0,
) -> NDArray[np.void]:
    """Return one invalidation command, shape (1,)."""
    commands = np.zeros(1, COMMAND)
    commands["op"] = OP_INVALIDATE
    fields = {"invalidate": op, "vaddr": vaddr, "pcid": pcid, "old": old, "new": new}
    for name, value in fields.items():
        commands[name] = value
    _set_control(commands, control)
    return commands


def _set_control(commands: NDArray[np.void], control: Control) -> None:
    for name in ("cr0", "cr3", "cr4", "efer", "pkru"):
        commands[name] = getattr(control, name)
