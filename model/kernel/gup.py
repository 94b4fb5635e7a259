"""What the kernel does itself to the pages of a process: make them present, fill them with zeros.

[mm/gup.c, arch/x86/lib/usercopy*.c]
"""

import errno
from collections.abc import Callable

from ..address_space.errors import SysError
from ..address_space.pagetable import PageTables
from ..x86 import PAGE_SHIFT, Entry
from .frames import PAGE_BYTES
from .vm_fault import BusFault

__all__ = ["FaultIn", "clear_user", "get_user_pages"]

FaultIn = Callable[[int, bool], None]
"""Handles a fault at an address, of a write or not; raises as ``handle_mm_fault``."""


def get_user_pages(tables: PageTables, fault_in: FaultIn, start: int, end: int, *,
                   write: bool, touch: Callable[[int], None]) -> None:
    """Make the pages of a range present, writable if ``write``; those that are cost no fault.

    ``touch`` is told of each frame, as it counts as used. [FOLL_TOUCH] Raise ``SysError(EFAULT)``
    at a page that its mapping does not have, and what else ``fault_in`` raises. The keys of
    protection are not looked at. [__get_user_pages]
    """
    for vaddr in range(start, end, PAGE_BYTES):
        paddr = _entry(tables, vaddr, write=write)
        if paddr is None:
            _fault(fault_in, vaddr, write=write)
            paddr = tables.find(vaddr)
            assert paddr is not None
        touch(tables.pfn(tables.read(paddr)))


def clear_user(tables: PageTables, fault_in: FaultIn, start: int, end: int) -> None:
    """Store zeros in a range of bytes that the process may write; raise as ``get_user_pages``."""
    while start < end:
        stop = min(end, (start | PAGE_BYTES - 1) + 1)
        paddr = _entry(tables, start, write=True)
        if paddr is None:
            _fault(fault_in, start, write=True)
            paddr = tables.find(start)
            assert paddr is not None
        entry = tables.update(paddr, set=Entry.A | Entry.D)
        frame = tables.pfn(entry) << PAGE_SHIFT
        tables.memory.write_bytes(frame | start & PAGE_BYTES - 1, bytes(stop - start))
        start = stop


def _entry(tables: PageTables, vaddr: int, *, write: bool) -> int | None:
    """Return where the entry of an address is, None unless it permits the access. [follow_page]"""
    paddr = tables.find(vaddr)
    if paddr is None:
        return None
    wanted = Entry.P | (Entry.RW if write else 0)
    return paddr if tables.read(paddr) & wanted == wanted else None


def _fault(fault_in: FaultIn, vaddr: int, *, write: bool) -> None:
    """Have a fault handled. [faultin_page, vm_fault_to_errno]"""
    try:
        fault_in(vaddr, write)
    except BusFault as error:
        raise SysError(errno.EFAULT) from error
