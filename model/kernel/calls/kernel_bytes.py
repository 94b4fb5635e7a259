"""Bytes of the kernel in the place of a program's memory: calls that move between two files."""

from typing import Protocol

__all__ = ["KernelBytes", "UserCopies"]


class UserCopies(Protocol):
    """What the data of a file are copied from or to; see ``UserAccess``."""

    def access_ok(self, address: int, size: int) -> bool: ...

    def copy_to_user(self, address: int, data: bytes, kernel_address: int = 0) -> int: ...

    def copy_from_user(self, address: int, size: int,
                       kernel_address: int = 0) -> tuple[bytes, int]: ...


class KernelBytes:
    """A buffer whose first byte has address 0, and which every copy reaches.

    Parameters
    ----------
    data
        What is to be written.

    Members
    -------
    data
        That, or what was read.
    """

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    def access_ok(self, _address: int, _size: int) -> bool:
        """Return that all can be reached."""
        return True

    def copy_to_user(self, address: int, data: bytes, _kernel_address: int = 0) -> int:
        """Keep bytes, which follow those before; return that none are left."""
        self.data = self.data[:address] + data
        return 0

    def copy_from_user(self, address: int, size: int,
                       _kernel_address: int = 0) -> tuple[bytes, int]:
        """Return bytes, and that none are left."""
        return self.data[address : address + size], 0
