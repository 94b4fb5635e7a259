"""What the machine knows of files, and those that the kernel opens on its own mounts."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from .errors import SysError
from .vma import File

__all__ = ["HugeFile", "HugetlbPool", "Inode", "KernelFiles", "Seal"]

MAX_FILE_BYTES = (1 << 63) - 1
"""The most that a file can have. [MAX_LFS_FILESIZE]"""


class Seal:
    """What is forbidden of a file: to seal it further, to shrink, to grow, and to write to it.

    FUTURE_WRITE leaves those mappings writable that there are. [``F_SEAL_*``]
    """

    SEAL = 1
    SHRINK = 2
    GROW = 4
    WRITE = 8
    FUTURE_WRITE = 16

    ANY_WRITE = WRITE | FUTURE_WRITE


@dataclass(slots=True, eq=False)
class Inode:
    """A file, however often it is open or mapped. [struct inode, struct shmem_inode_info]

    Members
    -------
    size
        Its bytes: pages beyond are a bus error. [i_size]
    noreserve
        Whether the pages of shared memory are promised one by one as they come into being, not all
        of them with the file. [VM_NORESERVE]
    allocated
        Pages of shared memory that are counted, in memory or in swap; those that reclaim drops
        are so until the file is looked at again. [alloced]
    seals
        What may not be done to shared memory any more, bits of ``Seal``.
    nameless, users
        Whether it goes with its last user, and how many mappings and open files use it.
    named
        Whether users are counted before it is nameless; those of other files are not. [i_nlink,
        f_count]
    """

    size: int = 0
    noreserve: bool = False
    allocated: int = 0
    seals: int = Seal.SEAL
    nameless: bool = False
    users: int = 0
    named: bool = False


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
    """The files that there are, those of shared anonymous memory and of huge pages among them.

    One for the machine.

    Parameters
    ----------
    hugetlb
        The pools by page size in bytes; the first is of the default size.
    shmem_minor, shmem_inode
        The device number of the shared-memory mount, and the inode of the next file there.

    Members
    -------
    inodes
        What is known of each file but those of huge pages.
    """

    def __init__(
        self,
        hugetlb: dict[int, HugetlbPool] | None = None,
        shmem_minor: int = 1,
        shmem_inode: int = 2,
    ) -> None:
        self.hugetlb = hugetlb if hugetlb is not None else {}
        self.inodes: dict[File, Inode] = {}
        self._unused: list[File] = []
        self._shmem_minor = shmem_minor
        self._shmem_inodes = count(shmem_inode)

    def open_shmem(self, size: int = 0, *, noreserve: bool = False) -> File:
        """Return a new file for MAP_SHARED with MAP_ANONYMOUS. [shmem_zero_setup]

        It has ``size`` bytes, which the caller has had promised unless ``noreserve``.
        """
        file = File("/dev/zero (deleted)", 0, self._shmem_minor, next(self._shmem_inodes),
                    is_shmem=True)
        self.inodes[file] = Inode(size, noreserve, nameless=True)
        return file

    def open_memfd(self, name: str, *, sealable: bool) -> File:
        """Return a new file of shared memory without bytes, for ``memfd_create``.

        Its pages are promised one by one. [shmem_file_setup]
        """
        file = File(f"/memfd:{name} (deleted)", 0, self._shmem_minor, next(self._shmem_inodes),
                    is_shmem=True)
        self.inodes[file] = Inode(noreserve=True, seals=0 if sealable else Seal.SEAL,
                                  nameless=True)
        return file

    def open_sysv(self, key: int, segment: int, size: int) -> File:
        """Return a new segment of System V shared memory, its id in place of the inode. [newseg]

        The rest is as for ``open_shmem``. It goes with its last mapping, as one does that is marked
        to be destroyed. [IPC_RMID]
        """
        next(self._shmem_inodes)
        file = File(f"/SYSV{key:08x} (deleted)", 0, self._shmem_minor, segment, has_close=True,
                    is_shmem=True)
        self.inodes[file] = Inode(size, nameless=True)
        return file

    def inode(self, file: File) -> Inode:
        """Return what is known of a file; raise ``KeyError`` for one that was not registered.

        One of tmpfs that was not is as large as a file can be, a hole, and goes with its last user.
        """
        file = file.key
        if file.is_shmem and file not in self.inodes:
            self.inodes[file] = Inode(MAX_FILE_BYTES, noreserve=True, nameless=True)
        return self.inodes[file]

    def get(self, file: File) -> None:
        """Count one more user of a file. [get_file]"""
        file = file.key
        if file.is_shmem or file in self.inodes:
            inode = self.inode(file)
            inode.users += inode.nameless or inode.named

    def put(self, file: File) -> None:
        """Count one user of a file less; the last leaves it to ``take_unused``. [fput]"""
        inode = self.inodes.get(file.key)
        if inode is not None and (inode.nameless or inode.named):
            inode.users -= 1
            if not inode.users and inode.nameless:
                self._unused.append(file.key)

    def lose_name(self, file: File) -> None:
        """Note that a file has no name any more: it goes with its last user. [clear_nlink]"""
        inode = self.inodes[file.key]
        inode.nameless = True
        if not inode.users:
            self._unused.append(file.key)

    def take_unused(self) -> Iterator[tuple[File, Inode]]:
        """Yield, and forget, the files whose last user has gone. [delayed_fput, iput_final]"""
        while self._unused:
            file = self._unused.pop(0)
            inode = self.inodes.get(file)
            if inode is not None and not inode.users:
                del self.inodes[file]
                yield file, inode

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
