"""What goes in and out of an MMU in a cycle, and what its parts hand to each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...x86 import PAGE_SHIFT, AccessKind, InvalidateOp, Level, Purpose
from ..control import Access
from ..rights import Rights
from ..walk import is_canonical
from .control_view import ControlView

__all__ = ["Asked", "CycleInputs", "CycleOutputs", "DropOrder", "Found", "MemoryAccess",
           "MemoryReply", "Operation", "PortAnswer", "WalkResult"]


class Asked:
    """A request, under the registers of the cycle in which it is accepted.

    ``write`` says that it sets the dirty flag, ``quiet`` that it sets none at all, ``only_looks``
    that it is not to be walked.
    """

    __slots__ = ("access", "only_looks", "pcid", "quiet", "refused", "tag", "translated", "view",
                 "vpn", "write")

    def __init__(self, view: ControlView, access: Access, tag: int) -> None:
        mode = view.mode
        canonical = is_canonical(mode, access.vaddr)
        self.view, self.access, self.tag = view, access, tag
        self.vpn = (access.vaddr & (1 << mode.translated_bits) - 1) >> PAGE_SHIFT
        self.pcid = view.pcid
        self.translated = view.pg and canonical
        self.refused = view.pg and not canonical
        self.write = access.kind is AccessKind.WRITE and access.purpose is Purpose.ACCESS
        self.only_looks = access.purpose is Purpose.LOOKUP
        self.quiet = self.only_looks or access.purpose is Purpose.PROBE


class Operation(NamedTuple):
    """An invalidating operation that is offered, with the operands that it has.

    ``kind`` is the whole type of INVPCID, ``descriptor`` the low half of its memory operand.
    """

    op: InvalidateOp
    vaddr: int = 0
    pcid: int = 0
    old: int = 0
    new: int = 0
    kind: int = 0
    descriptor: int = 0


class DropOrder(NamedTuple):
    """What is dropped: the entries that meet every condition.

    With ``by_address`` a TLB drops only pages that hold ``vpn``, with ``by_pcid`` only those of
    ``pcid``; a global page goes only with ``globals_too``, but then whatever its PCID. A walk cache
    drops all of the PCID, or of every one; with ``tables_by_address`` those on the way to ``vpn``.
    """

    by_address: bool = False
    by_pcid: bool = False
    globals_too: bool = False
    tables_by_address: bool = False
    vpn: int = 0
    pcid: int = 0


class Found(NamedTuple):
    """A translation that a walk has found."""

    address: int  # of the page
    level: Level
    page: int  # its size, an index into PagingMode.pages
    rights: Rights
    memory_type: int
    dirty: bool
    global_page: bool


class WalkResult(NamedTuple):
    """How a walk ended: in a translation, or in a fault of ``vector``."""

    port: int
    miss: int = 0  # the number of the request among those of the port
    found: Found | None = None
    vector: int = 0
    error_code: int = 0
    stale: bool = False  # it may have used what was dropped meanwhile: it enters nothing


class PortAnswer(NamedTuple):
    """The payload of a port's answer."""

    tag: int
    paddr: int = 0
    page: int = 0
    memory_type: int = 0
    fault: int = 0
    vector: int = 0
    error_code: int = 0
    vaddr: int = 0
    writable: int = 0  # what the page permits, if answers have that
    user: int = 0
    execute_disable: int = 0
    key: int = 0
    dirty: int = 0
    global_page: int = 0


class MemoryAccess(NamedTuple):
    """An access to page-table memory: a read, or with ``op`` 1 a compare-and-exchange."""

    tag: int
    op: int
    address: int
    expected: int = 0
    desired: int = 0


class MemoryReply(NamedTuple):
    """A response of page-table memory."""

    tag: int
    data: int = 0
    exchanged: int = 0
    error: int = 0


@dataclass(slots=True)
class CycleInputs:
    """All inputs in a cycle: what is offered to each stream, and who takes what is offered."""

    view: ControlView
    requests: list[Asked | None]
    takes: Sequence[bool]  # of each port, whether its answer is taken
    operation: Operation | None = None
    reply: MemoryReply | None = None
    memory_takes: bool = True
    reset: bool = False
    # Of ports at which requests are cancelled: the tag of these, None for all.
    cancels: dict[int, tuple[int | None]] = field(default_factory=dict)


@dataclass(slots=True)
class CycleOutputs:
    """All outputs in a cycle; ``events`` is a word with a bit for each name of ``event_names``."""

    ready: list[bool] = field(default_factory=list)  # of each port
    answers: list[PortAnswer | None] = field(default_factory=list)
    operation_ready: bool = False
    refused: bool = False  # the operation is a general-protection fault
    drop: DropOrder | None = None
    access: MemoryAccess | None = None
    events: int = 0
