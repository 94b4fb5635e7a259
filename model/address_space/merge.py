"""Merging and splitting mappings, by the rules of Linux 6.1. [mm/mmap.c]

Two adjacent mappings merge if they have the same flags (but for soft-dirty) and the same file at
offsets that continue, if no driver wants to hear of their end, and if their anonymous pages can
point to one anon_vma.
"""

import errno

from ..x86 import PAGE_SHIFT
from .anon_vma import anon_vma_clone, may_share_anon_vma
from .errors import SysError
from .hugetlb_mapping import open_huge
from .mm_state import MmState
from .vma import AnonVma, File, Vma, VmFlag

__all__ = ["can_merge_after", "can_merge_before", "expand", "set_flags", "split", "vma_merge"]


def _is_mergeable(vma: Vma, flags: int, file: File | None) -> bool:
    """Return whether flags and file are such that ``vma`` may grow. [is_mergeable_vma]"""
    return (not (vma.flags ^ flags) & ~VmFlag.SOFTDIRTY and vma.file is file
            and not vma.has_close)


def can_merge_before(
    vma: Vma, flags: int, anon_vma: AnonVma | None, file: File | None, end_pgoff: int
) -> bool:
    """Return whether a range that ends at page offset ``end_pgoff`` may be put before ``vma``.

    [can_vma_merge_before]
    """
    return (_is_mergeable(vma, flags, file)
            and may_share_anon_vma(anon_vma, vma.anon_vma, vma) and vma.pgoff == end_pgoff)


def can_merge_after(
    vma: Vma, flags: int, anon_vma: AnonVma | None, file: File | None, pgoff: int
) -> bool:
    """Return whether a range that starts at page offset ``pgoff`` may be put after ``vma``.

    [can_vma_merge_after]
    """
    return (_is_mergeable(vma, flags, file)
            and may_share_anon_vma(anon_vma, vma.anon_vma, vma) and vma.pgoff + vma.pages == pgoff)


def vma_merge(
    mm: MmState,
    previous: Vma | None,
    start: int,
    end: int,
    flags: int,
    anon_vma: AnonVma | None,
    file: File | None,
    pgoff: int,
) -> Vma | None:
    """Make a range part of its neighbours if possible; return the mapping that then holds it.

    Return None if no neighbour can grow. The range is a hole, or part of one mapping whose flags
    are to become ``flags``; ``anon_vma``, ``file`` and ``pgoff`` are what it has or would have.
    ``previous`` is the mapping that starts before it: the one that holds it or ends at or before
    its start. The mapping returned keeps its own flags, which differ at most in soft-dirty.
    [vma_merge]

    What happens depends only on which neighbours may grow over the range; ``_absorb`` finds out
    what they take away. In the kernel's numbers for the cases:

    ======================  ====  ==========  ==========
    the range is            both  lower only  upper only
    ======================  ====  ==========  ==========
    a hole                  1     2           3
    a mapping's first part  --    5           --
    a mapping's last part   --    --          4
    all of a mapping        6     7           8
    ======================  ====  ==========  ==========
    """
    if flags & VmFlag.SPECIAL:
        return None
    before, after = _growing(mm, previous, start, end, flags, anon_vma, file, pgoff)
    # Each may grow over the range; to become one, the two must fit each other as well.
    if before is not None and after is not None and may_share_anon_vma(
            before.anon_vma, after.anon_vma, None):
        _absorb(mm, before, before.start, after.end)
        return before
    if before is not None:
        _absorb(mm, before, before.start, end)
        return before
    if after is not None:
        _absorb(mm, after, start, after.end)
        return after
    return None


def _growing(
    mm: MmState, previous: Vma | None, start: int, end: int, flags: int, anon_vma: AnonVma | None,
    file: File | None, pgoff: int,
) -> tuple[Vma | None, Vma | None]:
    """Return the mappings before and after a range that may grow over it, None in place of others.

    The range and what it has or would have are as for ``vma_merge``.
    """
    # The mapping after the range: the first beyond ``previous``, unless the range is all of that.
    inside = mm.tree.find(previous.end if previous is not None else 0)
    following = inside
    if following is not None and following.end == end:
        following = mm.tree.find(end)
    before, after = previous, following
    if before is not None and not (
            before.end == start and can_merge_after(before, flags, anon_vma, file, pgoff)):
        before = None
    end_pgoff = pgoff + ((end - start) >> PAGE_SHIFT)
    if after is not None and not (
            end == after.start and can_merge_before(after, flags, anon_vma, file, end_pgoff)):
        after = None
    return before, after


def expand(mm: MmState, vma: Vma, start: int, end: int) -> None:
    """Let a mapping grow over a hole, and over a whole mapping beyond the hole. [vma_expand]"""
    _absorb(mm, vma, start, end)


def _absorb(mm: MmState, vma: Vma, start: int, end: int) -> None:
    """Give ``vma`` a larger range; mappings that lie in it are cut short or removed.

    Accounts do not change, as the pages stay mapped. If ``vma`` has no anon_vma, it takes over that
    of the first mapping that has one, as the pages it gets point there. [__vma_adjust]
    """
    others = [one for one in mm.tree.overlapping(start, end) if one is not vma]
    exporter = next((one for one in others if one.anon_vma is not None), None)
    if exporter is not None and vma.anon_vma is None:
        vma.anon_vma = exporter.anon_vma
        anon_vma_clone(vma, exporter)
    for one in others:
        if start <= one.start and one.end <= end:
            mm.forget(one)
        elif one.start < start:
            mm.page_tables.cut(start)
            mm.tree.resize(one, one.start, start)
        else:
            mm.page_tables.cut(end)
            one.pgoff = one.pgoff_of(end)
            mm.tree.resize(one, end, one.end)
    vma.pgoff -= (vma.start - start) >> PAGE_SHIFT
    mm.tree.resize(vma, start, end)


def split(mm: MmState, vma: Vma, address: int, *, new_below: bool) -> Vma:
    """Cut a mapping in two at ``address``; return the new one, the lower or the upper half.

    ``new_below`` says that it is the lower one. Raise ``SysError(EINVAL)`` for a mapping that
    cannot be cut there. [__split_vma]
    """
    if vma.special is not None or address % vma.page_bytes:
        raise SysError(errno.EINVAL)
    mm.page_tables.cut(address)
    new = vma.duplicate()
    new.end, new.start = (address, vma.start) if new_below else (vma.end, address)
    new.pgoff = vma.pgoff_of(new.start)
    anon_vma_clone(new, vma)
    if new.flags & VmFlag.HUGETLB:
        open_huge(mm, new)
    if new_below:
        vma.pgoff = vma.pgoff_of(address)
        mm.tree.resize(vma, address, vma.end)
    else:
        mm.tree.resize(vma, vma.start, address)
    mm.tree.insert(new)
    return new


def set_flags(
    mm: MmState, vma: Vma, previous: Vma | None, start: int, end: int, flags: int
) -> Vma:
    """Give part of ``vma`` new flags; return the mapping that then holds it.

    The range merges with neighbours that have these flags already; else ``vma`` is cut at the ends
    of the range. ``previous`` is as for ``vma_merge``. Raise ``SysError(ENOMEM)`` if there would be
    too many mappings; of two cuts the first is then made. [vma_modify_flags]
    """
    merged = vma_merge(mm, previous, start, end, flags, vma.anon_vma, vma.file,
                       vma.pgoff_of(start))
    if merged is not None:
        merged.flags = flags
        return merged
    for address, new_below in ((start, True), (end, False)):
        if vma.start < address < vma.end:
            if mm.map_count >= mm.space.max_map_count:
                raise SysError(errno.ENOMEM)
            split(mm, vma, address, new_below=new_below)
    vma.flags = flags
    return vma
