"""The parameters of an MMU whose timing is known here, by the names that hardware gives them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...x86 import PagingMode
from ..flag_rules import FlagRules
from ..widths import physical_bits

__all__ = ["TimedGeometry", "UnknownTiming"]


class UnknownTiming(ValueError):
    """A parameter with a value whose timing is not modelled."""


@dataclass(frozen=True, slots=True)
class TimedGeometry:
    """What a ``MmuModel`` is made by: fields of the hardware's ``Config``, with the same meaning.

    They are taken over as they are, so that this package needs nothing of the hardware's.
    """

    mode: PagingMode
    ports: tuple[str, ...]
    entries: int
    ways: int
    large_entries: int
    index: str
    walk_cache: int
    hit_latency: int
    policy: str
    paddr_bits: int
    tag_bits: int
    accessed: str
    ad: str
    memory_response: str
    walkers: int
    walk_stages: int
    l2_entries: int
    l2_ways: int
    l2_policy: str
    rights: bool
    probes: bool
    checks: bool
    dropped: bool
    misses: int
    order: str
    cancel: bool

    @classmethod
    def of(cls, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> "TimedGeometry":
        """Return the geometry that ``values`` say, a value for each parameter of the hardware.

        Of a parameter that is none of the fields only the value in ``defaults`` is known; raise
        ``UnknownTiming`` for the first other one.
        """
        names = [field.name for field in fields(cls)]
        for name, value in values.items():
            if name not in names and value != defaults[name]:
                raise UnknownTiming(
                    f"The timing model does not know {name}={value!r}, only"
                    f" {name}={defaults[name]!r}; expected another engine")
        return cls(**{name: values[name] for name in names})

    @property
    def sets(self) -> int:
        """Number of sets of each L1 TLB, 0 if it is fully associative."""
        return self.entries // self.ways if self.ways else 0

    @property
    def has_miss_file(self) -> bool:
        """Whether ports keep misses aside, and go on behind them."""
        return self.misses > 1 or self.cancel

    @property
    def has_walk_pool(self) -> bool:
        """Whether there are several walks at once, or walks in several stages."""
        return self.walkers > 1 or self.walk_stages > 1

    @property
    def notes_lacking(self) -> bool:
        """Whether a walk may go on below an entry without setting its accessed flag."""
        return self.flag_rules.at_the_end or self.probes

    @property
    def physical_bits(self) -> int:
        """Width of a physical address."""
        return physical_bits(self.mode, self.paddr_bits)

    @property
    def flag_rules(self) -> FlagRules:
        """When and how walks set accessed and dirty flags."""
        return FlagRules(self.accessed, self.ad)
