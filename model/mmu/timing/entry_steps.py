"""What the response to a page-table access means for a walk. [SDM 4.5 to 4.8]"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from ...x86 import Entry, Vector
from ..error_code import error_code
from ..flag_rules import FlagRules
from ..rights import Rights
from .cycle import Asked, Found, MemoryReply, WalkResult
from .walk_cache_model import TableAt

__all__ = ["Next", "NextStep", "Spot", "judge"]


class Next(enum.Enum):
    """What a walk does next."""

    RESTART = enum.auto()
    """Begin again at the root."""
    UPDATE = enum.auto()
    """Set flags of the entry at hand."""
    DESCEND = enum.auto()
    """Read an entry of the table that the entry at hand points to."""
    FINISH = enum.auto()
    """End."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a walk is: the table, and whether the access is to set flags of its entry.

    ``lacking`` says that an entry above was read without A, ``setting`` that the walk has begun
    again to set flags.
    """

    table: TableAt
    updating: bool = False
    lacking: bool = False
    setting: bool = False


class NextStep(NamedTuple):
    """What follows: with DESCEND ``below``, and whether a walk cache may hold that table.

    With UPDATE ``desired`` is the entry with its flags; with FINISH there is the ``result``. A
    RESTART that ``sets`` flags is not for an entry that was changed by others.
    """

    step: Next
    below: Spot | None = None
    cacheable: bool = False
    desired: int = 0
    result: WalkResult | None = None
    sets: bool = False


def judge(asked: Asked, port: int, spot: Spot, reply: MemoryReply, rules: FlagRules,
          *, notes: bool) -> NextStep:
    """Return what follows from a response; an exchange is judged by the entry before it.

    ``notes`` says that walks may go on below an entry without A, which is noted.
    """
    mode, view, entry = asked.view.mode, asked.view, reply.data
    level = mode.levels[spot.table.level]
    if reply.error:
        return NextStep(Next.FINISH, result=WalkResult(port, vector=Vector.MC))
    if spot.updating and not reply.exchanged:
        return NextStep(Next.RESTART)
    if not entry & Entry.P:
        return _refuse(asked, port, present=False)
    if view.format.is_reserved(level, entry):
        return _refuse(asked, port, reserved=True)
    rights = spot.table.rights.below(mode, entry)
    if view.format.is_leaf(level, entry):
        return _leaf(asked, port, spot, entry, rights, rules)
    accessed = bool(entry & Entry.A)
    if not accessed and not spot.updating and rules.ad != "fault" and (
            not rules.at_the_end or spot.setting) and not asked.quiet:
        return NextStep(Next.UPDATE, desired=entry | Entry.A)
    table = TableAt(spot.table.level + 1, view.format.table_address(entry), rights)
    below = Spot(table, lacking=notes and (spot.lacking or not accessed), setting=spot.setting)
    cacheable = not entry & Entry.PS and not spot.lacking and (
        accessed or spot.updating or not notes)
    return NextStep(Next.DESCEND, below, cacheable)


def _refuse(asked: Asked, port: int, *, present: bool = True, reserved: bool = False,
            key: bool = False) -> NextStep:
    """Return the end in a page fault."""
    code = error_code(asked.view.control, asked.access, present=present, reserved=reserved,
                      key=key)
    return NextStep(Next.FINISH, result=WalkResult(port, vector=Vector.PF, error_code=code))


def _leaf(asked: Asked, port: int, spot: Spot, entry: int, rights: Rights, rules: FlagRules
          ) -> NextStep:
    """Return what follows from an entry that maps a page."""
    view, access = asked.view, asked.access
    key = rights.key_blocks(view.mode, view.control, access)
    if key or not rights.permit(view.control, access):
        return _refuse(asked, port, key=key)
    flags = Entry.A | Entry.D if asked.write else Entry.A
    lacks = entry & flags != flags
    if rules.ad == "fault":
        if (lacks or spot.lacking) and not asked.quiet:
            return _refuse(asked, port)
    elif asked.quiet:
        pass
    elif spot.lacking and not spot.setting and rules.at_the_end:
        return NextStep(Next.RESTART, sets=True)
    elif lacks and not spot.updating:
        return NextStep(Next.UPDATE, desired=entry | flags)
    level = view.mode.levels[spot.table.level]
    found = Found(
        view.format.page_address(level, entry), level, view.mode.pages.index(level), rights,
        view.format.memory_type(level, entry), bool(entry & Entry.D) or asked.write,
        bool(entry & Entry.G) and view.pge)
    # What a quiet access found by way of an entry without A is not kept.
    stale = asked.quiet and (spot.lacking or not entry & Entry.A)
    return NextStep(Next.FINISH, result=WalkResult(port, found=found, stale=stale))
