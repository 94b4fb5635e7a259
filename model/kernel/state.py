"""What all parts of the kernel share: frames, caches, lists, swap, and the TLB."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..address_space.errors import SysError
from ..address_space.kernel_files import KernelFiles
from ..address_space.kernel_half.kernel_page_tables import KernelPageTables
from ..address_space.kernel_half.layout import layout_of
from ..address_space.mm import Mm
from ..address_space.tables.software_entry import EntryFlag, EntryKind, SwapPte
from ..address_space.vma import Vma, VmFlag
from ..mmu.control import Access, Control
from ..mmu.walk import Walk, walk
from ..physical.errors import BrokenInvariant
from ..physical.memory import PhysicalMemory
from ..physical.memory_map import MemoryMap
from ..physical.out_of_memory import OutOfMemory
from ..physical.page_alloc import PageAllocator
from ..physical.reserves import Sysctl
from ..x86 import PAGE_SHIFT, Entry, PagingMode, lowest_bit
from .anon_pages import AnonPages
from .frames import Frames
from .hugetlb_pool import huge_pools
from .overcommit import MachineCommit
from .page_cache import CachedFile, PageCache
from .page_reclaim import MachinePageOps
from .platform import PLATFORMS
from .reclaim.lru import LruFlag, Lruvec
from .reclaim.workingset import workingset_refault
from .reclaimer import Reclaimer
from .rmap import Space
from .shmem import Shmem
from .swap.cache import SwapEntry
from .swap.errors import SwapIoError
from .swap_references import AnonSwap
from .thp import TransparentHuge
from .tlb_flush import TlbState

__all__ = ["SPECIAL", "WRITTEN", "KernelState"]

SPECIAL = 1 << 9  # _PAGE_SPECIAL: a frame that nobody counts
WRITTEN = Entry.RW | Entry.D | Entry.A
"""What an entry has beside its mapping's rights once a write has been let through. [pte_mkdirty]"""


class KernelState:
    """The memory of a machine and all that the kernel keeps of it.

    Parameters
    ----------
    mode, machine
        The paging mode and the memory map.
    cr4
        CR4 as the kernel sets it.
    kill
        Kills a process for its memory, given the allocation that failed, what swap fails with, if
        it does, and how many pages there are; returns whether one was.
    current_mm
        Returns the address space that the kernel works for, None if for none.
    sysctl
        Tunables that differ from what a kernel boots with.
    rng
        Draws where swap on solid-state disks begins; None for the first slot.

    Members
    -------
    platform, layout
        What the mode decides, and where the areas of the kernel lie.
    memory, allocator
        The contents of memory, and its page allocator.
    frames, kernel_tables, tlb, swap, anon, lruvec, page_cache, shmem
        The parts, by what they are called in Linux.
    commit, files
        What is promised to processes, and the files of the machine.
    page_ops, reclaimer
        What reclaim can do to a page, and the ways into reclaim.
    hugetlb, thp
        The huge pages that are set aside, by their size in bytes, and the transparent ones.
    zero_pfn
        The frame that a read of untouched memory finds. [ZERO_PAGE]
    spaces
        The address spaces, by the number that the reverse map knows them by.
    """

    def __init__(self, mode: PagingMode, machine: MemoryMap, *, cr4: int,
                 kill: Callable[[OutOfMemory, SwapIoError | None, int], bool],
                 current_mm: Callable[[], Mm | None], sysctl: Sysctl | None = None,
                 rng: np.random.Generator | None = None) -> None:
        self.mode = mode
        self.platform = PLATFORMS[mode.name]
        self.layout = layout_of(machine)
        self.memory = _memory_of(machine)
        self.format = self.platform.entries
        self.spaces: dict[int, Space] = {}
        self._kill = kill
        # Allocator and reclaim need each other, in Linux by name. Nothing is allocated, and so
        # nothing reclaimed, before all parts are there that reclaim looks at.
        self.reclaimer = Reclaimer(self)
        self.allocator = PageAllocator.boot(machine, sysctl=sysctl, reclaim=self.reclaimer)
        self.frames = Frames(self.memory, self.allocator, on_free=self._forget,
                             out_of_memory=self._out_of_memory)
        self.swap = AnonSwap(self.frames, min(1 << self.format.offset_bits, (1 << 32) - 1),
                             cluster=self.platform.swap_cluster, rng=rng)
        self.anon = AnonPages(self.frames, self.swap)
        self.lruvec = Lruvec(self.frames.start_pfn, self.frames.end_pfn)
        self.hugetlb = huge_pools(mode, self.platform, self.frames)
        self.commit = MachineCommit(self.allocator, self.swap, self.hugetlb.values())
        self.files = KernelFiles(dict(self.hugetlb))
        self.page_cache = PageCache(self.frames, self.swap, self.files, self.commit)
        self._current_mm = current_mm
        self.shmem = Shmem(self.page_cache, self.swap, self.add_to_lru, self.read_swap,
                           self.charge)
        self.page_ops = MachinePageOps(self.frames, self.lruvec, self.page_cache, self.shmem,
                                       self.swap, self.spaces)
        self.thp = TransparentHuge(mode, self.frames)
        self.kernel_tables = KernelPageTables(
            mode, self.memory, self.frames, self.layout.area(self.platform.kernel_half).start)
        self.tlb = TlbState(self.kernel_tables.root, cr4)
        self.zero_pfn = self.frames.alloc_table()

    @property
    def task_size(self) -> int:
        """Where user addresses end. [TASK_SIZE_MAX]"""
        return self.layout.task_size

    def _out_of_memory(self, error: OutOfMemory) -> bool:
        """Make room where reclaim cannot; return whether to try once more. [out_of_memory]

        A process is killed for that. Raise as ``OomKiller.kill``.
        """
        try:
            return self._kill(error, self.page_ops.write_error, self.commit.limit)
        except SwapIoError as failed:
            raise failed from error

    def _forget(self, pfn: int) -> None:
        """Take a frame that is freed off the LRU lists. [__page_cache_release]"""
        if self.swap.cache.entry(pfn) is not None:
            raise BrokenInvariant(f"Page {pfn:#x} is freed, but in the swap cache")
        self.swap.clean(pfn)
        self.anon.share(pfn)
        self.lruvec.delete(pfn)
        self.frames.set_lru(pfn, False)

    def control(self, pkru: int = 0) -> Control:
        """Return the registers as they are now."""
        return Control(self.tlb.cr3, cr4=self.tlb.cr4, efer=self.platform.efer, pkru=pkru)

    def kernel_walk(self, access: Access) -> Walk:
        """Return how the kernel's own tables translate an access."""
        control = replace(self.control(), cr3=self.kernel_tables.root << PAGE_SHIFT)
        return walk(self.memory, self.mode, control, access)

    def charge(self, pages: int) -> None:
        """Have pages promised to the process that the kernel works for.

        Raise ``SysError(ENOMEM)`` if they cannot be. [security_vm_enough_memory_mm]
        """
        mm = self._current_mm()
        if mm is None:
            self.commit.charge(pages)
        else:
            self.commit.charge(pages, mm.total_vm, privileged=mm.privileged)

    # ---- pages

    def add_to_lru(self, pfn: int, *, file: bool = False, shadow: int | None = None) -> None:
        """Put a new page on an inactive list, or an active one if it left too soon.

        [folio_add_lru, workingset_refault]
        """
        flags = LruFlag.FILE if file else LruFlag(0)
        if shadow is not None:
            flags = workingset_refault(self.lruvec, shadow, file=file,
                                       swap=self.swap.nr_swap_pages > 0)
        self.lruvec.add(pfn, flags)
        self.frames.set_lru(pfn, True)

    def is_anon(self, pfn: int) -> bool:
        """Return whether a user's page belongs to no file. [PageAnon]"""
        return self.page_cache.is_anon(pfn)

    def mark_accessed(self, pfn: int) -> None:
        """Note that a page was used, if it is on an LRU list. [mark_page_accessed]"""
        if pfn in self.lruvec:
            self.lruvec.mark_accessed(pfn)

    def set_page_dirty(self, pfn: int) -> None:
        """Note that a user's page differs from its file or slot, whatever its entries say."""
        if not self.is_anon(pfn):
            self.page_cache.set_dirty(pfn)
        elif self.swap.cache.entry(pfn) is not None:
            self.swap.cache.set_dirty(pfn)
        else:
            self.swap.set_dirty(pfn)

    def is_locked(self, pfn: int) -> bool:
        """Return whether a mapping that is locked in memory has a page."""
        return self.page_ops.is_locked(pfn)

    def put_anon(self, pfn: int) -> None:
        """Drop a mapping's reference to a page, and its slot if nobody else wants it.

        [free_page_and_swap_cache]
        """
        if self.swap.cache.entry(pfn) is not None:
            self.swap.free_unmapped(pfn)
        self.frames.put(pfn)

    def file_page(self, space: CachedFile, index: int) -> tuple[int, bool]:
        """Return the frame of a page of a file, referenced once more, and whether it was read.

        Raise ``SysError`` for what cannot be read. [filemap_fault, shmem_fault]
        """
        if space.content is None:
            return self.shmem.page(space, index)
        pfn = space.pages.get(index)
        if pfn is not None:
            self.frames.get(pfn)
            return pfn, False
        pfn = self.frames.alloc()
        try:
            shadow = self.page_cache.read(space, index, pfn)
        except SysError:
            self.frames.put(pfn)
            raise
        self.frames.get(pfn)
        self.add_to_lru(pfn, file=True, shadow=shadow)
        return pfn, True

    def read_swap(self, slot: SwapEntry) -> tuple[int, bool]:
        """Return the frame of a page that is out, referenced once more, and whether it was read.

        It is in the swap cache. Raise ``OutOfMemory``, ``SwapIoError``. [swapin_readahead]
        """
        pfn = self.swap.cache.lookup(slot)
        if pfn is not None:
            self.frames.get(pfn)
            return pfn, False
        pfn = self.frames.alloc()
        try:
            shadow = self.swap.swap_in(slot, pfn)
        except BaseException:
            self.frames.put(pfn)
            raise
        self.add_to_lru(pfn, shadow=shadow)
        return pfn, True

    # ---- entries

    def kind(self, entry: int) -> EntryKind:
        """Return what an entry is for the kernel."""
        return EntryKind.PRESENT if entry & Entry.P else self.format.kind(entry)

    def page_prot(self, vma: Vma) -> int:
        """Return the entry bits of a mapping, 0 if nobody may access it.

        A private page may not be written before it is this process's own, nor that of a file
        before the kernel knows that it is to change. [vm_get_page_prot, vma_wants_writenotify]
        """
        vm_flags = vma.flags
        if not vm_flags & VmFlag.ACCESS:
            return 0
        prot = Entry.P | Entry.US | Entry.A
        if vm_flags & VmFlag.SHARED and vm_flags & VmFlag.WRITE and (
                vma.file is not None and vma.file.is_shmem):
            prot |= Entry.RW
        if self.mode.has_execute_disable and not vm_flags & VmFlag.EXEC:
            prot |= Entry.XD
        if self.mode.has_protection_keys:
            prot |= (vm_flags & VmFlag.PKEY) >> VmFlag.PKEY_SHIFT << lowest_bit(Entry.KEY)
        return prot

    def make_entry(self, pfn: int, prot: int, kept: int = 0) -> int:
        """Return the entry that maps a frame with ``prot``, PROT_NONE if that is 0.

        ``kept`` are further bits, A and D say. [mk_pte, pte_modify]
        """
        if not prot:
            return self.format.encode_prot_none(pfn, Entry.A | kept)
        return pfn << PAGE_SHIFT | prot | kept

    def change_entry(self, pfn: int, prot: int, kept: int) -> int:
        """Return the entry of a frame with new rights; A is only in it if it is ``kept``.

        [pte_modify]
        """
        if not prot:
            return self.format.encode_prot_none(pfn, kept)
        return pfn << PAGE_SHIFT | prot & ~Entry.A | kept

    def swap_entry(self, slot: SwapEntry, exclusive: bool) -> int:
        """Return the entry of a page that is out. [swp_entry_to_pte]"""
        can = exclusive and dict(self.format.flag_bits).get(EntryFlag.EXCLUSIVE)
        flags = EntryFlag.EXCLUSIVE if can else EntryFlag(0)
        return self.format.encode_swap(SwapPte(slot.type, slot.offset, flags))

    def is_exclusive_entry(self, entry: int) -> bool:
        """Return whether the page of a swap entry is no other entry's. [pte_swp_exclusive]"""
        return bool(self.format.decode_swap(entry).flags & EntryFlag.EXCLUSIVE)

    def slot(self, entry: int) -> SwapEntry:
        """Return the slot that a swap entry names. [pte_to_swp_entry]"""
        found = self.format.decode_swap(entry)
        return SwapEntry(found.type, found.offset)


def _memory_of(machine: MemoryMap) -> PhysicalMemory:
    """Return memory where a machine has some, full of zeros."""
    memory = PhysicalMemory(sum(end - start for start, end in machine.memory))
    for start, end in machine.memory:
        memory.add(range(start, end))
    return memory
