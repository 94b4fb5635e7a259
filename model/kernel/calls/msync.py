"""Writing back what a process has mapped shared. [mm/msync.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.mm import Mm
from ...address_space.uapi import MsyncFlag
from ...address_space.vma import VmFlag, page_align
from ...x86 import PAGE_BYTES, PAGE_SHIFT
from ..state import KernelState
from ..write_back import fsync_range

__all__ = ["msync"]


def msync(state: KernelState, mm: Mm, start: int, length: int, flags: int) -> None:
    """Write back what is dirty of the files that a range maps shared, if MS_SYNC is set.

    Raise ``SysError``: EINVAL for bad flags or a start within a page; EBUSY for MS_INVALIDATE of
    locked memory; ENOMEM for a range that ends before it begins, and for one with holes, after the
    rest is done.
    """
    known = MsyncFlag.ASYNC | MsyncFlag.INVALIDATE | MsyncFlag.SYNC
    both = MsyncFlag.ASYNC | MsyncFlag.SYNC
    if flags & ~known or start & (PAGE_BYTES - 1) or flags & both == both:
        raise SysError(errno.EINVAL)
    limit = 1 << 8 * mm.space.word_bytes
    end = start + page_align(length) % limit
    if end >= limit:
        raise SysError(errno.ENOMEM)
    has_hole = False
    while start < end:
        vma = mm.find_vma(start)
        if vma is None or vma.start >= end or (start < vma.start and flags == MsyncFlag.ASYNC):
            raise SysError(errno.ENOMEM)
        has_hole |= start < vma.start
        start = max(start, vma.start)
        if flags & MsyncFlag.INVALIDATE and vma.flags & VmFlag.LOCKED:
            raise SysError(errno.EBUSY)
        stop = min(end, vma.end)
        if flags & MsyncFlag.SYNC and vma.file is not None and vma.flags & VmFlag.SHARED:
            first = vma.pgoff_of(start)
            fsync_range(state, vma.file, first, first + (stop - start >> PAGE_SHIFT))
        start = vma.end
    if has_hole:
        raise SysError(errno.ENOMEM)
