"""What stands in the way of mapping the pages of a trace: one line."""

from ..errors import InputError

__all__ = ["BackingError"]


class BackingError(InputError):
    """Pages that cannot be mapped as asked for: what is wrong, and what was expected."""

    def __init__(self, what: str, expected: str) -> None:
        super().__init__(f"{what}; expected {expected}")
