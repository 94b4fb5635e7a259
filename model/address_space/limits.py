"""What limits an address space: the machine, the kernel's settings, and what is promised."""

import errno
from dataclasses import dataclass

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .errors import SysError
from .rlimits import INFINITY, Rlimits
from .user_layout import UserBuild

__all__ = ["INFINITY", "Commit", "Overcommit", "Rlimits", "UserSpace"]

@dataclass(slots=True, kw_only=True)
class UserSpace:
    """What is the same for all processes of a machine; sizes in bytes.

    Its settings may change while processes live.

    Parameters
    ----------
    word_bytes
        The size of a pointer: 4 on i386, 8 on x86-64. The two search for free addresses slightly
        differently: i386 has the code common to all architectures, x86-64 its own.
    task_size
        The end of user addresses. [TASK_SIZE]
    mmap_min_addr, max_map_count, stack_guard_gap
        The settings vm.mmap_min_addr and vm.max_map_count, and the boot option stack_guard_gap,
        here in bytes.
    soft_dirty
        Whether the kernel tracks soft-dirty pages, as it does on x86-64.
    pkeys
        Whether the processor has protection keys.
    huge_page_bytes
        Bytes that an entry of the level above the page table maps. [HPAGE_PMD_SIZE]
    """

    word_bytes: int
    task_size: int
    huge_page_bytes: int
    soft_dirty: bool = False
    pkeys: bool = False
    mmap_min_addr: int = 0x1_0000
    max_map_count: int = 65530
    stack_guard_gap: int = 256 * PAGE_BYTES

    @classmethod
    def of(cls, build: UserBuild, *, pkeys: bool = False) -> "UserSpace":
        """Return the space of a kernel's build; ``pkeys`` is whether the processor has keys."""
        is_64_bit = build.mode.vaddr_bits == 64
        return cls(word_bytes=build.mode.vaddr_bits // 8, task_size=build.task_size,
                   huge_page_bytes=build.mode.levels[-2].page_bytes, soft_dirty=is_64_bit,
                   pkeys=pkeys and is_64_bit)

    def word(self, value: int) -> int:
        """Return a number as a register holds it, without the bits that do not fit.

        [unsigned long]
        """
        return value & (1 << 8 * self.word_bytes) - 1

    @property
    def search_floor(self) -> int:
        """The lowest address that a search from the top may find."""
        return PAGE_BYTES if self.word_bytes == 8 else max(PAGE_BYTES, self.mmap_min_addr)

    @property
    def max_length(self) -> int:
        """The length that no mapping exceeds."""
        return self.task_size - (0 if self.word_bytes == 8 else self.mmap_min_addr)

    @property
    def unmapped_base(self) -> int:
        """Where a search from the bottom starts. [TASK_UNMAPPED_BASE]"""
        return (self.task_size // 3 + PAGE_BYTES - 1) & -PAGE_BYTES


class Overcommit:
    """Values of vm.overcommit_memory."""

    GUESS = 0
    ALWAYS = 1
    NEVER = 2


class Commit:
    """How many pages all processes together were promised. [vm_committed_as]

    Parameters
    ----------
    limit
        Pages. In mode GUESS the most that one call may ask for: RAM and swap together. In mode
        NEVER what all together must stay below: the commit limit less the reserves.
    mode
        A value of ``Overcommit``.

    Members
    -------
    committed
        The pages promised.
    """

    def __init__(self, limit: int = INFINITY >> PAGE_SHIFT, mode: int = Overcommit.GUESS) -> None:
        self._limit = limit
        self.mode = mode
        self.committed = 0

    @property
    def limit(self) -> int:
        """The most pages that one call may ask for in mode GUESS."""
        return self._limit

    def allowed(self, _total_vm: int, _privileged: bool) -> int:
        """Return what all promises together must stay below in mode NEVER, in pages.

        The arguments are how many pages the address space has that asks for more, and whether it
        may use what is kept for the administrator. [vm_commit_limit]
        """
        return self._limit

    @property
    def honours_noreserve(self) -> bool:
        """Whether MAP_NORESERVE has an effect: memory that is not promised, and so not counted."""
        return self.mode != Overcommit.NEVER

    def charge(self, pages: int, total_vm: int = 0, *, privileged: bool = False) -> None:
        """Promise pages, or raise ``SysError(ENOMEM)``; the rest is as for ``allowed``.

        [__vm_enough_memory]
        """
        if self.mode == Overcommit.GUESS and pages > self.limit:
            raise SysError(errno.ENOMEM)
        if self.mode == Overcommit.NEVER and self.committed + pages >= self.allowed(
                total_vm, privileged):
            raise SysError(errno.ENOMEM)
        self.committed += pages

    def uncharge(self, pages: int) -> None:
        """Take a promise back. [vm_unacct_memory]"""
        self.committed -= pages
