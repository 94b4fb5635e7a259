"""A node: the zones near to the same processors, and the zones to try when those are full."""

from collections.abc import Callable, Iterable
from itertools import pairwise

from .errors import BrokenInvariant
from .zone import Zone

__all__ = ["Node", "fallback_orders"]

MAX_NUMNODES = 1024
PENALTY_FOR_NODE_WITH_CPUS = 1


class Node:
    """One node of the machine. [pg_data_t]

    Parameters
    ----------
    nid
        The node's number.
    zones
        Its zones, empty ones too, by index.
    cpus
        The numbers of its processors.

    Members
    -------
    zonelist
        All populated zones of the machine in the order in which an allocation that is meant for
        this node tries them: node after node, from the highest zone of each down.
        [ZONELIST_FALLBACK]
    own_zonelist
        The zones of this node alone, for __GFP_THISNODE. [ZONELIST_NOFALLBACK]
    kswapd_order, kswapd_highest_zoneidx
        The largest order, and the highest zone, that kswapd was woken for; None if it was not.
    """

    def __init__(self, nid: int, zones: list[Zone], cpus: list[int]) -> None:
        self.nid = nid
        self.zones = zones
        self.cpus = cpus
        self.zonelist: tuple[Zone, ...] = ()
        self.own_zonelist = tuple(zone for zone in reversed(zones) if zone.populated)
        self.kswapd_order: int | None = None
        self.kswapd_highest_zoneidx: int | None = None

    @property
    def has_memory(self) -> bool:
        """Whether any zone is populated. [N_MEMORY]"""
        return bool(self.own_zonelist)

    def build_zonelist(self, order: Iterable["Node"]) -> None:
        """Make ``zonelist`` of the nodes in ``order``. [build_zonelists_in_node_order]"""
        self.zonelist = tuple(zone for node in order for zone in node.own_zonelist)

    def wakeup_kswapd(self, order: int, highest_zoneidx: int) -> None:
        """Note that kswapd is to make room for a block of ``order``. [wakeup_kswapd]"""
        self.kswapd_order = max(order, self.kswapd_order or 0)
        self.kswapd_highest_zoneidx = max(highest_zoneidx, self.kswapd_highest_zoneidx or 0)

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if zones overlap or do not rise, or as ``Zone.check`` does."""
        populated = self.own_zonelist[::-1]
        for below, above in pairwise(populated):
            if below.span.end_pfn > above.span.start_pfn:
                raise BrokenInvariant(f"Zone {below.name} of node {self.nid} reaches into zone "
                                      f"{above.name}")
        for zone in self.zones:
            zone.check()


def fallback_orders(nodes: list[Node],
                    distance: Callable[[int, int], int]) -> dict[int, list[int]]:
    """Return the order in which each node falls back to the others, by number of the node.

    A node comes first in its own list, with memory or not; nodes without memory are in no other
    list. Where several are equally near, nodes begin with different ones of them, so that not all
    turn to the same one first. [build_all_zonelists]
    """
    load = dict.fromkeys((node.nid for node in nodes), 0)
    orders = {}
    for node in nodes:
        order = [node.nid]
        while (best := _next_best_node(nodes, node.nid, order, load, distance)) is not None:
            # The first of a group of equal distance will be under pressure. [build_zonelists]
            if distance(node.nid, best) != distance(node.nid, order[-1]):
                load[best] += 1
            order.append(best)
        orders[node.nid] = order
    return orders


def _next_best_node(nodes: list[Node], nid: int, used: list[int], load: dict[int, int],
                    distance: Callable[[int, int], int]) -> int | None:
    """Return the node that follows those ``used`` in the list of ``nid``. [find_next_best_node]

    It is the nearest one. Of equally near ones a number above ``nid`` and a node without
    processors are preferred, and then the node that the fewest others turn to first.
    """
    best, least = None, None
    for node in nodes:
        if node.nid in used or not node.has_memory:
            continue
        value = distance(nid, node.nid) + (node.nid < nid)
        if node.cpus:
            value += PENALTY_FOR_NODE_WITH_CPUS
        value = value * MAX_NUMNODES + load[node.nid]
        if least is None or value < least:
            best, least = node.nid, value
    return best
