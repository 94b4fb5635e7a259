"""Which entry a walk of the pool reads, and where a response leads at once."""

from ...x86 import Entry
from ..flag_rules import FlagRules
from .cycle import MemoryAccess, MemoryReply
from .pool_walk import PoolWalk
from .walk_cache_model import TableAt

__all__ = ["COUNTS", "known", "leads", "read_of"]

COUNTS = 16
"""The accesses of a walk's number are counted round; the number stands above the count."""


def read_of(walk: PoolWalk, number: int, table: TableAt) -> MemoryAccess:
    """Return the next read of the walk ``number``: of its entry in a table."""
    assert walk.asked is not None
    mode = walk.asked.view.mode
    level = mode.levels[table.level]
    index = walk.asked.access.vaddr >> level.shift & (1 << level.index_bits) - 1
    return MemoryAccess(number * COUNTS + (walk.count + 1) % COUNTS, 0,
                        table.address + index * mode.entry_bytes)


def known(walk: PoolWalk, reply: MemoryReply, rules: FlagRules) -> MemoryReply:
    """Return a response; to a write, of which memory tells nothing, as to an exchange."""
    if walk.updating and rules.ad == "write":
        return reply._replace(data=walk.entry, exchanged=1)
    return reply


def leads(walk: PoolWalk, reply: MemoryReply, rules: FlagRules) -> TableAt | None:
    """Return the table that a response leads down to at once, None if it is to be judged."""
    asked, entry = walk.asked, reply.data
    assert asked is not None
    mode, form = asked.view.mode, asked.view.format
    level = mode.levels[walk.table.level]
    if (reply.error or not entry & Entry.P or form.is_leaf(level, entry)
            or form.is_reserved(level, entry)):
        return None
    enough = entry & Entry.A or asked.quiet or (rules.at_the_end and not walk.setting)
    if not (reply.exchanged if walk.updating else enough):
        return None
    return TableAt(walk.table.level + 1, form.table_address(entry),
                   walk.table.rights.below(mode, entry))
