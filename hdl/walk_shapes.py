"""Shapes of a walk: what it goes by, where it is, and what it does next."""

from amaranth.lib import data, enum

from .shapes import PCID_BITS

__all__ = ["WalkStep", "key_layout", "place_layout", "table_layout"]


class WalkStep(enum.Enum, shape=3):
    """What a walk does next.

    ``BEGIN`` accesses the first entry, where no response is at hand yet. The next four follow from
    a response: ``RESTART`` begins again because another agent changed the entry, ``UPDATE`` sets
    flags of the entry at hand, ``DESCEND`` goes on to the table that the entry points to, and
    ``FINISH`` accesses nothing more: the walk has its result. ``REPEAT`` offers an access again
    that memory was not ready for.
    """

    BEGIN = 0
    RESTART = 1
    UPDATE = 2
    DESCEND = 3
    FINISH = 4
    REPEAT = 5


def key_layout(config):
    """Return what an entry of a walk cache is found by: a linear page number and a PCID."""
    return data.StructLayout({"vpn": config.vpn_bits, "pcid": PCID_BITS})


def table_layout(config):
    """Return a table: its frame number, and the rights combined over the entries that lead to it.

    There is no protection key among the rights: only leaf entries have one. [SDM 4.6.2]
    """
    return data.StructLayout({
        "frame": config.root_bits, "writable": 1, "user": 1, "execute_disable": 1})


def place_layout(config):
    """Return where a walk is: at which entry, and for which of its at most two accesses.

    ``level`` is an index into ``config.mode.levels``; the entry is the one in ``table`` that the
    linear address of the walk selects. ``updating`` says that the access sets flags of the entry,
    and does not read it for the first time. ``lacking`` says that an entry above lacks A, if a
    walk may go on below one; where flags are set last, ``setting`` says that the walk has begun
    again to set it.
    """
    last = {"lacking": 1} if config.notes_lacking else {}
    last |= {"setting": 1} if config.sets_flags_last else {}
    return data.StructLayout({
        "level": range(len(config.mode.levels)),
        "table": table_layout(config),
        "updating": 1,
        **last,
    })
