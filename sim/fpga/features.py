"""What a designer may choose: one base for each paging mode, and what each choice makes of it."""

from dataclasses import dataclass

from ...hdl.config import Config
from ...hdl.replacement import POLICIES
from .table_row import TableRow

__all__ = ["BASES", "feature_rows"]

BASES = {"x86_64": "--mode x86_64 --entries 16 --ports data",
         "ia32": "--mode ia32 --entries 32 --ports data"}
"""The base of each mode, as words of the command line: one port, and the defaults."""

BASE_POLICY = Config().policy


@dataclass(frozen=True, slots=True)
class _Feature:
    """A choice: its name, its words, and what it is compared with.

    ``over`` is the feature without which it would be none, such as the second-level TLB for its
    policy; empty for the base. ``modes`` are those that have it.
    """

    name: str
    words: str
    over: str = ""
    modes: tuple[str, ...] = tuple(BASES)


FEATURES = (
    # the ports and their TLBs
    _Feature("a second port", "--ports fetch,data"),
    _Feature("8 entries", "--entries 8"),
    _Feature("sets of 2", "--ways 2"),
    _Feature("sets of 4", "--ways 4"),
    _Feature("64 entries in sets of 4", "--entries 64 --ways 4"),
    _Feature("sets by plain bits", "--index plain", "sets of 4"),
    _Feature("2 entries for large pages in place of 4", "--large-entries 2", "sets of 4"),
    _Feature("hits in their own cycle", "--hit-latency 0"),
    _Feature("hits after 2 cycles", "--hit-latency 2"),
    *(_Feature(f"policy {policy} in place of {BASE_POLICY}", f"--policy {policy}")
      for policy in POLICIES if policy != BASE_POLICY),
    _Feature("4 misses", "--misses 4"),
    _Feature("8 misses", "--misses 8"),
    _Feature("answers out of order", "--order tag", "4 misses"),
    _Feature("requests can be cancelled", "--cancel", "4 misses"),
    _Feature("tags of 8 bits in place of 4", "--tag-bits 8"),
    _Feature("sizes, up to 16 bytes", "--access-bytes 16"),
    # walks
    _Feature("no walk cache", "--walk-cache 0"),
    _Feature("walk cache of 32", "--walk-cache 32"),
    _Feature("walker of 2 stages", "--walk-stages 2"),
    _Feature("4 walkers", "--walkers 4"),
    _Feature("8 walkers", "--walkers 8"),
    _Feature("memory responses out of a register", "--memory-response registered"),
    # the second-level TLB
    _Feature("L2 of 1024", "--l2-entries 1024"),
    _Feature("L2 in sets of 8 in place of 4", "--l2-ways 8", "L2 of 1024"),
    _Feature("L2 with LRU in place of PLRU", "--l2-policy lru", "L2 of 1024"),
    _Feature("the next page walked ahead", "--prefetch next", "L2 of 1024"),
    # accessed and dirty flags
    _Feature("A set on success only", "--accessed success"),
    _Feature("A and D by plain writes", "--ad write"),
    _Feature("A and D left to software", "--ad fault"),
    # what a core or an outer cache asks for
    _Feature("rights in answers", "--rights"),
    _Feature("purposes of requests", "--probes"),
    _Feature("checks of operations", "--checks"),
    _Feature("invalidation by a pulse", "--invalidation pulse"),
    _Feature("told what is dropped", "--dropped"),
    # addresses
    _Feature("36 bits of physical address in place of 40", "--paddr-bits 36"),
    _Feature("no 1-Gbyte pages", "--no-1g-pages", modes=("x86_64",)),
    _Feature("five levels", "--mode la57", modes=("x86_64",)),
)
"""Every choice there is: each parameter of ``Config`` is in at least one."""


def feature_rows() -> list[TableRow]:
    """Return the rows, for each mode its base first; each comes after what it is compared with."""
    rows: dict[str, TableRow] = {}
    for mode, base in BASES.items():
        rows[mode] = TableRow(mode, base)
        for feature in FEATURES:
            if mode in feature.modes:
                name, over = (f"{mode}, {feature.name}",
                              f"{mode}, {feature.over}" if feature.over else mode)
                rows[name] = TableRow(name, f"{rows[over].words} {feature.words}", over)
    return [*rows.values()]
