"""When and how a walk sets accessed and dirty flags, where processors and buses differ."""

from dataclasses import dataclass

__all__ = ["ACCESSED_RULES", "AD_RULES", "FLAGS_ON_USE", "FlagRules"]

ACCESSED_RULES = ("use", "success")
AD_RULES = ("exchange", "write", "fault")


@dataclass(frozen=True, slots=True)
class FlagRules:
    """When the accessed flags of a walk are set, and what sets flags. [SDM 4.8]

    Parameters
    ----------
    accessed : str
        ``use``: an entry gets A as soon as the walk goes on from it, whatever comes below, as in
        today's processors. ``success``: the entries of a walk get A only when the whole translation
        succeeds, those of a walk that faults keep theirs, as on the 386 and 486.
    ad : str
        ``exchange``: flags are set by an atomic compare-and-exchange. ``write``: by a plain write,
        which is safe only where nobody else writes page tables. ``fault``: never. An access whose
        translation would succeed, but has to set A in an entry of any level or D in the leaf, ends
        in a page fault: P set, W/R, U/S and I/D as for any page fault of the access, the rest
        clear. Software sets the flags and tries again; ``accessed`` does not matter.

    Raises
    ------
    :exc:`ValueError`
        If there is no such rule.
    """

    accessed: str = "use"
    ad: str = "exchange"

    def __post_init__(self) -> None:
        for name, rule, rules in (("accessed", self.accessed, ACCESSED_RULES),
                                  ("ad", self.ad, AD_RULES)):
            if rule not in rules:
                raise ValueError(f"Rule {name} must be one of {', '.join(rules)}, not {rule!r}")

    @property
    def at_the_end(self) -> bool:
        """Whether no flag is set before the whole translation is known to succeed."""
        return self.accessed == "success" or self.ad == "fault"


FLAGS_ON_USE = FlagRules()
"""The rules of today's processors."""
