"""Whether all that the kernel keeps of memory agrees: page tables, frames, caches, lists, swap."""

from collections import Counter
from collections.abc import Collection, Iterable

from ..address_space.kernel_half.vmalloc import VmArea
from ..address_space.shmem_mapping import promised_pages
from ..physical.errors import BrokenInvariant
from .process import Process
from .state import KernelState

__all__ = ["check_machine"]


def check_machine(state: KernelState, processes: Collection[Process],
                  areas: Iterable[VmArea]) -> None:
    """Raise ``BrokenInvariant`` or ``BrokenMm`` if anything contradicts anything else.

    ``processes`` and ``areas`` of vmalloc are all that there are.
    """
    state.frames.check()
    state.kernel_tables.check()
    state.tlb.check()
    state.swap.check()
    state.lruvec.check()
    state.page_cache.check()
    state.anon.check()
    state.shmem.check()
    for process in processes:
        process.check()
    owners = {process.space: process for process in processes}.values()  # one of each space
    rss = sum(process.space.rss for process in owners)
    if rss != state.frames.rmap.total:
        raise BrokenInvariant(f"Processes map {rss} pages, but {state.frames.rmap.total} are "
                              "known to be mapped")
    swapped = sum(process.space.swapped for process in owners)
    in_files, counted = state.shmem.swapped, state.swap.references()
    if swapped + in_files != counted:
        raise BrokenInvariant(f"Page tables hold {swapped} swap entries and shared memory "
                              f"{in_files}, but slots have {counted} references")
    mapped = sum((process.space.huge.mapped(process.mm.tree) for process in owners), Counter())
    mappings = [vma for process in owners for vma in process.mm.tree]
    for pool in state.hugetlb.values():
        pool.check(mappings, mapped)
    _check_files(state, processes, owners)
    _check_frames(state, owners, {pfn for area in areas for pfn in area.pfns})


def _check_files(state: KernelState, processes: Collection[Process],
                 owners: Collection[Process]) -> None:
    """Files that go with their last user know all of them, and shared memory is promised.

    More may be promised: Linux forgets some that stacks were. [acct_stack_growth]
    """
    users = Counter(vma.file.key for process in owners for vma in process.mm.tree
                    if vma.file is not None)
    tables = {process.files for process in processes}  # some share one
    users.update(file.key for table in tables for file in table.open_files)
    promised = sum(process.mm.committed for process in owners)
    for file, inode in state.files.inodes.items():
        if (inode.nameless or inode.named) and inode.users != users[file]:
            raise BrokenInvariant(f"File {file.name} has {users[file]} users, but counts "
                                  f"{inode.users}")
        promised += inode.allocated if inode.noreserve else 0
        if file.is_shmem:
            space = state.page_cache.space(file)
            promised += promised_pages(inode, inode.size)
            if inode.allocated < len(space.pages) + len(space.slots):
                raise BrokenInvariant(f"File {file.name} has more pages than {inode.allocated}, "
                                      "which are counted")
    if state.commit.committed < promised:
        raise BrokenInvariant(f"{promised} pages are promised, but {state.commit.committed} "
                              "counted")


def _check_frames(state: KernelState, processes: Collection[Process], vmalloc: set[int]) -> None:
    """Every allocated frame has a use: a table, a user's page, a cache, a pool, vmalloc, zeros."""
    users = {*vmalloc, *state.thp.own_frames, *state.frames.rmap.mapped(), *state.swap.cached(),
             *state.page_cache.frames_used()}
    tables = sum(state.kernel_tables.tables) + sum(
        sum(process.space.tables.tables) + len(process.space.tables.deposits)
        for process in processes)
    huge = sum(pool.frame_count for pool in state.hugetlb.values())
    expected = len(users) + tables + huge + 1  # the zero page
    if state.frames.allocated() != expected:
        raise BrokenInvariant(f"{state.frames.allocated()} frames are allocated, but "
                              f"{expected} are used")
