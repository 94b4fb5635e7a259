"""Ranges of a program's memory that one call moves bytes from or to. [lib/iov_iter.c]"""

import errno

from ...address_space.errors import SysError
from .kernel_bytes import UserCopies

__all__ = ["MAX_RW_COUNT", "UserVector", "import_iovec"]

UIO_MAXIOV = 1024
MAX_RW_COUNT = 0x7FFF_F000  # INT_MAX, but whole pages


class UserVector:
    """Ranges that are gone through in their order.

    Parameters
    ----------
    user
        The copies to and from the process.
    segments
        Address and bytes of each range.

    Members
    -------
    total
        The bytes of all.
    """

    def __init__(self, user: UserCopies, segments: list[tuple[int, int]]) -> None:
        self._user = user
        self.segments = segments
        self.total = sum(size for _, size in segments)

    def load(self, offset: int, size: int) -> bytes:
        """Return bytes from an offset on, fewer if they cannot be copied. [copy_from_iter]"""
        found = b""
        for address, count in self._parts(offset, size):
            data, left = self._user.copy_from_user(address, count)
            found += data[: count - left]
            if left:
                break
        return found

    def store(self, offset: int, data: bytes) -> int:
        """Store bytes from an offset on; return how many were. [copy_to_iter]"""
        done = 0
        for address, count in self._parts(offset, len(data)):
            left = self._user.copy_to_user(address, data[done : done + count])
            done += count - left
            if left:
                break
        return done

    def _parts(self, offset: int, size: int) -> list[tuple[int, int]]:
        """Return address and bytes of the parts of a range."""
        parts = []
        for address, count in self.segments:
            step = min(max(0, count - offset), size)
            if step:
                parts.append((address + offset, step))
            offset, size = max(0, offset - count), size - step
        return parts


def import_iovec(user: UserCopies, address: int, count: int, word_bytes: int) -> UserVector:
    """Return the ranges that a program lists at an address.

    Raise ``SysError``: EINVAL for too many, or a size that is negative as signed; EFAULT for a
    list that is not there, or a range that is not in user space. [import_iovec]
    """
    if count > UIO_MAXIOV:
        raise SysError(errno.EINVAL)
    data, left = user.copy_from_user(address, count * 2 * word_bytes)
    if left:
        raise SysError(errno.EFAULT)
    words = [int.from_bytes(data[at : at + word_bytes], "little")
             for at in range(0, len(data), word_bytes)]
    segments, total = [], 0
    for base, size in zip(words[::2], words[1::2], strict=True):
        if size >> 8 * word_bytes - 1:
            raise SysError(errno.EINVAL)
        if not user.access_ok(base, size):
            raise SysError(errno.EFAULT)
        size = min(size, MAX_RW_COUNT - total)
        total += size
        segments.append((base, size))
    return UserVector(user, segments)
