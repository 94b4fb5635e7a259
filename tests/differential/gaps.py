"""What the model does not do as Linux 6.1 does, and the comparison passes over for that.

An entry goes as soon as the model does it.
"""

from .program import Outcome

__all__ = ["compared_fields", "ends_comparison"]

FIELDS = ("broken", "skipped", "result", "signal", "minor", "major")


def compared_fields(model: Outcome) -> tuple[str, ...]:
    """Return what is compared of a step: no faults where a page of a file had to be read.

    Linux reads more than that page, and then maps it with the pages around.
    """
    return FIELDS[:4] if model.reads else FIELDS


def ends_comparison(model: Outcome) -> bool:
    """Return whether what follows a step that came to the same is not compared.

    So it is after pages were read, of which Linux has more then.
    """
    return model.reads
