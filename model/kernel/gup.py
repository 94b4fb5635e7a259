"""What the kernel does itself to the pages of a process: make them present, store into them.

[mm/gup.c, arch/x86/lib/usercopy*.c]
"""

import errno
from collections.abc import Callable

from ..address_space.errors import SysError
from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.parts import LeafEntry
from ..x86 import PAGE_BYTES, PAGE_SHIFT, Entry
from .fault_cause import BusFault
from .state import KernelState

__all__ = ["FaultIn", "get_user_pages", "store_user", "touch_page"]

FaultIn = Callable[[int, bool, bool], None]
"""Handles a fault at an address, of a write or not, and of one who tries again or not.

Raises as ``handle_mm_fault``.
"""


def get_user_pages(tables: PageTables, fault_in: FaultIn, start: int, end: int, *,
                   write: bool, touch: Callable[[LeafEntry], None],
                   page_bytes: int = PAGE_BYTES) -> None:
    """Make the pages of a range present, writable if ``write``; those that are cost no fault.

    The range has pages of ``page_bytes`` alone, of which it may begin in the middle. ``touch`` is
    told of the entry of each, once that permits the access: it is what ``touch_page`` does.
    Raise ``SysError(EFAULT)`` at a page that its mapping does not have, and what else ``fault_in``
    raises. What must be read from a disk is a minor fault: it is tried again when it is there. The
    keys of protection are not looked at. [__get_user_pages]
    """
    for vaddr in range(start & -page_bytes, end, page_bytes):
        leaf = _entry(tables, vaddr, write=write)
        if leaf is None:
            _fault(fault_in, vaddr, write=write, retries=True)
            leaf = tables.lookup(vaddr)
            assert leaf is not None
        touch(leaf)


def touch_page(state: KernelState, tables: PageTables, leaf: LeafEntry, *, write: bool) -> None:
    """Note that a page of a process counts as used, and as written to if ``write``. [FOLL_TOUCH]

    A small page is marked itself, while its entry stays as it is. [follow_page_pte] Of a huge page
    the entry is marked, for writes alone. [touch_pmd, pmdp_set_access_flags]
    """
    if leaf.level.page_bytes > PAGE_BYTES:
        if write:
            tables.update(leaf.paddr, add=Entry.A | Entry.D)
        return
    pfn = tables.pfn(leaf.entry)
    if write and not leaf.entry & Entry.D:
        state.set_page_dirty(pfn)
    state.mark_accessed(pfn)


def store_user(tables: PageTables, fault_in: FaultIn, start: int, data: bytes) -> None:
    """Store bytes where the process may write; raise as ``get_user_pages``."""
    end, at = start + len(data), start
    while at < end:
        stop = min(end, (at | PAGE_BYTES - 1) + 1)
        leaf = _entry(tables, at, write=True)
        if leaf is None:
            _fault(fault_in, at, write=True, retries=False)
            leaf = tables.lookup(at)
            assert leaf is not None
        entry = tables.update(leaf.paddr, add=Entry.A | Entry.D)
        paddr = (tables.pfn(entry) << PAGE_SHIFT) + at - leaf.vaddr
        tables.memory.write_bytes(paddr, data[at - start : stop - start])
        at = stop


def _entry(tables: PageTables, vaddr: int, *, write: bool) -> LeafEntry | None:
    """Return the entry that maps an address, None unless it permits the access. [follow_page]"""
    leaf = tables.lookup(vaddr)
    wanted = Entry.P | (Entry.RW if write else 0)
    return leaf if leaf is not None and leaf.entry & wanted == wanted else None


def _fault(fault_in: FaultIn, vaddr: int, *, write: bool, retries: bool) -> None:
    """Have a fault handled. [faultin_page, vm_fault_to_errno]"""
    try:
        fault_in(vaddr, write, retries)
    except BusFault as error:
        raise SysError(errno.EFAULT) from error
