"""Making holes in files. [fallocate(2), vfs_fallocate in fs/open.c]

Of the file systems there are tmpfs, whose pages are shared memory, and one for all other files with
blocks of a page, as ext4 has them. [shmem_fallocate, ext4_fallocate]
"""

import errno

from ..address_space.errors import SysError
from ..address_space.vma import File
from ..x86 import PAGE_BYTES
from .state import KernelState
from .truncate import punch_hole
from .write_back import fsync_range

__all__ = ["FallocFlag", "fallocate"]


class FallocFlag:
    """What ``fallocate`` is to do; 0 is to allocate. [``FALLOC_FL_*``]"""

    KEEP_SIZE = 1
    PUNCH_HOLE = 2


def fallocate(state: KernelState, file: File, mode: int, offset: int, length: int) -> None:
    """Make a range of bytes of an open file a hole.

    Raise ``SysError``: EINVAL for a range that is empty or negative; EOPNOTSUPP for a mode that is
    not there, or a file without bytes; EBADF for a file that is not open for writing.
    """
    if offset < 0 or length <= 0:
        raise SysError(errno.EINVAL)
    if mode != FallocFlag.PUNCH_HOLE | FallocFlag.KEEP_SIZE:
        raise SysError(errno.EOPNOTSUPP)
    if not file.writable:
        raise SysError(errno.EBADF)
    try:
        space = state.page_cache.space(file)
    except KeyError:
        raise SysError(errno.EOPNOTSUPP) from None
    end = offset + length
    if space.content is not None:
        fsync_range(state, file, offset // PAGE_BYTES, -(-end // PAGE_BYTES))
    punch_hole(state, file, offset, end)
