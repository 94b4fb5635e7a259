"""What the model does not do as Linux 6.1 does, and the comparison passes over for that.

An entry goes as soon as the model does it.
"""

from .program import Outcome

__all__ = ["IGNORED_STATUS", "ends_comparison"]

IGNORED_STATUS = ("page tables",)
"""The model makes a page table for a fault that ends in SIGBUS, and none where mremap moves memory
without pages out of a table that others use."""

SIGBUS = 7


def ends_comparison(outcome: Outcome) -> bool:
    """Return whether what follows a step that came to the same is not compared.

    Before a read beyond the end of a file ends in SIGBUS, Linux maps the pages around it.
    """
    return outcome.signal is not None and outcome.signal[0] == SIGBUS
