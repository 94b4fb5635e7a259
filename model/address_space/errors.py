"""What a call on an address space can end in."""

import errno
import os

__all__ = ["BrokenMm", "SysError"]


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


class BrokenMm(Exception):
    """An address space that contradicts itself; only a defect of the model leads here."""
