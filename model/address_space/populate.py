"""Making the pages of mappings present before they are touched. [mm/gup.c]"""

import errno

from .errors import SysError
from .mm_state import MmState
from .vma import Vma, VmFlag

__all__ = ["faultin_vma", "mm_populate", "populate_vma"]

WITHOUT_PAGES = VmFlag.IO | VmFlag.PFNMAP
"""Mappings of frames that the kernel does not count as pages."""


def mm_populate(mm: MmState, start: int, end: int, *, ignore_errors: bool = True) -> None:
    """Make the pages of all mappings of a range present, as far as possible.

    At the first page that cannot be had, the rest of its mapping is passed over; or, without
    ``ignore_errors``, ``SysError`` is raised as by ``populate_vma``. Holes and device memory are
    passed over. [__mm_populate]
    """
    for vma in mm.tree.overlapping(start, end):
        if vma.flags & WITHOUT_PAGES:
            continue
        try:
            populate_vma(mm, vma, max(start, vma.start), min(end, vma.end))
        except SysError:
            if not ignore_errors:
                raise


def populate_vma(mm: MmState, vma: Vma, start: int, end: int) -> None:
    """Make the pages of a range of ``vma`` present, as writes would if it is private and writable.

    Memory that is locked only when it is touched is left alone. Raise ``SysError(EFAULT)`` at a
    page that cannot be had, or at once if the mapping permits no access.
    [populate_vma_page_range]
    """
    if vma.flags & VmFlag.LOCKONFAULT:
        return
    write = vma.flags & (VmFlag.WRITE | VmFlag.SHARED) == VmFlag.WRITE
    if not write and not vma.flags & VmFlag.READ and not (
            vma.flags & VmFlag.ACCESS and vma.flags & VmFlag.MAYREAD):
        raise SysError(errno.EFAULT)
    mm.page_tables.populate(vma, start, end, write)


def faultin_vma(mm: MmState, vma: Vma, start: int, end: int, *, write: bool) -> None:
    """Make the pages of a range of ``vma`` present as reads or writes by the process would.

    Raise ``SysError``: EINVAL if the process may not make them, or the mapping is of device memory;
    EFAULT at a page that cannot be had. [faultin_vma_page_range, madvise_populate]
    """
    if vma.flags & WITHOUT_PAGES or not vma.flags & (VmFlag.WRITE if write else VmFlag.READ):
        raise SysError(errno.EINVAL)
    mm.page_tables.populate(vma, start, end, write)
