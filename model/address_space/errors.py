"""What a call on an address space can end in."""

import errno
import os

__all__ = ["BrokenMm", "ExecError", "SysError"]


class SysError(Exception):
    """A system call that failed as Linux fails it.

    ``errno`` is one of the module ``errno``, or another number below 4096 where Linux takes an
    argument for an error.

    What the call had done before it failed stays done, as in the kernel; the docstring of a call
    says so where that can be.
    """

    def __init__(self, number: int) -> None:
        name = errno.errorcode.get(number, f"errno {number}")
        super().__init__(f"{name}: {os.strerror(number)}")
        self.errno = number


class ExecError(SysError):
    """A file that cannot be run, and what of it is in the way.

    Members
    -------
    file
        The name of the file.
    what, found, expected
        The part of the file that is wrong, what it is, and what it would have to be.
    """

    def __init__(self, number: int, file: str, what: str, found: str, expected: str) -> None:
        super().__init__(number)
        self.file, self.what, self.found, self.expected = file, what, found, expected

    def __str__(self) -> str:
        """Return one line that says all."""
        name = errno.errorcode.get(self.errno, f"errno {self.errno}")
        return f"{name}: {self.file}: {self.what} is {self.found}, expected {self.expected}"


class BrokenMm(Exception):
    """An address space that contradicts itself; only a defect of the model leads here."""
