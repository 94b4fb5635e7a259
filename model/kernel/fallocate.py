"""Allocating room in files, and making holes. [fallocate(2), vfs_fallocate in fs/open.c]

Of the file systems there are tmpfs, whose pages are shared memory, and one for all other files with
blocks of a page, as ext4 has them; on its disk there is always room, so that to allocate changes
nothing but sizes. In files of huge pages there are only holes. Modes that only some file systems
have are left out: FALLOC_FL_COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE, UNSHARE_RANGE.
[shmem_fallocate, ext4_fallocate, hugetlbfs_fallocate]
"""

import errno

from ..address_space.errors import SysError
from ..address_space.kernel_files import Seal
from ..address_space.limits import Rlimits
from ..address_space.vma import File
from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .fault_cause import NotPromised
from .file_size import check_new_size, max_bytes
from .hugetlb_hole import punch_huge_hole
from .page_cache import CachedFile
from .state import KernelState
from .truncate import drop_unwritten, punch_hole
from .write_back import fsync_range

__all__ = ["FallocFlag", "fallocate"]


class FallocFlag:
    """What ``fallocate`` is to do; 0 is to allocate. [``FALLOC_FL_*``]"""

    KEEP_SIZE = 0x01
    PUNCH_HOLE = 0x02
    COLLAPSE_RANGE = 0x08
    ZERO_RANGE = 0x10
    INSERT_RANGE = 0x20
    UNSHARE_RANGE = 0x40

    ANY = KEEP_SIZE | PUNCH_HOLE | COLLAPSE_RANGE | ZERO_RANGE | INSERT_RANGE | UNSHARE_RANGE


def fallocate(state: KernelState, file: File, mode: int, offset: int, length: int,
              rlimits: Rlimits) -> None:
    """Allocate a range of bytes of an open file, or make it a hole.

    Raise ``SysError``: EINVAL for a range that is empty or negative; EOPNOTSUPP and EINVAL for
    modes that are not there; EBADF for a file that is not open for writing; ENODEV for a device;
    EFBIG beyond what a file may have; EPERM for what is sealed; ENOSPC for pages that cannot be
    promised, and ENOMEM for which there is no room. Raise as ``punch_hole``.
    """
    if offset < 0 or length <= 0:
        raise SysError(errno.EINVAL)
    _check_mode(mode)
    if not file.writable:
        raise SysError(errno.EBADF)
    if file.vm_flags:
        raise SysError(errno.ENODEV)
    end = offset + length
    if file.huge_page_bytes and mode == FallocFlag.PUNCH_HOLE | FallocFlag.KEEP_SIZE:
        punch_huge_hole(state, file, offset, end)
        return
    try:
        space = state.page_cache.space(file)
    except KeyError:
        raise SysError(errno.EOPNOTSUPP) from None
    if end > max_bytes(state, space):
        raise SysError(errno.EFBIG)
    if mode & ~(FallocFlag.KEEP_SIZE | FallocFlag.PUNCH_HOLE):
        raise SysError(errno.EOPNOTSUPP)
    if mode & FallocFlag.PUNCH_HOLE:
        _punch(state, file, space, offset, end)
    else:
        _allocate(state, space, offset, end, rlimits, keep_size=bool(mode & FallocFlag.KEEP_SIZE))


def _check_mode(mode: int) -> None:
    """Raise ``SysError`` for flags that do not go together. [vfs_fallocate]"""
    flag = FallocFlag
    hole, alone = mode & flag.PUNCH_HOLE, (flag.COLLAPSE_RANGE, flag.INSERT_RANGE)
    if mode & ~flag.ANY or (hole and (mode & flag.ZERO_RANGE or not mode & flag.KEEP_SIZE)):
        raise SysError(errno.EOPNOTSUPP)
    if any(mode & one and mode & ~one for one in alone) or (
            mode & flag.UNSHARE_RANGE and mode & ~(flag.UNSHARE_RANGE | flag.KEEP_SIZE)):
        raise SysError(errno.EINVAL)


def _punch(state: KernelState, file: File, space: CachedFile, start: int, end: int) -> None:
    if space.content is not None:
        fsync_range(state, file, start // PAGE_BYTES, -(-end // PAGE_BYTES))
    elif space.inode.seals & Seal.ANY_WRITE:
        raise SysError(errno.EPERM)
    punch_hole(state, file, start, end)


def _allocate(state: KernelState, space: CachedFile, start: int, end: int, rlimits: Rlimits, *,
              keep_size: bool) -> None:
    """Allocate a range; the file grows to hold it unless ``keep_size``.

    tmpfs looks at the limits even if it does not grow.
    """
    grows = end > space.inode.size and not keep_size
    if space.content is None or grows:
        check_new_size(state, space, end, rlimits)
    if space.content is None:
        if space.inode.seals & Seal.GROW and end > space.inode.size:
            raise SysError(errno.EPERM)
        _preallocate(state, space, start >> PAGE_SHIFT, -(-end // PAGE_BYTES))
    if grows:
        space.set_size(end)


def _preallocate(state: KernelState, space: CachedFile, first: int, end: int) -> None:
    """Have the pages of a range of shared memory, or none of those that were not there before.

    It gives up when reclaim looks for room among the new pages more often than it gets some.
    [shmem_fallocate]
    """
    made, index = 0, first
    space.refused = 0
    try:
        for index in range(first, end):
            space.allocating = range(first, index)
            if space.refused > made:
                raise SysError(errno.ENOMEM)
            state.shmem.preallocate(space, index)
            made += index in space.unwritten
    except BaseException as error:
        drop_unwritten(state, space, first, index)
        if isinstance(error, NotPromised):
            raise SysError(errno.ENOSPC) from error
        raise
    finally:
        space.allocating = range(0)
