"""An address space and the system calls on it. [struct mm_struct]

What is mapped is accounted in ``mm_state``; what is present (RSS) in ``kernel.user_tables``.
"""

from collections.abc import Iterator

from .brk import brk
from .madvise import madvise
from .mlock import mlock, mlockall, munlock, munlockall
from .mm_state import MmState
from .mmap import mmap
from .mprotect import mprotect
from .mremap import mremap
from .munmap import munmap, unmap_range
from .page_table_ops import PageTableOps
from .shmem_mapping import putting_files
from .stack import find_or_expand
from .vma import File, Vma

__all__ = ["Mm"]

OFFSETS = 1 << 64
"""How many offsets a file has. [loff_t]"""


class Mm(MmState):
    """The mappings of one process, changed as the system calls of Linux 6.1 change them.

    Every call raises ``SysError`` with the errno that Linux returns. Addresses and lengths are
    bytes; lengths are rounded up to pages as Linux does. Both are taken as registers hold them,
    modulo 2**32 or 2**64, and offsets of files modulo 2**64: -4096 is a length that no call can
    serve, or an address beyond user space. Flags are those of ``uapi``.

    Parameters
    ----------
    space
        What is the same for all processes of the machine.
    mmap_base, topdown
        The address that mappings are put below or, if not ``topdown``, from which on they are put.
    rlimits, privileged
        The limits of the process, and whether it is the administrator's: it may exceed
        RLIMIT_MEMLOCK, map below ``mmap_min_addr``, raise limits, use swap areas, and be promised
        what is kept from others (CAP_IPC_LOCK, CAP_SYS_RAWIO, CAP_SYS_RESOURCE, CAP_SYS_ADMIN).
    page_tables
        What is called when mappings change; None for no page tables.
    commit, files
        The account of promised memory and the kernel's own files, which all processes of a machine
        share; None for new ones.
    rng
        Randomises where MAP_32BIT begins to look; None for no randomness. [randomize_va_space]
    """

    def __iter__(self) -> Iterator[Vma]:
        """Yield the mappings, the lowest first."""
        return iter(self.tree)

    def find_vma(self, address: int) -> Vma | None:
        """Return the first mapping that ends above ``address``, None if there is none."""
        return self.tree.find(self.space.word(address))

    def find_vma_prev(self, address: int) -> tuple[Vma | None, Vma | None]:
        """Return the mapping that ``find_vma`` returns, and the one before it."""
        return self.tree.find_with_previous(self.space.word(address))

    def find_vma_intersection(self, start: int, end: int) -> Vma | None:
        """Return the first mapping that shares a page with a range."""
        return self.tree.intersection(self.space.word(start), self.space.word(end))

    def find_vma_or_expand(self, address: int) -> Vma | None:
        """Return the mapping that holds ``address``, growing a stack down to it if need be.

        Return None for an address where an access is a segmentation fault. [expand_stack]
        """
        return find_or_expand(self, self.space.word(address))

    def mmap(
        self,
        address: int,
        length: int,
        prot: int,
        flags: int,
        file: File | None = None,
        offset: int = 0,
    ) -> int:
        """Map memory, or ``file`` from byte ``offset`` on, and return where.

        Raise ``SysError``: EINVAL for a bad length, offset, kind or alignment; EBADF without a
        file or MAP_ANONYMOUS; EACCES if the file's mode forbids it; EEXIST where
        MAP_FIXED_NOREPLACE meets a mapping; EPERM below ``mmap_min_addr``, to lock with a limit
        of 0, or to write to what is sealed; EAGAIN beyond RLIMIT_MEMLOCK; EOVERFLOW beyond what
        a file can have; EOPNOTSUPP for MAP_SHARED_VALIDATE with a flag that the file does not
        support, and for MAP_SYNC of a file on a disk; ENOMEM without room or beyond any other
        limit, where MAP_FIXED may have unmapped the range.
        """
        word = self.space.word
        with putting_files(self):
            return mmap(self, word(address), word(length), prot, flags, file, offset % OFFSETS)

    def munmap(self, start: int, length: int) -> None:
        """Unmap a range, cutting mappings at its ends.

        Raise ``SysError``: EINVAL for a range that is not page-aligned, empty, beyond user
        addresses, or cuts what cannot be cut; ENOMEM if that would make too many mappings.
        """
        with putting_files(self):
            munmap(self, self.space.word(start), self.space.word(length))

    def mprotect(self, start: int, length: int, prot: int, pkey: int | None = None) -> None:
        """Give a range new rights, and the protection key ``pkey`` if it is not None.

        Raise ``SysError``: EINVAL for a bad range, right or key; ENOMEM at a hole; EACCES at a
        mapping that may not have these rights. The mappings below are then changed already.
        """
        mprotect(self, self.space.word(start), self.space.word(length), prot, pkey)

    def mremap(
        self, address: int, old_length: int, new_length: int, flags: int = 0, new_address: int = 0
    ) -> int:
        """Resize the mapping of a range, or move it, and return where it is.

        An ``old_length`` of 0 maps shared memory a second time. Raise ``SysError``: EFAULT if
        the range is not part of one mapping, or the mapping cannot grow; EINVAL for bad flags,
        lengths or places; EAGAIN beyond RLIMIT_MEMLOCK; ENOMEM without room or beyond a limit.
        """
        word = self.space.word
        with putting_files(self):
            return mremap(self, word(address), word(old_length), word(new_length), flags,
                          word(new_address))

    def brk(self, address: int) -> int:
        """Move the end of the heap to ``address`` and return where it is then.

        As in Linux, it stays where it was if it cannot move, and nothing is raised.
        """
        with putting_files(self):
            return brk(self, self.space.word(address))

    def madvise(self, start: int, length: int, advice: int) -> None:
        """Take an advice of ``uapi.Madvise`` about a range.

        Raise ``SysError``: EINVAL for a bad range, an unknown advice, or a mapping that it does
        not fit; EPERM for MADV_HWPOISON and MADV_SOFT_OFFLINE; EACCES for MADV_REMOVE of what may
        not be written; EFAULT where MADV_POPULATE_READ and MADV_POPULATE_WRITE find no page;
        EAGAIN for too many mappings; ENOMEM after all is done, if the range had holes; of
        MADV_REMOVE and MADV_COLLAPSE as ``kernel.fallocate`` and ``kernel.collapse``.
        """
        madvise(self, self.space.word(start), self.space.word(length), advice)

    def mlock(self, start: int, length: int, *, on_fault: bool = False) -> None:
        """Lock the pages of a range; with ``on_fault`` each when it is first touched.

        Raise ``SysError``: EPERM if the process may lock none; EINVAL for a range that wraps;
        ENOMEM at a hole, for too many mappings and beyond RLIMIT_MEMLOCK; EAGAIN or ENOMEM, after
        all is locked, if a page cannot be had.
        """
        mlock(self, self.space.word(start), self.space.word(length), on_fault=on_fault)

    def munlock(self, start: int, length: int) -> None:
        """Unlock the pages of a range; raise ``SysError``: ENOMEM at a hole, EINVAL if it wraps."""
        munlock(self, self.space.word(start), self.space.word(length))

    def mlockall(self, flags: int) -> None:
        """Lock all that is mapped now, all that will be mapped, or both, by ``MlockallFlag``.

        Raise ``SysError``: EINVAL for flags that say nothing or too much; EPERM if the process may
        lock none; ENOMEM if it has more mapped than RLIMIT_MEMLOCK. Pages that cannot be had are
        passed over.
        """
        mlockall(self, flags)

    def munlockall(self) -> None:
        """Unlock all that is mapped, and lock nothing that will be."""
        munlockall(self)

    def child(self, page_tables: PageTableOps | None = None) -> "Mm":
        """Return the address space of a child, with the limits of this one and nothing mapped.

        ``fork.copy_mappings`` gives it the mappings. [mm_init]
        """
        return Mm(self.space, self.mmap_base, topdown=self.topdown, rlimits=self.rlimits.copy(),
                  page_tables=page_tables, commit=self.commit, files=self.files,
                  privileged=self.privileged, rng=self.rng)

    def exit(self) -> None:
        """Unmap everything. [exit_mmap]"""
        with putting_files(self):
            unmap_range(self, 0, self.space.task_size)
