"""What every engine takes and gives: commands in, answers out, as numpy records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...model.mmu.walk import Control
from ...model.physical.memory import BusError, PhysicalMemory
from ...model.x86 import InvalidateOp, Vector

__all__ = ["ANSWER", "COMMAND", "OP_ACCESS", "OP_DATA", "OP_EXCHANGE", "OP_INVALIDATE", "OP_READ",
           "OP_WAIT", "Engine", "EngineStalled", "Run", "access_memory", "accesses", "check_sizes",
           "data_accesses", "exchange", "invalidation", "read", "stall_limit", "wait"]

OP_ACCESS = 0
OP_INVALIDATE = 1
OP_EXCHANGE = 2
OP_READ = 3
OP_WAIT = 4
OP_DATA = 5

COMMAND = np.dtype(
    [
        ("op", "u1"),  # one of OP_*
        ("port", "u1"),  # index into Config.ports
        ("kind", "u1"),  # AccessKind
        ("user", "u1"),
        ("implicit", "u1"),
        ("ac", "u1"),
        ("stack", "u1"),
        ("invalidate", "u1"),  # InvalidateOp
        ("vaddr", "<u8"),  # of the access, or of INVLPG and INVPCID; OP_EXCHANGE, OP_READ: paddr
        ("old", "<u4"),  # MOV CR0/CR4: the register before
        ("new", "<u8"),  # MOV CRn: the value; OP_EXCHANGE: entry; OP_WAIT: cycles; OP_DATA: data
        ("pcid", "<u2"),  # INVPCID
        ("size", "u1"),  # OP_DATA: bytes
        ("cr0", "<u4"),
        ("cr3", "<u8"),
        ("cr4", "<u4"),
        ("efer", "<u4"),
        ("pkru", "<u4"),
    ],
    align=True,
)
"""One command, taken in order.

- ``OP_ACCESS``: an access through a port, of which the translation is all that matters.
- ``OP_DATA``: an access through a port that moves ``size`` bytes of data, 1, 2, 4 or 8, at an
  address that is a multiple of it. A write stores the low bytes of ``new``; a read or a fetch
  loads. It is offered when all accesses before it that went through other ports are answered, and
  carried out in the cycle in which its translation is, so that data are accessed in order.
- ``OP_INVALIDATE``: an invalidation, accepted when every access before it is answered.
- ``OP_EXCHANGE``: another processor replaces the page-table entry at the physical address
  ``vaddr`` by ``new``, of which an entry's bits count, and learns what it was; atomically.
- ``OP_READ``: another processor reads the page-table entry at the physical address ``vaddr``.
- ``OP_WAIT``: nothing is offered for ``new`` cycles, at least one.

Exchange, read and wait await no answer: accesses before them may still be under way. An exchange
or a read takes effect in the cycle in which its turn comes, after the MMU's own access to
page-table memory in that cycle, and the next command's turn is the cycle after.
"""

ANSWER = np.dtype(
    [
        ("paddr", "<u8"),  # 0 on a fault
        ("vaddr", "<u8"),  # CR2 of a page fault; 0 without a fault
        ("accepted", "<u8"),  # cycle in which the request was accepted; 0 in the model
        ("answered", "<u8"),  # cycle in which the answer became valid; 0 in the model
        ("value", "<u8"),  # OP_EXCHANGE, OP_READ, OP_DATA: as it was before; else 0
        ("error", "<u2"),  # error code; 0 without a fault
        ("fault", "u1"),
        ("vector", "u1"),  # Vector; 0 without a fault
        ("page", "u1"),  # index into PagingMode.pages; 0 on a fault
        ("memory_type", "u1"),  # index into the PAT; 0 on a fault
    ],
    align=True,
)
"""The answer to one command.

All fields but the two cycles are 0 for an invalidation and a wait. An exchange or a read has
``value``, or where there is no memory a ``fault`` of ``vector`` #MC; so has ``OP_DATA`` if its
translation is without fault, beside the translation or the ``vaddr`` of the machine check. But
for what goes through a port the two cycles are the same: the only or last one in which it was the
command's turn.
"""


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

    A run that ``stopped`` did so at the fault that is its last answer; it has no later ones.
    """

    answers: NDArray[np.void]
    cycles: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    stopped: bool = False

    @property
    def done(self) -> int:
        """Number of commands that are done: the faulting one at which a run stopped is not."""
        return len(self.answers) - self.stopped


class Engine(Protocol):
    """Something that carries out commands against page tables in a physical memory."""

    def run(
        self, memory: PhysicalMemory, commands: NDArray[np.void], *, stop_on_fault: bool = False
    ) -> Run:
        """Carry out ``commands`` (N,) of dtype ``COMMAND`` in order, on page tables in ``memory``.

        TLB contents persist from one call to the next, even if ``memory`` is another one:
        invalidate between them, as software would. Raise ``EngineStalled``, and ``ValueError`` for
        data of a size or at an address that is not permitted.

        With ``stop_on_fault`` the run ends at the first fault of an access, precisely: commands
        before it are done, of later ones there is no trace. For this no command is offered before
        all accesses through ports other than its own are answered. The exception is #MC of the
        data themselves, which comes when the next access through the port may have been
        translated; that access has no other effect than flags in page tables and TLB entries.
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
    commands = _commands(OP_ACCESS, vaddr=vaddr, kind=kind, user=user, implicit=implicit, ac=ac,
                         stack=stack, port=port)
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
    commands = _commands(OP_INVALIDATE, invalidate=op, vaddr=vaddr, pcid=pcid, old=old, new=new)
    _set_control(commands, control)
    return commands


def data_accesses(
    control: Control,
    vaddr: ArrayLike,
    kind: ArrayLike = 0,
    value: ArrayLike = 0,
    *,
    size: ArrayLike = 8,
    user: ArrayLike = 0,
    ac: ArrayLike = 0,
    stack: ArrayLike = 0,
    port: ArrayLike = 0,
) -> NDArray[np.void]:
    """Return commands to load data, or to store ``value`` where ``kind`` is a write.

    There is one per element of the arguments broadcast together.
    """
    commands = _commands(OP_DATA, vaddr=vaddr, kind=kind, new=value, size=size, user=user, ac=ac,
                         stack=stack, port=port)
    _set_control(commands, control)
    return commands


def exchange(paddr: ArrayLike, entry: ArrayLike) -> NDArray[np.void]:
    """Return commands to replace the entries at ``paddr`` by ``entry``, broadcast together."""
    return _commands(OP_EXCHANGE, vaddr=paddr, new=entry)


def read(paddr: ArrayLike) -> NDArray[np.void]:
    """Return commands to read the page-table entries at ``paddr``."""
    return _commands(OP_READ, vaddr=paddr)


def wait(cycles: int) -> NDArray[np.void]:
    """Return one command to wait ``cycles`` cycles, shape (1,)."""
    return _commands(OP_WAIT, new=cycles)


def _commands(op: int, **fields: ArrayLike) -> NDArray[np.void]:
    """Return commands ``op``, one per element of the ``fields`` broadcast together."""
    # To the field's type at once: numpy makes floats of ints on both sides of 2**63.
    arrays = np.broadcast_arrays(
        *(np.asarray(value, COMMAND[name]) for name, value in fields.items()))
    commands = np.zeros(arrays[0].size, COMMAND)
    commands["op"] = op
    for name, array in zip(fields, arrays, strict=True):
        commands[name] = array.reshape(-1)
    return commands


def _set_control(commands: NDArray[np.void], control: Control) -> None:
    for name in ("cr0", "cr3", "cr4", "efer", "pkru"):
        commands[name] = getattr(control, name)


def access_memory(
    memory: PhysicalMemory, paddr: int, size: int, *, new: int | None
) -> tuple[int, int, int]:
    """Read ``size`` bytes, then write the low ones of ``new`` if there is one.

    Return ``value``, ``fault`` and ``vector`` of the answer.
    """
    try:
        value = memory.read(paddr, size)
    except BusError:
        return 0, 1, Vector.MC
    if new is not None:
        memory.write(paddr, size, new & (1 << 8 * size) - 1)
    return value, 0, 0


def check_sizes(commands: NDArray[np.void]) -> None:
    """Raise ``ValueError`` for the first ``OP_DATA`` of a wrong size or that is not aligned."""
    size, vaddr = commands["size"], commands["vaddr"]
    right = (size == 1) | (size == 2) | (size == 4) | (size == 8)
    wrong = (commands["op"] == OP_DATA) & ~(right & (vaddr & (size - np.uint64(1)) == 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"Data must be 1, 2, 4 or 8 bytes at a multiple of that, not {size[row]} "
                         f"at {vaddr[row]:#x} in command {row}")
