"""The sizes of files, and how they change. [do_truncate in fs/open.c, fs/attr.c]"""

import errno

from ..address_space.errors import SysError
from ..address_space.kernel_files import MAX_FILE_BYTES, Seal
from ..address_space.limits import Rlimits
from ..address_space.shmem_mapping import promised_pages
from ..address_space.vma import File
from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .page_cache import CachedFile
from .state import KernelState
from .truncate import EVERYTHING, forget_beyond, truncate_range, unmap_mapping_range

__all__ = ["check_new_size", "ftruncate", "max_bytes"]

MAX_BLOCKS = (1 << 32) - 1  # of a page, of a file with extents [ext4_max_size]
MAX_INDEX = (1 << 32) - 1  # of a page on a 32-bit machine [MAX_LFS_FILESIZE]


def max_bytes(state: KernelState, space: CachedFile) -> int:
    """Return how many bytes a file may have. [s_maxbytes]"""
    if space.content is not None:
        return MAX_BLOCKS << PAGE_SHIFT
    return MAX_FILE_BYTES if state.mode.vaddr_bits == 64 else MAX_INDEX << PAGE_SHIFT


def check_new_size(state: KernelState, space: CachedFile, size: int, rlimits: Rlimits) -> None:
    """Raise ``SysError(EFBIG)`` if a file may not grow to a size.

    Linux sends SIGXFSZ, too, if it is RLIMIT_FSIZE that forbids it; nobody gets that here.
    [inode_newsize_ok]
    """
    if size > space.inode.size and size > min(max_bytes(state, space), rlimits.file_size):
        raise SysError(errno.EFBIG)


def ftruncate(state: KernelState, file: File, size: int, rlimits: Rlimits) -> None:
    """Give an open file so many bytes: what is beyond is gone, from all mappings, too.

    What a mapping has stored between the old end and the new one is there then. Private copies go
    with the rest. Raise ``SysError``: EINVAL for a file not open for writing, or without bytes;
    EFBIG as ``check_new_size``; EPERM for what is sealed; ENOMEM for what cannot be promised; and
    as ``truncate_range`` for the page that the new end is in. [do_sys_ftruncate]
    """
    try:
        space = state.page_cache.space(file)
    except KeyError:
        raise SysError(errno.EINVAL) from None
    if not file.writable:
        raise SysError(errno.EINVAL)
    check_new_size(state, space, size, rlimits)
    old = space.inode.size
    if space.content is None:
        _reaccount(state, space, size)
    space.set_size(size)
    if size <= old:
        start = -(-size // PAGE_BYTES) * PAGE_BYTES
        unmap_mapping_range(state, file, start, EVERYTHING, even_cows=True)
        truncate_range(state, space, size, EVERYTHING)
    elif space.content is not None:  # ext4 does so however the size changes
        forget_beyond(state, space, size)


def _reaccount(state: KernelState, space: CachedFile, size: int) -> None:
    """Check the seals of shared memory, and have its new size promised. [shmem_setattr]"""
    inode = space.inode
    if inode.seals & (Seal.SHRINK if size < inode.size else 0) or (
            inode.seals & (Seal.GROW if size > inode.size else 0)):
        raise SysError(errno.EPERM)
    more = promised_pages(inode, size) - promised_pages(inode, inode.size)
    if more > 0:
        state.charge(more)
    else:
        state.commit.uncharge(-more)
