"""Files that the kernel opens on its own mounts for mappings that name none."""

import errno
from dataclasses import dataclass, field
from itertools import count

from .errors import SysError
from .vma import File

__all__ = ["HugeFile", "HugetlbPool", "KernelFiles"]


@dataclass(slots=True, eq=False)
class HugeFile:
    """A file of huge pages that is mapped; its pages are numbered. [inode of hugetlbfs]

    Members
    -------
    reserved
        Numbers of the pages that are there, or that shared mappings have reserved. [resv_map]
    pages
        The first frame of each page that is there, by its number.
    mappings
        How many mappings the file has.
    """

    reserved: set[int] = field(default_factory=set)
    pages: dict[int, int] = field(default_factory=dict)
    mappings: int = 0


@dataclass(slots=True)
class HugetlbPool:
    """The huge pages of one size, and how many of them are reserved. [struct hstate]

    Members
    -------
    free, reserved
        How many unused pages nobody has reserved, and how many mappings have reserved.
    minor, next_inode
        The device number of the kernel's own hugetlbfs mount, and the inode of the next file there.
    files
        The files that are mapped.
    """

    free: int
    minor: int = 0
    next_inode: int = 1
    reserved: int = 0
    files: dict[File, HugeFile] = field(default_factory=dict)

    def reserve(self, pages: int) -> None:
        """Reserve pages; raise ``SysError(ENOMEM)`` if too few are free. [hugetlb_acct_memory]"""
        if pages > self.free:
            raise SysError(errno.ENOMEM)
        self.free -= pages
        self.reserved += pages

    def release(self, pages: int) -> None:
        """Give reserved pages back."""
        self.reserved -= pages
        self.free += pages

    def evict(self, file: File) -> None:
        """Forget a file that nobody maps any more, with all its pages. [hugetlbfs_evict_inode]"""
        gone = self.files.pop(file)
        self.release(len(gone.reserved) - len(gone.pages))


class KernelFiles:
    """The files of shared anonymous memory and of huge pages; one for the machine.

    Parameters
    ----------
    hugetlb
        The pools by page size in bytes; the first is of the default size.
    shmem_minor, shmem_inode
        The device number of the shared-memory mount, and the inode of the next file there.
    """

    def __init__(
        self,
        hugetlb: dict[int, HugetlbPool] | None = None,
        shmem_minor: int = 1,
        shmem_inode: int = 2,
    ) -> None:
        self.hugetlb = hugetlb if hugetlb is not None else {}
        self._shmem_minor = shmem_minor
        self._shmem_inodes = count(shmem_inode)

    def open_shmem(self) -> File:
        """Return a new file for MAP_SHARED with MAP_ANONYMOUS. [shmem_zero_setup]"""
        inode = next(self._shmem_inodes)
        return File("/dev/zero (deleted)", 0, self._shmem_minor, inode, is_shmem=True)

    def open_sysv(self, key: int, segment: int) -> File:
        """Return a new segment of System V shared memory, its id in place of the inode. [newseg]"""
        next(self._shmem_inodes)
        return File(f"/SYSV{key:08x} (deleted)", 0, self._shmem_minor, segment, has_close=True,
                    is_shmem=True)

    def open_hugetlb(self, size_log2: int) -> File:
        """Return a new file of huge pages for MAP_HUGETLB; a log2 of 0 is the default size.

        Raise ``SysError(EINVAL)`` for a size that has no pool. [hugetlb_file_setup]
        """
        size = 1 << size_log2 if size_log2 else next(iter(self.hugetlb), 0)
        pool = self.hugetlb.get(size)
        if pool is None:
            raise SysError(errno.EINVAL)
        inode = pool.next_inode
        pool.next_inode += 1
        return File("/anon_hugepage (deleted)", 0, pool.minor, inode, has_close=True,
                    huge_page_bytes=size)
