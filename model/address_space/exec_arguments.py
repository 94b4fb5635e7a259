"""What execve is given beside a file: names and strings for the new program."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ExecArguments"]


@dataclass(frozen=True, slots=True)
class ExecArguments:
    """The strings that a program starts with, without the zero bytes that end them.

    Members
    -------
    filename
        The name that execve was given, which the program finds by AT_EXECFN.
    argv, envp
        Its arguments, the first of which is its own name, and its environment.

    Raise ``TypeError`` for what is not bytes, ``ValueError`` for a string with a zero byte in it.
    """

    filename: bytes
    argv: Sequence[bytes] = ()
    envp: Sequence[bytes] = ()

    def __post_init__(self) -> None:
        """Refuse what no string in memory can be."""
        for one in (self.filename, *self.argv, *self.envp):
            if not isinstance(one, bytes):
                raise TypeError(f"Arguments of a program must be bytes, not {one!r}")
            if b"\0" in one:
                raise ValueError(f"Arguments of a program must have no zero byte, not {one!r}")
