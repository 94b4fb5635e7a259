"""Swapoff: every page of a swap area comes back to memory, and nothing names its slots any more.

[swapoff(2), try_to_unuse and what it calls, in mm/swapfile.c]

Files and processes come in the order of their making, where Linux begins with those whose pages
went out last. Linux also gives up pages that cannot be read and ends swapoff all the same: who
asks for one gets a signal. [make_swapin_error_entry] Here they stay, and so does the area.
"""

import errno
from collections.abc import Sequence

from ..address_space.errors import SysError
from ..address_space.limits import Commit
from ..address_space.tables.software_entry import EntryKind
from ..physical.errors import BrokenInvariant
from ..x86 import Entry
from .state import KernelState
from .swap.file import SwapFile
from .swap.slots import SwapInfo
from .user_tables import UserTables

__all__ = ["swapoff", "unuse_mm"]


def swapoff(state: KernelState, commit: Commit, spaces: Sequence[UserTables],
            area: int | SwapFile, total_vm: int = 0) -> None:
    """Bring back all pages of a swap area and use it no more; its device stays open.

    Parameters
    ----------
    state, commit, spaces
        The kernel, what it has promised, and the page tables of all processes.
    area
        The type of the area, or its device.
    total_vm
        How many pages the address space has of the process that asks for it.

    Raises
    ------
    SysError
        EINVAL if the area is not in use, ENOMEM if more memory is promised than would be left.
    OutOfMemory, SwapIoError
        If there is no room for a page, or it cannot be read. It stays in its slot, and the area in
        use, now last of those without a priority; other pages may be back already.
    SwapDeviceBusy
        If reclaim puts back what has come out, again and again: as above.
    """
    info = _find(state, area)
    commit.charge(info.pages, total_vm, privileged=True)
    commit.uncharge(info.pages)
    state.swap.swapoff(info.type, lambda number: _unuse_all(state, spaces, number))


def _find(state: KernelState, area: int | SwapFile) -> SwapInfo:
    for info in state.swap.info:
        if info is not None and area in (info.type, info.device):
            return info
    raise SysError(errno.EINVAL)


def _unuse_all(state: KernelState, spaces: Sequence[UserTables], swap_type: int) -> None:
    """Bring back what files of shared memory have in an area, then what page tables have.

    It is one round of ``Swap.swapoff``. [try_to_unuse]
    """
    state.shmem.unuse(swap_type)
    for space in spaces:
        unuse_mm(space, swap_type)


def unuse_mm(space: UserTables, swap_type: int) -> None:
    """Put pages in place of all swap entries of one type in the tables of a process.

    They have not been accessed, and are not writable: a write finds out whose they are. Raise
    ``OutOfMemory``, ``SwapIoError``, with the entry as it was. [unuse_mm, unuse_pte_range]
    """
    state = space.state
    places = [(leaf.vaddr, leaf.paddr)
              for leaf in space.tables.entries(0, space.mm.space.task_size)
              if space.kind(leaf.entry) is EntryKind.SWAP
              and state.slot(leaf.entry).type == swap_type]
    for vaddr, paddr in places:
        _unuse_pte(space, vaddr, paddr)


def _unuse_pte(space: UserTables, vaddr: int, paddr: int) -> None:
    """Put the page in place of one swap entry. [unuse_pte]"""
    state, vma = space.state, space.mm.tree.lookup(vaddr)
    if vma is None:
        raise BrokenInvariant(f"Address {vaddr:#x} has a swap entry, but no mapping")
    entry = space.tables.read(paddr)
    slot = state.slot(entry)
    pfn, _ = state.read_swap(slot)
    space.tables.write(paddr, 0)
    space.swapped -= 1
    space.map_page(vaddr, paddr, pfn, state.make_entry(pfn, state.page_prot(vma)) & ~Entry.A)
    if state.is_exclusive_entry(entry):
        state.anon.set_exclusive(pfn)
    state.swap.swap_free(slot)
    state.swap.free_swap(pfn)
