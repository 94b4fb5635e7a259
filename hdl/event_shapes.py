"""Shapes of the events that the MMU reports, one bit for each."""

from amaranth.lib import data

from .shapes import page_name

__all__ = ["events_layout", "l2_events_layout", "port_events_layout", "walk_events_layout"]


def port_events_layout(config):
    """Return the events of a request port, one bit for each.

    ``lookup`` is a request that needs a translation: a ``miss`` if it starts a walk, or else a hit
    on a page of one size. ``stall`` is a cycle in which a request is offered and not accepted,
    ``fault`` the cycle in which a response with a fault is taken.
    """
    hits = {f"hit_{page_name(page)}": 1 for page in config.mode.pages}
    return data.StructLayout({"lookup": 1, **hits, "miss": 1, "stall": 1, "fault": 1})


def walk_events_layout(config):
    """Return the events of the walker, one bit for each.

    ``start`` and ``end`` are of a walk. ``hit_<level>`` is a walk that begins below the entry of
    that level, because the walk cache holds what it points to; ``read_<level>`` is an entry read
    from memory. ``update`` is a compare-and-exchange for A or D, ``restart`` one that was lost to
    another writer. ``fault`` is a walk that ended in any fault, bus errors included, but
    for walks ahead, which count in all else. With several
    walkers ``merge`` is an answer by the walk of another request: ``start`` less ``merge`` are the
    walks that read memory.
    """
    hits = {f"hit_{level.name.lower()}": 1 for level in config.mode.levels[:-1]}
    reads = {f"read_{level.name.lower()}": 1 for level in config.mode.levels}
    merge = {"merge": 1} if config.walkers > 1 else {}
    return data.StructLayout({
        "start": 1, "end": 1, **hits, **reads, "update": 1, "restart": 1, "fault": 1, **merge})


def l2_events_layout(config):
    """Return the events of the second-level TLB, one bit for each.

    ``lookup`` is a request that was looked up to its end: a hit on a page of one size, or a
    ``miss``, which is walked. An entry that the access may not use is a miss. ``prefetch_start`` is
    a page that begins to be walked ahead, ``prefetch_fill`` one that was found so and waits to be
    entered.
    """
    hits = {f"hit_{page_name(page)}": 1 for page in config.mode.pages}
    ahead = {"prefetch_start": 1, "prefetch_fill": 1} if config.prefetches else {}
    return data.StructLayout({"lookup": 1, **hits, "miss": 1, **ahead})


def events_layout(config):
    """Return the events of every port, of the walker and of the whole, one bit for each.

    Those of the second-level TLB are there if it is. A bit is set in each cycle in which its event
    happens. ``flush`` is an invalidating operation that drops something.
    """
    ports = {port: port_events_layout(config) for port in config.ports}
    second = {"l2": l2_events_layout(config)} if config.l2_entries else {}
    return data.StructLayout({**ports, **second, "walk": walk_events_layout(config), "flush": 1})
