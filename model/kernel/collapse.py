"""Making huge pages of small ones when a process asks for it. [madvise_collapse in mm/khugepaged.c]

Left out are huge pages of shared memory and of other files, which no mapping has here.
"""

import errno
from typing import Protocol

from ..address_space.errors import SysError
from ..address_space.huge_memory import NEVER_HUGE, transhuge_vma_suitable
from ..address_space.mm import Mm
from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.parts import LeafEntry
from ..address_space.tables.software_entry import EntryKind
from ..address_space.vma import Vma, VmFlag
from ..x86 import PAGE_SHIFT, Entry
from .state import KernelState
from .swap.errors import SwapIoError
from .thp_entries import ThpEntries
from .tlb_flush import MmContext

__all__ = ["madvise_collapse"]


class CollapsedSpace(Protocol):
    """The address space whose pages become huge, and how it counts them."""

    state: KernelState
    mm: Mm
    tables: PageTables
    context: MmContext
    thp: ThpEntries
    swapped: int

    def map_page(self, vaddr: int, paddr: int, pfn: int, entry: int) -> None:
        """Point a clear entry to a frame, whose reference is the entry's now."""
        ...

    def forget_page(self, vaddr: int, pfn: int) -> None:
        """Count an entry that no longer maps a page."""
        ...


class _Failed(Exception):
    """A huge page that cannot be, and whether those after it are tried all the same."""

    def __init__(self, number: int, *, is_final: bool = False) -> None:
        super().__init__(number)
        self.errno = number
        self.is_final = is_final


def madvise_collapse(space: CollapsedSpace, vma: Vma, start: int, end: int) -> None:
    """Have a range of a mapping mapped by huge pages, whatever the setting for them says.

    Untouched pages in it become zeros, and those in swap come back. Raise ``SysError``: EINVAL for
    a mapping that may have none, or a part of it where nothing is mapped or may be written; ENOMEM
    if no block of memory is large enough; EAGAIN for a page that the kernel is working with. Other
    parts are huge then all the same. Raise ``OutOfMemory`` for pages from swap.
    """
    size = space.state.thp.page_bytes
    if not _may_collapse(space, vma):
        raise SysError(errno.EINVAL)
    first, last = -(-start // size) * size, end // size * size
    done, error = 0, errno.EINVAL
    for vaddr in range(first, last, size):
        try:
            _collapse_at(space, vma, vaddr)
            done += size
        except _Failed as failed:
            error = failed.errno
            if failed.is_final:
                break
    if done != last - first:
        raise SysError(error)


def _may_collapse(space: CollapsedSpace, vma: Vma) -> bool:
    """Return whether a mapping may have huge pages that it asks for. [hugepage_vma_check]"""
    fits = transhuge_vma_suitable(space.mm.space, vma, vma.end - space.state.thp.page_bytes)
    return (not vma.flags & NEVER_HUGE and fits and vma.is_anonymous
            and vma.anon_vma is not None)


def _collapse_at(space: CollapsedSpace, vma: Vma, vaddr: int) -> None:
    """Have one huge page, which may be there. Raise ``_Failed``, ``OutOfMemory``.

    [hpage_collapse_scan_pmd, collapse_huge_page]
    """
    if space.thp.find(vaddr) is not None:
        return
    paddr = space.tables.find(vaddr, space.thp.depth)
    if paddr is None:
        raise _Failed(errno.EINVAL)
    if not space.tables.read(paddr):
        raise _Failed(errno.EINVAL, is_final=True)
    _check_pages(space, _small(space, vaddr), allow_swap=True)
    huge = space.state.thp.alloc_to_collapse()
    if huge is None:
        raise _Failed(errno.ENOMEM, is_final=True)
    try:
        _swap_in(space, vma, vaddr)
        leaves = _small(space, vaddr)
        _check_pages(space, leaves, allow_swap=False)
    except BaseException:
        for pfn in range(huge, huge + space.state.thp.page_count):
            space.state.frames.put(pfn)
        raise
    space.state.tlb.flush_range(space.context, vaddr, vaddr + space.state.thp.page_bytes)
    for leaf in leaves:
        _copy(space, leaf, huge + (leaf.vaddr - vaddr >> PAGE_SHIFT))
    _map(space, vma, vaddr, paddr, huge)


def _small(space: CollapsedSpace, vaddr: int) -> list[LeafEntry]:
    return list(space.tables.entries(vaddr, vaddr + space.state.thp.page_bytes))


def _check_pages(space: CollapsedSpace, leaves: list[LeafEntry], *, allow_swap: bool) -> None:
    """Raise ``_Failed`` unless small pages can be copied, one of which may be written.

    Nobody but mappings and the swap cache may refer to them. [__collapse_huge_page_isolate]
    """
    state, writable = space.state, False
    for leaf in leaves:
        if state.kind(leaf.entry) is EntryKind.SWAP:
            if not allow_swap:
                raise _Failed(errno.EINVAL)
            continue
        pfn = state.format.pfn(leaf.entry)
        if pfn == state.zero_pfn:
            continue
        cached = state.swap.cache.entry(pfn) is not None
        if state.frames.refcount(pfn) != state.frames.rmap.mapcount(pfn) + cached:
            raise _Failed(errno.EAGAIN)
        writable |= bool(leaf.entry & Entry.P and leaf.entry & Entry.RW)
    if not writable:
        raise _Failed(errno.EINVAL)


def _swap_in(space: CollapsedSpace, vma: Vma, vaddr: int) -> None:
    """Bring back what is in swap; raise ``_Failed``, ``OutOfMemory``.

    [__collapse_huge_page_swapin]
    """
    state = space.state
    for leaf in _small(space, vaddr):
        if state.kind(leaf.entry) is not EntryKind.SWAP:
            continue
        slot = state.slot(leaf.entry)
        try:
            pfn, major = state.read_swap(slot)
        except SwapIoError:
            raise _Failed(errno.EINVAL, is_final=True) from None
        state.lruvec.vmstat["pgmajfault"] += major
        state.swap.swap_free(slot)
        space.tables.write(leaf.paddr, 0)
        space.swapped -= 1
        space.map_page(leaf.vaddr, leaf.paddr, pfn,
                       state.make_entry(pfn, state.page_prot(vma)))


def _copy(space: CollapsedSpace, leaf: LeafEntry, target: int) -> None:
    """Take a small page away, having copied what it holds. [__collapse_huge_page_copy]"""
    state = space.state
    pfn = state.format.pfn(space.tables.exchange(leaf.paddr, 0))
    if pfn != state.zero_pfn:
        state.frames.copy(pfn, target)
        space.forget_page(leaf.vaddr, pfn)
        state.put_anon(pfn)


def _map(space: CollapsedSpace, vma: Vma, vaddr: int, paddr: int, huge: int) -> None:
    """Let an entry map a huge page in place of the table, which is kept for the day of a split."""
    state = space.state
    space.tables.tables[space.thp.depth + 1] -= 1
    table = space.tables.pfn(space.tables.exchange(paddr, 0))  # [pmdp_collapse_flush]
    writable = Entry.RW if vma.flags & VmFlag.WRITE else 0
    entry = huge << PAGE_SHIFT | state.page_prot(vma) | Entry.PS | Entry.D | writable
    space.thp.map(vaddr, paddr, huge, entry, table)
    for pfn in range(huge, huge + state.thp.page_count):
        state.add_to_lru(pfn)
        if vma.flags & VmFlag.LOCKED:
            state.lruvec.set_unevictable(pfn, True)
