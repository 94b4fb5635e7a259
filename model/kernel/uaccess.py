"""Copies between the kernel and a process's memory, through the page tables of the process.

They run with supervisor rights, so that a bad pointer could reach the kernel's own memory: hence
``access_ok`` first. Each access may fault in the middle; a fault that cannot be dealt with ends
the copy, and what was not copied is counted. [arch/x86/include/asm/uaccess.h, arch/x86/lib]
"""

from collections.abc import Callable, Iterator

from ..mmu.control import Access
from ..mmu.walk import walk
from ..x86 import AccessKind, Cr4, Vector
from .fault import FaultOutcome
from .frames import PAGE_BYTES
from .kernel import Kernel
from .oom import OomKilled

__all__ = ["UserAccess"]

WORD = 4  # what 32-bit kernels copy at a time


class UserAccess:
    """Copies for the process that runs.

    The pointer of the kernel's side is taken as aligned to 8 bytes: the 32-bit copy loops move
    words from there on, and a word that faults is not copied in part.

    Parameters
    ----------
    kernel
        The kernel.

    Members
    -------
    ac
        EFLAGS.AC: set around each copy if there is SMAP. [stac, clac]
    before_access
        Called before each access, to carry out what the TLB is owed for example.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.ac = False
        self.before_access: Callable[[], None] | None = None
        self._smap = bool(kernel.state.tlb.cr4 & Cr4.SMAP)
        self._words = kernel.mode.entry_bytes == WORD

    def access_ok(self, address: int, size: int) -> bool:
        """Return whether a range lies in user space; nothing need be there. [access_ok]"""
        limit = self.kernel.layout.task_size
        return 0 <= size <= limit and 0 <= address <= limit - size

    def copy_to_user(self, address: int, data: bytes) -> int:
        """Copy ``data`` to a process; return how many bytes were not copied. [copy_to_user]"""
        if not self.access_ok(address, len(data)):
            return len(data)
        memory = self.kernel.state.memory
        done = 0
        for paddr, size in self._pieces(address, len(data), AccessKind.WRITE):
            memory.write_bytes(paddr, data[done : done + size])
            done += size
        # The destination is brought to a multiple of 8 first, so no word lies across pages.
        return len(data) - done

    def copy_from_user(self, address: int, size: int) -> tuple[bytes, int]:
        """Return ``size`` bytes of a process, and how many of them, the last, could not be copied.

        These are zeros. [copy_from_user]
        """
        if not self.access_ok(address, size):
            return bytes(size), size
        memory = self.kernel.state.memory
        data = b"".join(memory.read_bytes(paddr, count) for paddr, count in
                        self._pieces(address, size, AccessKind.READ))
        if len(data) < size and self._words and size > 2 * WORD - 1:
            data = data[: self._whole_words(len(data), size)]
        return data.ljust(size, b"\0"), size - len(data)

    def clear_user(self, address: int, size: int) -> int:
        """Fill memory of a process with zeros; return how many bytes were not. [clear_user]"""
        if not self.access_ok(address, size):
            return size
        memory = self.kernel.state.memory
        done = 0
        for paddr, count in self._pieces(address, size, AccessKind.WRITE):
            memory.write_bytes(paddr, bytes(count))
            done += count
        if done < size and self._words:
            done = self._whole_words(done, size)
        return size - done

    def _whole_words(self, done: int, size: int) -> int:
        """Return what of ``done`` bytes counts where words are moved and the last bytes singly.

        [__copy_user, __do_clear_user in usercopy_32.c]
        """
        return done if done >= size & -WORD else done & -WORD

    def _pieces(self, address: int, size: int, kind: AccessKind) -> Iterator[tuple[int, int]]:
        """Yield where in memory the bytes are: one run for each page, up to one that faults.

        Each must be used before the next is asked for: that may make room for itself.
        """
        end = address + size
        while address < end:
            stop = min(end, (address | PAGE_BYTES - 1) + 1)
            paddr = self._access(address, kind)
            if paddr is None:
                return
            yield paddr, stop - address
            address = stop

    def _access(self, address: int, kind: AccessKind) -> int | None:
        """Return the physical address of a user address, None after a fault for good.

        Raise ``Oops``, and ``OomKilled`` if the process is to go.
        """
        kernel = self.kernel
        self.ac = self._smap
        try:
            while True:
                if self.before_access is not None:
                    self.before_access()
                found = walk(kernel.state.memory, kernel.mode, kernel.control,
                             Access(address, kind, ac=self.ac))
                if found.fault is None:
                    return found.paddr
                if found.fault.vector is not Vector.PF:
                    return None
                result = kernel.handle_page_fault(address, found.fault.error_code, ac=self.ac,
                                                  fixup=True)
                if result.outcome is FaultOutcome.SIGNAL:
                    raise OomKilled(kernel.oom_kills[-1])
                if result.outcome is FaultOutcome.FIXUP:
                    return None
        finally:
            self.ac = False
