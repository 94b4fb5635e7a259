"""What the types of arguments hold of the registers that they come in."""

import errno

from ...address_space.errors import SysError

__all__ = ["as_int", "as_offset", "as_position", "as_uint"]


def as_int(value: int) -> int:
    """Return what an ``int`` holds of a value."""
    return (value & 0xFFFF_FFFF ^ 1 << 31) - (1 << 31)


def as_uint(value: int) -> int:
    """Return what an ``unsigned int`` holds of a value."""
    return value & 0xFFFF_FFFF


def as_offset(value: int) -> int:
    """Return what a ``loff_t`` holds of a value."""
    return (value & (1 << 64) - 1 ^ 1 << 63) - (1 << 63)


def as_position(value: int) -> int:
    """Return what a ``loff_t`` holds of a value; raise ``SysError(EINVAL)`` if it is negative."""
    value = as_offset(value)
    if value < 0:
        raise SysError(errno.EINVAL)
    return value
