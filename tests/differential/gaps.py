"""What the model does not do as Linux 6.1 does, and the comparison passes over for that.

An entry goes as soon as the model does it.
"""

from .program import Outcome

__all__ = ["IGNORED_STATUS", "compared_fields", "ends_comparison"]

IGNORED_STATUS = ("page tables",)
"""The model makes a page table for a fault that ends in SIGBUS, and none where mremap moves memory
without pages out of a table that others use."""

FIELDS = ("broken", "skipped", "result", "signal", "minor", "major")
SIGBUS = 7


def compared_fields(model: Outcome) -> tuple[str, ...]:
    """Return what is compared of a step: no faults where a page of a file had to be read.

    Linux reads more than that page, and then maps it with the pages around.
    """
    return FIELDS[:4] if model.reads else FIELDS


def ends_comparison(model: Outcome) -> bool:
    """Return whether what follows a step that came to the same is not compared.

    So it is after pages were read, of which Linux has more then. And before a read beyond the end
    of a file ends in SIGBUS, Linux maps the pages around it.
    """
    return model.reads or (model.signal is not None and model.signal[0] == SIGBUS)
