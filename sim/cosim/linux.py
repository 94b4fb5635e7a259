"""The kernel model as what stands behind a machine: the processes of a workload, and their faults.

It is ``model.kernel`` in the form of a ``machine.OperatingSystem``.
"""

import errno
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ...model.address_space.errors import SysError
from ...model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from ...model.kernel.kernel import Kernel
from ...model.kernel.page_fault import handle_general_protection
from ...model.kernel.process import Process
from ...model.kernel.tlb_flush import Invalidation
from ...model.mmu.control import Control
from ...model.x86 import PAGE_BYTES, PAGE_SHIFT, Vector
from ..workloads.workload import (
    Discard,
    Event,
    Exit,
    Fork,
    Kmap,
    Map,
    Move,
    Protect,
    Refused,
    Region,
    Unmap,
    Window,
)
from .machine import Handled

__all__ = ["KernelMapping", "LinuxKernel"]


@dataclass(frozen=True, slots=True)
class KernelMapping:
    """A process's page at an address of the kernel's own.

    Members
    -------
    address
        Where the kernel has it.
    invalidations
        What is to be carried out before the kernel's first access there.
    undo
        Takes the mapping back; see ``LinuxKernel.kunmap``.
    """

    address: int
    invalidations: Sequence[Invalidation]
    undo: ExitStack


class LinuxKernel:
    """A kernel that has booted, with processes that have all of ``regions`` mapped.

    Shared regions are mapped by the first process before the others are forked from it, the
    private ones by each for itself. Raise ``SysError`` if a region cannot be mapped.

    Parameters
    ----------
    kernel : Kernel
        Has no process yet.
    regions : sequence of Region
        What each process has.
    processes : int
        How many there are, at least one.

    Members
    -------
    kernel : Kernel
        The kernel.
    processes : list of Process
        The processes, by their number in the workload; those that have ended, too.
    """

    def __init__(self, kernel: Kernel, regions: Sequence[Region], processes: int = 1) -> None:
        self.kernel = kernel
        first = kernel.spawn("process0")
        for region in regions:
            if region.shared:
                _map(first, region)
        self.processes = [first, *(kernel.fork(first) for _ in range(1, processes))]
        for process in self.processes:
            for region in regions:
                if not region.shared:
                    _map(process, region)

    @property
    def control(self) -> Control:
        """The registers as the kernel last wrote them."""
        return self.kernel.control

    def page_fault(self, vaddr: int, error_code: int) -> Handled:
        """Handle a page fault of the running process."""
        with self.kernel.invalidations() as owed:
            result = self.kernel.handle_page_fault(vaddr, error_code)
        if result.signal is None:
            return Handled(result.major, invalidations=owed)
        return Handled(result.major, int(result.signal.number), result.signal.code, owed)

    def general_protection(self, vector: Vector, vaddr: int) -> Handled:
        """Handle #GP or #SS of the running process."""
        result = handle_general_protection(vector, vaddr, user=True)
        assert result.signal is not None
        return Handled(signal=int(result.signal.number), code=result.signal.code)

    def switch(self, process: int) -> Sequence[Invalidation]:
        """Let another process run; raise ``ProcessLookupError`` if it has ended."""
        with self.kernel.invalidations() as owed:
            self.kernel.switch(self._living(process))
        return owed

    def happens(self, event: Event) -> Sequence[Invalidation]:
        """Carry out the call of an event; return what is to be invalidated then.

        The accesses of ``Refused`` and ``Kmap`` are left to the caller. Raise ``SysError`` as the
        call, ``ProcessLookupError`` if its process has ended, ``OomKilled``, ``OutOfMemory``.
        """
        with self.kernel.invalidations() as owed:
            match event:
                case Fork(process):
                    self.processes.append(self.kernel.fork(self._living(process)))
                case Exit(process):
                    self.kernel.exit(self._living(process))
                case Refused() | Kmap():
                    pass
                case _:
                    caller = self._living(event.process)
                    with self.kernel.acting(caller):
                        _call(caller, event)
        return owed

    def kmap(self, process: int, vaddr: int, window: Window) -> KernelMapping:
        """Map a process's page for the kernel itself; reclaim leaves it alone until ``kunmap``.

        Raise ``ProcessLookupError`` if the process has ended, ``SysError(EFAULT)`` if it has no
        such page, ``OomKilled``, ``PkmapFull``. [get_user_pages, kmap, kmap_local_page, vmap]
        """
        owner, kernel = self._living(process), self.kernel
        with kernel.invalidations() as owed, ExitStack() as undo:
            with kernel.acting(owner):
                vma = owner.mm.tree.lookup(vaddr)
                if vma is None:
                    raise SysError(errno.EFAULT)
                owner.space.populate(vma, vaddr, vaddr + PAGE_BYTES, write=True)
                leaf = owner.space.tables.lookup(vaddr)
                assert leaf is not None
                pfn = kernel.state.format.pfn(leaf.entry) + (vaddr - leaf.vaddr >> PAGE_SHIFT)
                kernel.state.frames.get(pfn)
                undo.callback(kernel.state.frames.put, pfn)
                address = self._map(pfn, window, undo)
            return KernelMapping(address, owed, undo.pop_all())

    def kunmap(self, mapping: KernelMapping) -> Sequence[Invalidation]:
        """Take back what ``kmap`` has mapped; return what is to be invalidated then."""
        with self.kernel.invalidations() as owed:
            mapping.undo.close()
        return owed

    def _map(self, pfn: int, window: Window, undo: ExitStack) -> int:
        """Return an address of a frame, which is the kernel's until ``undo``."""
        kernel_map = self.kernel.map
        if window is Window.KMAP:
            address = kernel_map.kmap(pfn)
            undo.callback(kernel_map.kunmap, pfn)
        elif window is Window.KMAP_LOCAL:
            address = kernel_map.kmap_local(pfn)
            undo.callback(kernel_map.kunmap_local, address)
        else:
            address = kernel_map.vmalloc.vmap([pfn]).start
            undo.callback(kernel_map.vmalloc.vfree, address)
        return address

    def _living(self, process: int) -> Process:
        """Return a process by its number; raise ``ProcessLookupError`` if it has ended."""
        found = self.processes[process]
        if self.kernel.processes.get(found.pid) is not found:
            raise ProcessLookupError(errno.ESRCH, f"Process {process} has ended")
        return found

    def exit(self) -> Sequence[Invalidation]:
        """End all processes that live; return what is to be invalidated then."""
        with self.kernel.invalidations() as owed:
            for process in list(self.kernel.processes.values()):
                self.kernel.exit(process)
        self.processes.clear()
        return owed


def _call(process: Process, event: Map | Unmap | Protect | Discard | Move) -> None:
    """Make the system call of an event."""
    mm = process.mm
    match event:
        case Map(_, region):
            mm.mmap(region.start, region.end - region.start, Prot.READ | Prot.WRITE,
                    MapFlag.ANONYMOUS | MapFlag.PRIVATE | MapFlag.FIXED | _size_flag(region))
        case Unmap(_, region):
            mm.munmap(region.start, region.end - region.start)
        case Protect(_, region, writable):
            mm.mprotect(region.start, region.end - region.start,
                        Prot.READ | Prot.WRITE if writable else Prot.READ)
        case Discard(_, region):
            mm.madvise(region.start, region.end - region.start, Madvise.DONTNEED)
        case Move(_, start, to, pages):
            length = pages * PAGE_BYTES
            mm.mremap(start, length, length, MremapFlag.MAYMOVE | MremapFlag.FIXED, to)


def _map(process: Process, region: Region) -> None:
    """Map a region, of a stack only the uppermost page."""
    flags = MapFlag.ANONYMOUS | MapFlag.FIXED_NOREPLACE | _size_flag(region)
    flags |= MapFlag.SHARED if region.shared else MapFlag.PRIVATE
    start = region.start
    if region.grows_down:
        flags |= MapFlag.GROWSDOWN | MapFlag.STACK
        start = region.end - PAGE_BYTES
    process.mm.mmap(start, region.end - start, Prot.READ | Prot.WRITE, flags)


def _size_flag(region: Region) -> int:
    """Return the flag that asks for huge pages, if a region has them."""
    return MapFlag.HUGETLB if region.huge else 0
