"""The parameters of an MMU, checked once for every component that takes them."""

import re
from dataclasses import dataclass

from ..model.x86 import PAGE_BYTES, PAGE_SHIFT, X86_64, PagingMode
from .identifiers import check_identifier
from .replacement import POLICIES

__all__ = ["Config"]


@dataclass(frozen=True)
class Config:
    """The parameters of an MMU, which all its components share.

    Parameters
    ----------
    mode : :class:`PagingMode`
        Paging mode, one of ``model.x86.MODES``, with or without 1-Gbyte pages.
    ports : tuple of str
        Names of the request ports, lower-case letters and digits, no keyword of Verilog; each port
        has a TLB of its own, all share the walker.
    entries : int
        Entries of each port's L1 TLB; with ``ways``, those for 4-Kbyte pages.
    ways : int
        Entries of a set of the L1 TLBs, which then have ``entries / ways`` sets, a power of two of
        at least 2; 0 makes them fully associative.
    large_entries : int
        With ``ways``, entries of each L1 TLB for pages larger than 4 Kbytes, fully associative.
    index : str
        With ``ways``, what selects the set: the lowest bits of the page number, ``plain``, or those
        and the next ones combined bit by bit with exclusive or, ``folded``.
    walk_cache : int
        Entries of the walk cache's lowest level; each level above has half as many, but at least
        one. 0 leaves it out.
    hit_latency : int
        Cycles from a request to the answer of a hit: 0, in the request's own cycle, 1 or 2.
    policy : str
        Replacement policy of the TLBs, a key of ``hdl.replacement.POLICIES``.
    paddr_bits : int
        MAXPHYADDR, 32 to 52. A mode that cannot address so much uses what it can: 32-bit paging
        has 40 bits at most. [SDM 4.1.4]
    tag_bits : int
        Width of the tag that a response carries over from its request.
    access_bytes : int
        Bytes of the largest access, up to a page; a request then has a ``size``, and one that
        crosses into the next page is translated in both before it is answered. 0: without sizes.
    misses : int
        Requests that each port may have under way at once that wait for a walk, or behind one, 1 to
        8. With more than 1 the port goes on with the lookups behind a miss.
    order : str
        With several ``misses``, the order of a port's answers: that of the requests, ``request``,
        or each as soon as it is known, to be told by its tag, ``tag``.
    cancel : bool
        Whether requests can be cancelled. The ports are then those of several ``misses``.
    l2_entries : int
        Entries of the second-level TLB in block RAM, which all ports share; 0 leaves it out.
    l2_ways : int
        Entries of each of its sets, whose number is a power of two and at least four.
    l2_policy : str
        Replacement policy of each of its sets.
    prefetch : str
        What is walked ahead for the second-level TLB: ``next``, the page after one that a walk has
        entered into it, or ``none``.
    walkers : int
        Page-table walks under way at once, 1 to 8.
    walk_stages : int
        1 for a walker that looks up the walk cache and judges a response in one cycle, for a walk
        in few cycles; 2 for one that takes several, for a faster clock. Several walkers have 2.
    accessed : str
        When entries get their accessed flags: ``use``, as soon as the walk goes on from them, or
        ``success``, only when the whole translation succeeds, as on the 386 and 486. The walk then
        reads all its entries first; if one above the leaf lacks A it begins again and sets them.
    ad : str
        What sets accessed and dirty flags: ``exchange``, an atomic compare-and-exchange; ``write``,
        a plain write of one walker, safe only where nobody else writes page tables; ``fault``,
        none: an access that would succeed but has to set a flag ends in a page fault with P set.
    memory_response : str
        When a response of page-table memory counts: in its own cycle, ``direct``, or out of a
        register in the next one, ``registered``, which costs a cycle an access, for a faster clock.
    rights : bool
        Whether a response has the rights of its page, for an outer cache or a core to keep.
    probes : bool
        Whether a request has a ``purpose``: to check an access, or to probe without any effect.
    checks : bool
        Whether an invalidating operation that is a general-protection fault is told so, by
        ``invalidate_refused``, and drops nothing.
    invalidation : str
        How an invalidating operation is asked for: offered until it is accepted, ``stream``, or by
        a pulse, ``pulse``, after which ``invalidate_busy`` is set until it is carried out.
    dropped : bool
        Whether an output says what the TLBs drop, for an outer cache to follow.

    Raises
    ------
    :exc:`TypeError`
        If a parameter has the wrong type.
    :exc:`ValueError`
        If a parameter is out of range, or a policy cannot work with the number of entries or ways,
        or these ways do not make such sets.
    """

    mode: PagingMode = X86_64
    ports: tuple[str, ...] = ("fetch", "data")
    entries: int = 32
    walk_cache: int = 8
    policy: str = "plru"
    paddr_bits: int = 40
    tag_bits: int = 4
    access_bytes: int = 0
    misses: int = 1
    order: str = "request"
    cancel: bool = False
    hit_latency: int = 1
    l2_entries: int = 0
    l2_ways: int = 4
    l2_policy: str = "plru"
    prefetch: str = "none"
    walkers: int = 1
    walk_stages: int = 1
    ways: int = 0
    large_entries: int = 4
    index: str = "folded"
    accessed: str = "use"
    ad: str = "exchange"
    memory_response: str = "direct"
    rights: bool = False
    probes: bool = False
    checks: bool = False
    dropped: bool = False
    invalidation: str = "stream"

    def __post_init__(self) -> None:
        self._check_types()
        for name, (lowest, highest) in RANGES.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(
                    f"Parameter {name} must be from {lowest} to {highest}, not {value!r}")
        for policy in (self.policy, self.l2_policy):
            if policy not in POLICIES:
                raise ValueError(
                    f"Replacement policy must be one of {', '.join(POLICIES)}, not {policy!r}")
        for name, rules in RULES.items():
            if (rule := getattr(self, name)) not in rules:
                raise ValueError(
                    f"{_spoken(name)} must be one of {', '.join(rules)}, not {rule!r}")
        if self.ad == "write" and self.walkers > 1:
            raise ValueError("Ad 'write' needs a single walker, as one could undo what another has"
                             f" set, not {self.walkers}")
        if self.order == "tag" and 1 << self.tag_bits < self.misses + 2:
            raise ValueError(f"With order tag, tag_bits must tell apart the {self.misses + 2}"
                             f" requests that a port may hold, not {1 << self.tag_bits}")
        self._check_sets()
        for count in (self.ways, self.large_entries) if self.ways else (self.entries,):
            POLICIES[self.policy].check(count)
        if self.l2_entries:
            self._check_l2()
        elif self.prefetches:
            raise ValueError(f"Prefetch {self.prefetch!r} needs a second-level TLB, l2_entries from"
                             f" 4, not {self.l2_entries}")
        if not self.ports or len(set(self.ports)) != len(self.ports):
            raise ValueError(f"Port names must be distinct, at least one, not {self.ports!r}")
        for port in self.ports:
            if not re.fullmatch(r"[a-z][a-z0-9]*", port):
                raise ValueError("Port name must be lower-case letters and digits, a letter first,"
                                 f" not {port!r}")
            if port in TAKEN_NAMES:
                raise ValueError(f"Port name must not be one that the MMU uses, as {port!r} is")
            check_identifier("Port name", port)

    def _check_sets(self) -> None:
        if self.ways and (self.entries % self.ways or self.sets < 2 or self.sets & self.sets - 1):
            raise ValueError("Set count, entries by ways, must be a power of two of at least 2,"
                             f" not {self.entries} / {self.ways}")

    def _check_types(self) -> None:
        if not isinstance(self.mode, PagingMode):
            raise TypeError(f"Mode must be a PagingMode, not {self.mode!r}")
        for name in RANGES:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"Parameter {name} must be an integer, not {value!r}")
        for policy in (self.policy, self.l2_policy):
            if not isinstance(policy, str):
                raise TypeError(f"Replacement policy must be a string, not {policy!r}")
        for name in RULES:
            if not isinstance(getattr(self, name), str):
                raise TypeError(
                    f"{_spoken(name)} must be a string, not {getattr(self, name)!r}")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"Parameter {name} must be a bool, not {getattr(self, name)!r}")
        if not isinstance(self.ports, tuple) or not all(isinstance(x, str) for x in self.ports):
            raise TypeError(f"Ports must be a tuple of strings, not {self.ports!r}")

    def _check_l2(self) -> None:
        sets, rest = divmod(self.l2_entries, self.l2_ways)
        if rest or sets < 4 or sets & sets - 1:
            raise ValueError(
                "Entries of the second-level TLB must be a power of two from 4 for each of"
                f" {self.l2_ways} ways, not {self.l2_entries}")
        POLICIES[self.l2_policy].check(self.l2_ways)

    @property
    def sets(self) -> int:
        """Number of sets of each L1 TLB, 0 if it is fully associative."""
        return self.entries // self.ways if self.ways else 0

    @property
    def has_miss_file(self) -> bool:
        """Whether the request ports keep misses aside, and go on with the lookups behind them."""
        return self.misses > 1 or self.cancel

    @property
    def has_walk_pool(self) -> bool:
        """Whether walks are those of a ``WalkPool``, and not of a ``Walker``."""
        return self.walkers > 1 or self.walk_stages > 1

    @property
    def sets_flags_last(self) -> bool:
        """Whether a walk sets no flag before all its translation is known to succeed."""
        return self.accessed == "success" or self.ad == "fault"

    @property
    def notes_lacking(self) -> bool:
        """Whether a walk may go on below an entry without setting its accessed flag."""
        return self.sets_flags_last or self.walks_quietly

    @property
    def walks_quietly(self) -> bool:
        """Whether there are walks that set no flag at all."""
        return self.probes or self.prefetches

    @property
    def prefetches(self) -> bool:
        """Whether pages are walked ahead for the second-level TLB."""
        return self.prefetch != "none"

    @property
    def physical_bits(self) -> int:
        """Width of a physical address that a translation can give."""
        return min(self.paddr_bits, self.mode.max_paddr_bits)

    @property
    def pfn_bits(self) -> int:
        """Width of a page frame number."""
        return self.physical_bits - PAGE_SHIFT

    @property
    def root_bits(self) -> int:
        """Width of the frame number of a paging structure, below 4 GiB if entries have 32 bits."""
        return min(self.physical_bits, 8 * self.mode.entry_bytes) - PAGE_SHIFT

    @property
    def vpn_bits(self) -> int:
        """Width of the page number that the TLBs compare."""
        return self.mode.translated_bits - PAGE_SHIFT


def _spoken(name):
    """Return the name of a parameter as a sentence begins with it."""
    return name.replace("_", " ").capitalize()


RANGES = {"entries": (1, 4096), "walk_cache": (0, 256), "paddr_bits": (32, 52), "tag_bits": (1, 64),
          "access_bytes": (0, PAGE_BYTES),
          "misses": (1, 8), "hit_latency": (0, 2), "ways": (0, 16), "large_entries": (1, 64),
          "l2_entries": (0, 65536), "l2_ways": (1, 16), "walkers": (1, 8),
          "walk_stages": (1, 2)}
"""The lowest and the highest value of each parameter that is a number."""

ORDERS = ("request", "tag")
"""In what order a port may answer."""

INDEXES = ("plain", "folded")
"""What may select the set of a page number."""

SWITCHES = ("cancel", "rights", "probes", "checks", "dropped")
"""What each MMU has or has not."""

RULES = {"index": INDEXES, "order": ORDERS, "prefetch": ("none", "next"),
         "accessed": ("use", "success"), "ad": ("exchange", "write", "fault"),
         "memory_response": ("direct", "registered"), "invalidation": ("stream", "pulse")}
"""What each parameter may be that is a word with a meaning of its own."""

TAKEN_NAMES = frozenset({
    "control", "invalidate", "memory", "events", "walk", "flush", "clk", "rst",  # ports, events
    "dropped", "arbiter", "walker", "invalidator", "check",  # a port, submodules
    "l2",  # a submodule with events
    "config", "elaborate", "signature", "metadata",  # attributes of the component
})
"""Names that the MMU has for its own, so that no request port may have them."""
