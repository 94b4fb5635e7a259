"""Commands to an engine: what there are, the record of one, and how they are made."""

import enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...model.mmu.batch import Controls
from ...model.mmu.control import Control

__all__ = ["COMMAND", "FLAGS", "REGISTERS", "THROUGH_PORT", "UNDER_REGISTERS", "Op", "accesses",
           "barrier", "cancel", "data_accesses", "exchange", "invalidation", "read", "reset",
           "set_control", "wait"]


class Op(enum.IntEnum):
    """What a command asks for; ``harness.cc`` knows each as ``OP_`` and its name.

    Commands are taken in order. Exchange, read, wait, reset and control await no answer: accesses
    before them may still be under way. An exchange or a read takes effect in the cycle in which its
    turn comes, after the MMU's own access to page-table memory in that cycle, and the next
    command's turn is the cycle after.
    """

    ACCESS = 0
    """An access through a port, of which the translation is all that matters."""
    INVALIDATE = 1
    """An invalidation, accepted when every access before it is answered."""
    EXCHANGE = 2
    """Another processor replaces the page-table entry at the physical address ``vaddr`` by ``new``,
    of which as many bits count as an entry has, and learns what it was; atomically."""
    READ = 3
    """Another processor reads the page-table entry at the physical address ``vaddr``."""
    WAIT = 4
    """Nothing is offered to the hardware for ``new`` cycles, at least one."""
    DATA = 5
    """An access through a port that moves ``size`` bytes of data, 1, 2, 4 or 8, at an address that
    is a multiple of it. A write stores the low bytes of ``new``; a read or a fetch loads. It is
    offered when all accesses before it that went through other ports are answered, and carried out
    in the cycle in which its translation is answered, so that data are accessed in order."""
    BARRIER = 6
    """Nothing is offered until every access before it is answered: its turn ends in the cycle of
    the last of these answers, or is a single cycle."""
    RESET = 7
    """The hardware's reset is asserted for one cycle, which empties its caches. Accesses that wait
    for an answer at the end of that cycle are lost. Page-table memory knows nothing of it: what it
    has accepted is done, and responded to later."""
    CONTROL = 8
    """From here on the registers of commands with ``inherit`` are those of this one. An engine
    keeps them from one run to the next."""
    CANCEL = 9
    """For one cycle the accesses of ``port`` are cancelled that wait for an answer: with ``new`` 0
    all, else that which was accepted ``new - 1`` before the last, with all that have its tag. An
    answer that is taken in that cycle counts. Where nothing is so old none is cancelled."""


THROUGH_PORT = (Op.ACCESS, Op.DATA)
"""The commands that go through a port of the MMU and are answered there."""

UNDER_REGISTERS = (*THROUGH_PORT, Op.INVALIDATE)
"""The commands that are made under registers, their own or inherited ones."""

COMMAND = np.dtype(
    [
        ("op", "u1"),  # Op
        ("port", "u1"),  # index into Config.ports
        ("kind", "u1"),  # AccessKind
        ("user", "u1"),
        ("implicit", "u1"),
        ("ac", "u1"),
        ("stack", "u1"),
        ("invalidate", "u1"),  # InvalidateOp
        ("vaddr", "<u8"),  # of the access, INVLPG or INVPCID; EXCHANGE and READ: a physical address
        # MOV CR0, MOV CR4: the register before; INVPCID: bits 33:2 of its type
        ("old", "<u4"),
        ("expect_fault", "u1"),  # ACCESS, DATA: ``stop_on_unexpected`` does not stop at a fault
        ("purpose", "u1"),  # ACCESS: Purpose
        ("inherit", "u1"),  # the registers are those of the last CONTROL, not those that follow
        # MOV CRn: the value; EXCHANGE: the entry; WAIT: cycles; DATA: the data; CANCEL: which;
        # INVPCID: bits 63:12 of its descriptor
        ("new", "<u8"),
        ("pcid", "<u2"),  # INVPCID
        ("size", "<u2"),  # ACCESS, DATA: bytes; 0 stands for 1
        ("cr0", "<u4"),
        ("cr3", "<u8"),
        ("cr4", "<u4"),
        ("efer", "<u4"),
        ("pkru", "<u4"),
    ],
    align=True,
)
"""The record of one command: its operation, its operands, and the registers it is made under."""

REGISTERS = ("cr3", "cr0", "cr4", "efer", "pkru")
"""The fields of ``COMMAND`` that are registers, in the order in which ``Control`` has them."""

FLAGS = ("user", "implicit", "ac", "stack")
"""The fields of ``COMMAND`` that say how an access is made, as ``Access`` has them."""


def accesses(
    control: Control | Controls | None,
    vaddr: ArrayLike,
    kind: ArrayLike = 0,
    *,
    user: ArrayLike = 0,
    implicit: ArrayLike = 0,
    ac: ArrayLike = 0,
    stack: ArrayLike = 0,
    port: ArrayLike = 0,
    expect_fault: ArrayLike = 0,
    purpose: ArrayLike = 0,
    size: ArrayLike = 0,
) -> NDArray[np.void]:
    """Return access commands, one per element of the arguments broadcast together.

    ``control`` are the registers of all of them, or of each; None stands for those of the last
    ``set_control`` before. ``size`` is in bytes, 0 for one; more are for an MMU with
    ``access_bytes``, which translates both pages of an access that crosses into another one.
    """
    return _commands(Op.ACCESS, control, vaddr=vaddr, kind=kind, user=user, implicit=implicit,
                     ac=ac, stack=stack, port=port, expect_fault=expect_fault, purpose=purpose,
                     size=size)


def data_accesses(
    control: Control | Controls | None,
    vaddr: ArrayLike,
    kind: ArrayLike = 0,
    value: ArrayLike = 0,
    *,
    size: ArrayLike = 8,
    user: ArrayLike = 0,
    ac: ArrayLike = 0,
    stack: ArrayLike = 0,
    port: ArrayLike = 0,
    expect_fault: ArrayLike = 0,
) -> NDArray[np.void]:
    """Return commands to load data, or to store ``value`` where ``kind`` is a write.

    There is one per element of the arguments broadcast together; ``control`` is as in ``accesses``.
    """
    return _commands(Op.DATA, control, vaddr=vaddr, kind=kind, new=value, size=size, user=user,
                     ac=ac, stack=stack, port=port, expect_fault=expect_fault)


def invalidation(
    control: Control | Controls | None,
    op: ArrayLike,
    *,
    vaddr: ArrayLike = 0,
    pcid: ArrayLike = 0,
    old: ArrayLike = 0,
    new: ArrayLike = 0,
) -> NDArray[np.void]:
    """Return invalidation commands, one per element of the arguments broadcast together.

    ``op`` are operations of ``InvalidateOp``; the other arguments are their operands. Of INVPCID
    ``old`` has bits 33:2 of the type, and ``new`` bits 63:12 of the descriptor: all that must be 0.
    """
    return _commands(Op.INVALIDATE, control, invalidate=op, vaddr=vaddr, pcid=pcid, old=old,
                     new=new)


def exchange(paddr: ArrayLike, entry: ArrayLike) -> NDArray[np.void]:
    """Return commands to replace the entries at ``paddr`` by ``entry``, broadcast together."""
    return _commands(Op.EXCHANGE, vaddr=paddr, new=entry)


def read(paddr: ArrayLike) -> NDArray[np.void]:
    """Return commands to read the page-table entries at ``paddr``."""
    return _commands(Op.READ, vaddr=paddr)


def wait(cycles: ArrayLike) -> NDArray[np.void]:
    """Return commands to wait, one for each element of ``cycles``."""
    return _commands(Op.WAIT, new=cycles)


def barrier() -> NDArray[np.void]:
    """Return a command to wait until all accesses before it are answered."""
    return _commands(Op.BARRIER, port=0)


def reset() -> NDArray[np.void]:
    """Return a command to reset the hardware."""
    return _commands(Op.RESET, port=0)


def cancel(port: ArrayLike, which: ArrayLike = 0) -> NDArray[np.void]:
    """Return commands to cancel accesses of ports, one per element of the arguments together.

    ``which`` is 0 for all that wait for an answer, or counts them from the last, 1, on.
    """
    return _commands(Op.CANCEL, port=port, new=which)


def set_control(control: Control | Controls) -> NDArray[np.void]:
    """Return commands that make ``control`` the registers of later commands that inherit.

    There is one for a ``Control``, or one for each of ``Controls``.
    """
    return _commands(Op.CONTROL, control)


def _commands(
    op: Op, control: Control | Controls | None = None, **fields: ArrayLike
) -> NDArray[np.void]:
    """Return commands ``op`` (N,), one per element of ``control`` and ``fields`` together."""
    if control is not None:
        fields |= {name: getattr(control, name) for name in REGISTERS}
    elif op in UNDER_REGISTERS:
        fields["inherit"] = 1
    # To the field's type at once: numpy makes floats of ints on both sides of 2**63.
    arrays = {name: np.asarray(value, COMMAND[name]) for name, value in fields.items()}
    commands = np.zeros(np.broadcast(*arrays.values()).shape, COMMAND)
    commands["op"] = op
    for name, array in arrays.items():
        commands[name] = array
    return commands.reshape(-1)
