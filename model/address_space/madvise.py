"""Advice about a range: flags of mappings, or hints about their pages. [mm/madvise.c]"""

import errno

from ..x86 import PAGE_BYTES
from .errors import SysError
from .merge import set_flags
from .mm_state import MmState
from .populate import faultin_vma
from .uapi import Madvise
from .vma import Vma, VmFlag, page_align

__all__ = ["madvise"]

# For each advice that changes flags: those it takes away, those it adds.
FLAG_CHANGES = {
    Madvise.NORMAL: (VmFlag.RAND_READ | VmFlag.SEQ_READ, 0),
    Madvise.SEQUENTIAL: (VmFlag.RAND_READ, VmFlag.SEQ_READ),
    Madvise.RANDOM: (VmFlag.SEQ_READ, VmFlag.RAND_READ),
    Madvise.DONTFORK: (0, VmFlag.DONTCOPY),
    Madvise.DOFORK: (VmFlag.DONTCOPY, 0),
    Madvise.WIPEONFORK: (0, VmFlag.WIPEONFORK),
    Madvise.KEEPONFORK: (VmFlag.WIPEONFORK, 0),
    Madvise.DONTDUMP: (0, VmFlag.DONTDUMP),
    Madvise.DODUMP: (VmFlag.DONTDUMP, 0),
    Madvise.MERGEABLE: (0, VmFlag.MERGEABLE),
    Madvise.UNMERGEABLE: (VmFlag.MERGEABLE, 0),
    Madvise.HUGEPAGE: (VmFlag.NOHUGEPAGE, VmFlag.HUGEPAGE),
    Madvise.NOHUGEPAGE: (VmFlag.HUGEPAGE, VmFlag.NOHUGEPAGE),
}
DISCARDS = (Madvise.DONTNEED, Madvise.DONTNEED_LOCKED)
PAGE_HINTS = (Madvise.WILLNEED, Madvise.FREE, Madvise.REMOVE, Madvise.COLD, Madvise.PAGEOUT,
              Madvise.COLLAPSE)
INJECTIONS = (Madvise.HWPOISON, Madvise.SOFT_OFFLINE)
POPULATES = (Madvise.POPULATE_READ, Madvise.POPULATE_WRITE)
NOT_RECLAIMED = VmFlag.LOCKED | VmFlag.PFNMAP | VmFlag.HUGETLB
NEVER_SAME_PAGE = VmFlag.SHARED | VmFlag.MAYSHARE | VmFlag.SPECIAL | VmFlag.HUGETLB
"""Mappings whose pages kernel same-page merging never merges."""


def madvise(mm: MmState, start: int, length: int, advice: int) -> None:
    """Take advice about a range; see ``Mm.madvise``. [do_madvise, madvise_walk_vmas]"""
    injects = advice in INJECTIONS and mm.space.word_bytes == 8
    if not injects and advice not in FLAG_CHANGES and (
            advice not in DISCARDS + PAGE_HINTS + POPULATES):
        raise SysError(errno.EINVAL)
    end = start + page_align(length)
    if start & (PAGE_BYTES - 1) or end >= 1 << 8 * mm.space.word_bytes:
        raise SysError(errno.EINVAL)
    if injects and start < end:  # pages that fail are not modelled  [madvise_inject_error]
        raise SysError(errno.EOPNOTSUPP if mm.privileged else errno.EPERM)
    has_hole = False
    while start < end:
        vma = mm.tree.find(start)
        if vma is None or vma.start >= end:
            has_hole = True
            break
        has_hole |= start < vma.start
        start = max(start, vma.start)
        stop = min(end, vma.end)
        start = max(stop, _advise(mm, vma, start, stop, advice).end)
    if has_hole:
        raise SysError(errno.ENOMEM)


def _advise(mm: MmState, vma: Vma, start: int, end: int, advice: int) -> Vma:
    """Advise about part of a mapping; return the mapping that then holds it.

    [madvise_vma_behavior]
    """
    if advice in DISCARDS:
        _discard(mm, vma, start, end, advice)
        return vma
    if advice in POPULATES:
        faultin_vma(mm, vma, start, end, write=advice == Madvise.POPULATE_WRITE)
        return vma
    if advice in PAGE_HINTS:
        _check_hint(vma, advice)
        mm.page_tables.advise(vma, start, end, advice)
        return vma
    _check_change(vma, advice)
    remove, add = FLAG_CHANGES[advice]
    if advice == Madvise.MERGEABLE and vma.flags & NEVER_SAME_PAGE:
        add = 0
    flags = vma.flags & ~remove | add
    if flags == vma.flags:
        return vma
    previous = vma if vma.start < start else mm.tree.neighbours(vma)[0]
    try:
        return set_flags(mm, vma, previous, start, end, flags)
    except SysError as error:
        raise SysError(errno.EAGAIN if error.errno == errno.ENOMEM else error.errno) from error


def _discard(mm: MmState, vma: Vma, start: int, end: int, advice: int) -> None:
    """Drop the pages of a range. [madvise_dontneed_free]"""
    if vma.flags & VmFlag.HUGETLB:
        if start % vma.page_bytes:
            raise SysError(errno.EINVAL)
        end -= end % vma.page_bytes
    elif vma.flags & (VmFlag.PFNMAP | (VmFlag.LOCKED if advice == Madvise.DONTNEED else 0)):
        raise SysError(errno.EINVAL)
    if start < end:
        mm.page_tables.discard(vma, start, end)


def _check_hint(vma: Vma, advice: int) -> None:
    """Raise ``SysError`` if a hint does not fit the pages of a mapping."""
    if advice == Madvise.FREE and (not vma.is_anonymous or vma.flags & NOT_RECLAIMED):
        raise SysError(errno.EINVAL)
    if advice in (Madvise.COLD, Madvise.PAGEOUT) and vma.flags & NOT_RECLAIMED:
        raise SysError(errno.EINVAL)
    if advice == Madvise.REMOVE:
        if vma.flags & VmFlag.LOCKED or vma.file is None:
            raise SysError(errno.EINVAL)
        if not vma.flags & VmFlag.SHARED or not vma.flags & VmFlag.MAYWRITE:
            raise SysError(errno.EACCES)


def _check_change(vma: Vma, advice: int) -> None:
    """Raise ``SysError(EINVAL)`` if a mapping cannot have the flags of an advice."""
    shared = vma.file is not None or vma.flags & VmFlag.SHARED
    special = vma.flags & VmFlag.SPECIAL and not vma.flags & VmFlag.HUGETLB
    if ((advice == Madvise.DOFORK and vma.flags & VmFlag.IO)
            or (advice == Madvise.WIPEONFORK and shared)
            or (advice == Madvise.DODUMP and special)):
        raise SysError(errno.EINVAL)
