"""Copies between the kernel and a process's memory, through the page tables of the process.

They run with supervisor rights, so that a bad pointer could reach the kernel's own memory: hence
``access_ok`` first. Each access may fault in the middle; a fault that cannot be dealt with ends
the copy, and what was not copied is counted. [arch/x86/include/asm/uaccess.h, lib/usercopy.c]
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...mmu.walk import Fault
from ...physical.errors import BrokenInvariant
from ...x86 import Cr4, Vector
from ..kernel import Kernel
from ..oom import OomKilled
from ..page_fault import FaultOutcome, handle_general_protection
from ..usercopy import Fixup, Moves, Usercopy
from .user_port import UserPort, WalkedMemory

__all__ = ["UserAccess"]

INT_MAX = (1 << 31) - 1
PIECE = 1 << 16  # bytes given to the port at a time
MOST_FAULTS = 8  # in a row, of one move

Attempt = Callable[[int, int, int], tuple[int, Fault | None]]
"""Make moves from a byte of the copy on, of a width, so many; return how many, and the fault."""


class UserAccess:
    """Copies for the process that runs.

    Parameters
    ----------
    kernel
        The kernel.
    port
        What its accesses go through; the golden walk if None.
    routines
        The copy routines; those of the kernel's ``Platform`` if None.

    Members
    -------
    ac
        EFLAGS.AC: set around each copy if there is SMAP. [stac, clac]
    """

    def __init__(self, kernel: Kernel, port: UserPort | None = None,
                 routines: Usercopy | None = None) -> None:
        self.kernel = kernel
        self.ac = False
        self._port = port if port is not None else WalkedMemory(kernel)
        self._routines = routines if routines is not None else kernel.platform.usercopy
        self._smap = bool(kernel.state.tlb.cr4 & Cr4.SMAP)

    def access_ok(self, address: int, size: int) -> bool:
        """Return whether a range lies in user space; nothing need be there. [access_ok]"""
        limit = self.kernel.layout.task_size
        return 0 <= size <= limit and 0 <= address <= limit - size

    def copy_to_user(self, address: int, data: bytes, kernel_address: int = 0) -> int:
        """Copy ``data`` to a process; return how many bytes were not copied.

        Those at the end of what was not may have been stored all the same. ``kernel_address`` is
        where the kernel has them, of which the lowest bits matter. Raise ``Oops``, ``OomKilled``.
        [copy_to_user]
        """
        size = len(data)
        if size > INT_MAX or not self.access_ok(address, size):
            return size
        moves = self._routines.to_user(address, kernel_address, size)
        return size - self._carry_out(moves, size, self._storing(address, data))

    def copy_from_user(self, address: int, size: int,
                       kernel_address: int = 0) -> tuple[bytes, int]:
        """Return ``size`` bytes of a process, and how many of them, the last, were not copied.

        These are zeros. Of 2 Gbytes and more nothing is copied, and no bytes are returned at all.
        Otherwise as ``copy_to_user``. [copy_from_user, check_copy_size]
        """
        if size > INT_MAX:
            return b"", size
        if not self.access_ok(address, size):
            return bytes(size), size
        loaded = bytearray()
        moves = self._routines.from_user(address, kernel_address, size)
        done = self._carry_out(moves, size, self._loading(address, loaded))
        return bytes(loaded[:done]).ljust(size, b"\0"), size - done

    def clear_user(self, address: int, size: int) -> int:
        """Fill memory of a process with zeros; return how many bytes were not. [clear_user]"""
        if not self.access_ok(address, size):
            return size
        return size - self._carry_out(self._routines.clear(size), size,
                                      self._storing(address, None))

    # ---- moves

    def _storing(self, address: int, data: bytes | None) -> Attempt:
        """Return what stores ``data``, or zeros, at an address."""
        def attempt(offset: int, width: int, count: int) -> tuple[int, Fault | None]:
            end = offset + count * width
            piece = bytes(count * width) if data is None else data[offset:end]
            return self._port.store(address + offset, width, piece, ac=self.ac)
        return attempt

    def _loading(self, address: int, loaded: bytearray) -> Attempt:
        """Return what loads from an address, and puts in ``loaded`` what is new."""
        def attempt(offset: int, width: int, count: int) -> tuple[int, Fault | None]:
            data, fault = self._port.load(address + offset, width, count, ac=self.ac)
            if offset == len(loaded):
                loaded.extend(data)
            return len(data) // width, fault
        return attempt

    def _carry_out(self, program: Iterator[Moves], size: int, attempt: Attempt) -> int:
        """Make the moves of a copy; return how many of its bytes count as copied."""
        with self._user_access():
            for moves in program:
                made = self._make(moves, attempt)
                if made == moves.count:
                    continue
                if moves.fixup is Fixup.FORGET:
                    return moves.block
                done = moves.offset + made * moves.width
                if moves.fixup is Fixup.BYTES and moves.width > 1:
                    done += self._make(Moves(done, 1, size - done), attempt)
                return done
        return size

    @contextmanager
    def _user_access(self) -> Iterator[None]:
        """Permit accesses to user memory, if there is SMAP. [__uaccess_begin, __uaccess_end]"""
        self.ac = self._smap
        try:
            yield
        finally:
            self.ac = False

    def _make(self, moves: Moves, attempt: Attempt) -> int:
        """Make moves, and have their faults handled; return how many were made."""
        done = faults = 0
        while done < moves.count:
            count = min(moves.count - done, PIECE // moves.width)
            made, fault = attempt(moves.offset + done * moves.width, moves.width, count)
            done += made
            if fault is None:
                continue
            faults = 1 if made else faults + 1
            if faults > MOST_FAULTS:
                raise BrokenInvariant(f"{MOST_FAULTS} page faults at {fault.vaddr:#x} were handled "
                                      "in vain")
            if not self._handle(fault):
                break
        return done

    def _handle(self, fault: Fault) -> bool:
        """Have a fault handled; return whether to try again. [fixup_exception]

        Raise ``Oops``, and ``OomKilled`` if the process is to go.
        """
        if fault.vector is not Vector.PF:
            handle_general_protection(fault.vector, fault.vaddr, user=False, fixup=True)
            return False
        result = self.kernel.handle_page_fault(fault.vaddr, fault.error_code, ac=self.ac,
                                               fixup=True)
        if result.outcome is FaultOutcome.SIGNAL:
            raise OomKilled(self.kernel.oom_kills[-1])
        return result.outcome is FaultOutcome.RETRY
