"""The kernel's routines that copy to and from user memory: which moves they make, and what counts.

They are data: the moves on the user's side in the order in which a routine makes them, each with
what its entry in the exception table makes of a fault. What is moved is the same for all; how much
of it counts as copied when a page is missing is not. [arch/x86/lib/usercopy_32.c, copy_user_64.S,
clear_page_64.S, Linux 6.1]
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

__all__ = ["AMD_32", "ERMS", "PENTIUM_III", "Fixup", "Moves", "Usercopy", "Usercopy32",
           "Usercopy64"]

BLOCK = 64
"""Bytes that the unrolled loops move at a time, and below which they are not used."""


class Fixup(Enum):
    """How a routine goes on where a move faults for good."""

    STOP = "stop"
    """The moves before it count. [EX_TYPE_UCOPY_LEN]"""
    BYTES = "bytes"
    """What is left is moved byte by byte. [.Lcopy_user_handle_tail]"""
    FORGET = "forget"
    """The bytes of the block count as not copied, though some may be. [EX_TYPE_UACCESS]"""


@dataclass(frozen=True, slots=True)
class Moves:
    """``count`` moves of ``width`` bytes each, one after the other from byte ``offset`` on.

    ``block`` is how many bytes of the copy count after ``Fixup.FORGET``. What is loaded out of turn
    is not used: such a load can but fault.
    """

    offset: int
    width: int
    count: int
    fixup: Fixup = Fixup.STOP
    block: int = 0


class Usercopy(Protocol):
    """The routines that a kernel uses on a processor. Addresses and sizes are in bytes."""

    def to_user(self, user: int, kernel: int, size: int, /) -> Iterator[Moves]:
        """Yield the stores of a copy to ``user`` from ``kernel``. [raw_copy_to_user]"""
        ...

    def from_user(self, user: int, kernel: int, size: int, /) -> Iterator[Moves]:
        """Yield the loads of a copy from ``user`` to ``kernel``. [raw_copy_from_user]"""
        ...

    def clear(self, size: int) -> Iterator[Moves]:
        """Yield the stores of zeros. [__clear_user]"""
        ...


@dataclass(frozen=True, slots=True)
class Usercopy32:
    """The routines of 32-bit kernels with CONFIG_X86_INTEL_USERCOPY.

    ``movsl_mask`` are the bits in which the addresses must agree for ``rep movsl`` to be used if
    there are 64 bytes or more: 7 on processors of Intel's families 6 and 15, 0 on all others.
    [movsl_is_ok, intel_workarounds]
    """

    movsl_mask: int

    def to_user(self, user: int, kernel: int, size: int) -> Iterator[Moves]:
        """Yield the stores of ``__copy_user_ll``."""
        if self._unrolled(user, kernel, size):
            return _intel(size, ahead=False)
        return _movsl(user, size)

    def from_user(self, user: int, kernel: int, size: int) -> Iterator[Moves]:
        """Yield the loads of ``__copy_user_ll``."""
        if self._unrolled(user, kernel, size):
            return _intel(size, ahead=True)
        return _movsl(kernel, size)

    def _unrolled(self, user: int, kernel: int, size: int) -> bool:
        return size >= BLOCK and bool((user ^ kernel) & self.movsl_mask)

    def clear(self, size: int) -> Iterator[Moves]:
        """Yield the stores of ``__do_clear_user``."""
        return _tailed(0, 4, size)


def _movsl(to: int, size: int) -> Iterator[Moves]:
    """Yield the moves of ``__copy_user``: bytes up to a destination of 8, words, and bytes."""
    head = 0
    if size > 7:
        head = -to & 7
        yield Moves(0, 1, head)
    yield from _tailed(head, 4 if size > 7 else 1, size)


def _tailed(offset: int, width: int, size: int, fixup: Fixup = Fixup.STOP) -> Iterator[Moves]:
    """Yield moves of ``width`` bytes, and of single bytes for what is left."""
    count = (size - offset) // width
    yield Moves(offset, width, count, fixup)
    done = offset + count * width
    yield Moves(done, 1, size - done)


def _intel(size: int, *, ahead: bool) -> Iterator[Moves]:
    """Yield the moves of ``__copy_user_intel``: blocks of words, and the rest as ``__copy_user``.

    Before a block it loads a word from each of the next two cache lines of the source: ``ahead`` is
    whether that is the user's memory. The second may lie in a page that the block does not reach.
    """
    start = 0
    while size - start >= BLOCK:
        if ahead:
            yield Moves(start + 32, 4, 1, Fixup.FORGET, start)
            if size - start > BLOCK + 3:
                yield Moves(start + BLOCK, 4, 1, Fixup.FORGET, start)
        yield Moves(start, 4, BLOCK // 4, Fixup.FORGET, start)
        start += BLOCK
    yield from _tailed(start, 4, size)


@dataclass(frozen=True, slots=True)
class Usercopy64:
    """The routines of 64-bit kernels on a processor with ERMS, and perhaps ``fsrm``.

    Their copies are exact to the byte, as they would be without ERMS. The stores of zeros below
    64 bytes are not. [copy_user_enhanced_fast_string, clear_user_erms]
    """

    fsrm: bool = False

    def to_user(self, _user: int, _kernel: int, size: int, /) -> Iterator[Moves]:
        """Yield the stores of ``copy_user_generic``."""
        return _tailed(0, self._width(size), size, Fixup.BYTES)

    def from_user(self, _user: int, _kernel: int, size: int, /) -> Iterator[Moves]:
        """Yield the loads of ``copy_user_generic``."""
        return _tailed(0, self._width(size), size, Fixup.BYTES)

    def clear(self, size: int) -> Iterator[Moves]:
        """Yield the stores of ``__clear_user``."""
        return _tailed(0, self._width(size), size)

    def _width(self, size: int) -> int:
        return 8 if size < BLOCK and not self.fsrm else 1


PENTIUM_III = Usercopy32(movsl_mask=7)
"""Any processor of Intel from the Pentium Pro on."""

AMD_32 = Usercopy32(movsl_mask=0)
"""Any processor that calls itself AuthenticAMD."""

ERMS = Usercopy64()
"""A processor that has ``erms`` and not ``fsrm``."""
