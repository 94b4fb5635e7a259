"""Mappings of huge pages and what they reserve of a pool. [mm/hugetlb.c, fs/hugetlbfs/inode.c]

A private mapping reserves all its pages for the process that made it; a forked child has no claim
to them. A shared mapping reserves for its file those pages that no mapping before it has reserved.
A page that comes into being uses up its reserve for good. Reserves that are not used go back to the
pool when the private mapping ends, or the last shared mapping of the file: files have no names
here, and end with it.
"""

import errno

from ..x86 import PAGE_SHIFT
from .errors import SysError
from .kernel_files import HugeFile, HugetlbPool
from .mm_state import MmState
from .vma import File, Vma, VmFlag

__all__ = ["clear_reserve", "close_huge", "commit_reservation", "huge_index", "map_huge",
           "needs_reservation", "open_huge", "unused_reserve"]


def huge_index(vma: Vma, address: int) -> int:
    """Return the number that the huge page at ``address`` has in its file. [hugecache_offset]"""
    return vma.pgoff_of(address) // (vma.page_bytes >> PAGE_SHIFT)


def _indices(vma: Vma, start: int, end: int) -> range:
    return range(huge_index(vma, start), huge_index(vma, end))


def _file_of(vma: Vma) -> File:
    assert vma.file is not None, "only files have huge pages"
    return vma.file


def map_huge(mm: MmState, vma: Vma) -> None:
    """Make a new mapping one of huge pages, and set pages aside for it.

    Raise ``SysError``: EINVAL if its offset into the file is no multiple of a huge page, or if the
    machine has no huge pages of that size; ENOMEM if the pool has too few.
    [hugetlbfs_file_mmap, hugetlb_reserve_pages]
    """
    file = _file_of(vma)
    pool = mm.files.hugetlb.get(file.huge_page_bytes)
    vma.flags |= VmFlag.HUGETLB | VmFlag.DONTEXPAND
    if pool is None or vma.pgoff % (file.huge_page_bytes >> PAGE_SHIFT):
        raise SysError(errno.EINVAL)
    inode = pool.files.get(file) or HugeFile()
    if not vma.flags & VmFlag.NORESERVE:
        wanted = set(_indices(vma, vma.start, vma.end))
        if vma.flags & VmFlag.MAYSHARE:
            pool.reserve(len(wanted - inode.reserved))
            inode.reserved |= wanted
        else:
            pool.reserve(len(wanted))
            vma.resv_map = set()
    pool.files[file] = inode
    inode.mappings += 1


def open_huge(mm: MmState, vma: Vma) -> None:
    """Count one more mapping of a file, made by cutting or copying one. [hugetlb_vm_op_open]"""
    mm.files.hugetlb[vma.page_bytes].files[_file_of(vma)].mappings += 1


def close_huge(mm: MmState, vma: Vma) -> None:
    """Give back the unused reserve of a mapping that ends. [hugetlb_vm_op_close]"""
    pool, file = mm.files.hugetlb[vma.page_bytes], _file_of(vma)
    pool.release(unused_reserve(vma))
    pool.files[file].mappings -= 1
    if not pool.files[file].mappings:
        pool.evict(file)


def unused_reserve(vma: Vma) -> int:
    """Return how many huge pages a private mapping may still claim."""
    if vma.resv_map is None:
        return 0
    indices = _indices(vma, vma.start, vma.end)
    return len(indices) - sum(index in vma.resv_map for index in indices)


def clear_reserve(vma: Vma, start: int, end: int) -> None:
    """Leave the reserve of a range to the mapping that its pages were moved to.

    The rest of the mapping keeps its reserve, which Linux loses. [clear_vma_resv_huge_pages]
    """
    if vma.resv_map is not None:
        vma.resv_map = vma.resv_map.union(_indices(vma, start, end))


def needs_reservation(pool: HugetlbPool, vma: Vma, index: int) -> bool:
    """Return whether a page that is not there has no reserve. [vma_needs_reservation]

    ``index`` is its number in the file, as ``huge_index`` returns it.
    """
    if vma.flags & VmFlag.MAYSHARE:
        return index not in pool.files[_file_of(vma)].reserved
    return vma.resv_map is None or index in vma.resv_map


def commit_reservation(pool: HugetlbPool, vma: Vma, index: int) -> None:
    """Note that page ``index`` of the file has come into being. [vma_commit_reservation]"""
    if vma.flags & VmFlag.MAYSHARE:
        pool.files[_file_of(vma)].reserved.add(index)
    elif vma.resv_map is not None:
        vma.resv_map.add(index)
