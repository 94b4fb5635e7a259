"""Shared anonymous memory: a file of the size of the mapping, and what it was promised.

All pages are promised with the file, unless it was mapped with MAP_NORESERVE: then each when it
comes into being, which ``kernel.shmem`` does. The file keeps its size when the mapping grows, and
goes with the last mapping of all processes. [mm/shmem.c]
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ..x86 import PAGE_SHIFT
from .kernel_files import Inode
from .mm_state import MmState
from .vma import File, VmFlag, page_align

__all__ = ["map_shmem", "promised_pages", "putting_files"]


def promised_pages(inode: Inode, size: int) -> int:
    """Return how many pages a file of so many bytes has promised as a whole. [shmem_acct_size]"""
    return 0 if inode.noreserve else page_align(size) >> PAGE_SHIFT


def map_shmem(mm: MmState, length: int, flags: int) -> File:
    """Return the file of a new shared anonymous mapping with ``flags``, of ``length`` bytes.

    Raise ``SysError(ENOMEM)`` if so much cannot be promised. [shmem_zero_setup]
    """
    noreserve = bool(flags & VmFlag.NORESERVE)
    if not noreserve:
        mm.commit.charge(length >> PAGE_SHIFT, mm.total_vm, privileged=mm.privileged)
    return mm.files.open_shmem(length, noreserve=noreserve)


@contextmanager
def putting_files(mm: MmState) -> Iterator[None]:
    """When what happens within has ended, end the files whose last user went meanwhile.

    Linux does so when a call returns to its program: what MAP_FIXED replaces still counts for
    what comes in its place. [fput, shmem_evict_inode]
    """
    try:
        yield
    finally:
        for file, inode in mm.files.take_unused():
            mm.page_tables.evict(file, inode)
            if file.is_shmem:
                mm.commit.uncharge(promised_pages(inode, inode.size))
