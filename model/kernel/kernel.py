"""The kernel of a machine: boot, processes, page faults, and what happens when memory runs out."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import numpy as np

from ..address_space.errors import SysError
from ..address_space.exec_layout import Program, exec_program
from ..address_space.fork import copy_mappings
from ..address_space.kernel_files import KernelFiles
from ..address_space.kernel_half.kernel_map import KernelMap
from ..address_space.kernel_half.layout import layout_of
from ..address_space.limits import Commit, Rlimits, UserSpace
from ..address_space.mm import Mm
from ..address_space.vma import File
from ..mmu.control import Control
from ..physical.memory import PhysicalMemory
from ..physical.memory_map import MemoryMap, pc_memory
from ..physical.out_of_memory import OutOfMemory
from ..physical.page_alloc import PageAllocator
from ..physical.reserves import Sysctl
from ..x86 import Cr4, PagingMode
from .copy_pages import copy_page_range
from .fault import FaultOutcome, FaultResult, Signal, SignalNumber, handle_page_fault
from .hugetlb_pool import set_nr_hugepages
from .kernel_space import KernelSpace
from .machine_check import check_machine
from .memory_fault import handle_mm_fault
from .oom import OomKill, OomKilled, select_bad_process
from .platform import PLATFORMS
from .process import INIT_PKRU, Process
from .reclaimer import Reclaimer
from .state import KernelState
from .swap.file import SwapFile
from .swapoff import swapoff
from .user_tables import UserTables

__all__ = ["Kernel"]


class Kernel:
    """A machine of one node and one processor that has booted, with no process yet.

    Make one with ``boot``. One process runs at a time: ``current``. What the TLB is owed stands
    in ``state.tlb.pending``, which whoever has the TLB must take and carry out before each
    access.

    Members
    -------
    state, reclaimer
        Memory and all that is known of it, and who frees it.
    platform
        What the paging mode decides.
    layout, user
        Where the kernel's areas and a process's parts lie.
    map
        What the kernel maps for itself: the direct map, vmalloc, kmap, fixmap.
    processes
        The processes, by pid.
    oom_kills
        The processes that were killed for their memory.
    """

    def __init__(self, mode: PagingMode, machine: MemoryMap, *, cr4: int,
                 sysctl: Sysctl | None = None, rng: np.random.Generator | None = None) -> None:
        self.mode = mode
        self.rng = rng
        self.layout = layout_of(machine)
        self.platform = PLATFORMS[mode.name]
        self.user = self.platform.user
        memory = PhysicalMemory(sum(end - start for start, end in machine.memory))
        for start, end in machine.memory:
            memory.add(range(start, end))
        allocator = PageAllocator.boot(machine, sysctl=sysctl)
        kernel_start = self.layout.area(self.platform.kernel_half).start
        self.state = KernelState(mode, memory, allocator, kernel_start, self.layout.task_size, cr4)
        self.reclaimer = allocator.reclaim = Reclaimer(self.state)
        self.state.reclaim_pages = self.reclaimer.reclaim_pages
        self.state.frames.out_of_memory = self._out_of_memory
        self.kernel_space = KernelSpace(self.state.kernel_tables, self.state.tlb)
        self.map = KernelMap(machine, self.kernel_space)
        self.map.map_direct()
        if self.platform.preallocates_vmalloc:
            area = self.layout.vmalloc
            self.state.kernel_tables.preallocate(area.start, area.end)
        self.space = UserSpace(
            word_bytes=mode.vaddr_bits // 8, task_size=self.layout.task_size,
            huge_page_bytes=mode.levels[-2].page_bytes, soft_dirty=False,
            pkeys=bool(cr4 & Cr4.PKE))
        self.commit = Commit(limit=len(memory))
        self.files = KernelFiles(dict(self.state.hugetlb))
        self.processes: dict[int, Process] = {}
        self.current: Process | None = None
        self.oom_kills: list[OomKill] = []
        self._actors: list[Process | None] = []
        self._pids = count(1)
        self._init_pkru = INIT_PKRU if cr4 & Cr4.PKE else 0

    @classmethod
    def boot(cls, mode: PagingMode, memory_bytes: int, *, smap: bool = True, pcid: bool = True,
             pke: bool = False, sysctl: Sysctl | None = None,
             rng: np.random.Generator | None = None) -> "Kernel":
        """Return the kernel of a PC with so much memory; see ``pc_memory``.

        Two-level paging does not reach what is above 4 Gbytes.

        Parameters
        ----------
        smap, pcid, pke
            Whether CR4.SMAP is used, and CR4.PCIDE and CR4.PKE in the modes that have them.
        sysctl
            Tunables that differ from what a kernel boots with.
        rng
            Randomises the address space of each program; None for none. [randomize_va_space]

        Raise ``MemoryMapError`` for too little memory.
        """
        platform = PLATFORMS[mode.name]
        wanted = ((Cr4.SMAP, smap), (Cr4.PCIDE, pcid and mode.has_pcids),
                  (Cr4.PKE, pke and mode.has_protection_keys))
        cr4 = platform.cr4 | sum(bit for bit, used in wanted if used)
        machine = MemoryMap(pc_memory(memory_bytes), config=platform.config)
        return cls(mode, machine, cr4=cr4, sysctl=sysctl, rng=rng)

    @property
    def control(self) -> Control:
        """The registers that govern translation now."""
        return self.state.control(self.current.pkru if self.current is not None else 0)

    def swapon(self, device: SwapFile, priority: int | None = None) -> int:
        """Use a swap area; return its type. Raise as ``Swap.swapon``."""
        info = self.state.swap.swapon(device, priority)
        self.commit.limit += info.pages
        return info.type

    def swapoff(self, area: int | SwapFile) -> None:
        """Bring back what is in a swap area and use it no more. Raise as ``unuse.swapoff``."""
        spaces = [process.space for process in self.processes.values()]
        try:
            swapoff(self.state, self.commit, spaces, area)
        finally:
            self.reclaimer.run_kswapd()

    def set_nr_hugepages(self, count: int, page_bytes: int | None = None) -> int:
        """Have so many huge pages, as ``hugetlb.set_nr_hugepages`` does. [vm.nr_hugepages]"""
        with self.acting(None):
            return set_nr_hugepages(self.state.hugetlb, count, page_bytes)

    def register_file(self, file: File, content: bytes) -> bytearray:
        """Say what a file holds; return its bytes, which write-back changes."""
        data = bytearray(content)
        self.state.page_cache.register(file, data)
        return data

    # ---- processes

    def _new_process(self, name: str, mmap_base: int, rlimits: Rlimits | None,
                     parent: Process | None = None) -> Process:
        """Return a process with nothing mapped, not yet among the others."""
        space = UserTables(self.state, next(self._pids))
        space.mm = Mm(
            self.space, mmap_base, rlimits=rlimits, page_tables=space, commit=self.commit,
            files=self.files, topdown=parent is None or parent.mm.topdown,
            privileged=parent is not None and parent.mm.privileged)
        pkru = parent.pkru if parent is not None else self._init_pkru
        process = Process(space.number, name, space.mm, space, pkru)
        space.fault_in = lambda vaddr, write: self._fault_in(process, vaddr, write)
        return process

    def _new_program(self, name: str, program: Program | None,
                     rlimits: Rlimits | None) -> Process:
        """Return a process that runs a program, or has nothing mapped."""
        rlimits = rlimits if rlimits is not None else Rlimits()
        layout = self.user.layout(self.rng, stack_rlimit=rlimits.stack)
        process = self._new_process(name, layout.mmap_base, rlimits)
        with self._undone(process):
            if program is not None:
                exec_program(process.mm, program, layout, rng=self.rng)
        return process

    @contextmanager
    def _undone(self, process: Process) -> Iterator[None]:
        """Free a process that is not yet among the others if it cannot be completed."""
        try:
            yield
        except BaseException:
            self._free(process)
            raise

    def spawn(self, name: str, program: Program | None = None,
              rlimits: Rlimits | None = None) -> Process:
        """Return a new process that has no parent, with ``program`` or with nothing mapped.

        Raise ``SysError`` as ``exec_program``, ``OutOfMemory``.
        """
        with self.acting(None):
            process = self._new_program(name, program, rlimits)
            self.processes[process.pid] = process
        return process

    def exec(self, process: Process, program: Program) -> None:
        """Replace what a process runs; its old address space goes. [begin_new_exec]

        Raise as ``spawn``, with the process as it was: what Linux kills it for when it is too
        late to go back. Raise ``SysError(ESRCH)``, ``OomKilled``.
        """
        with self.acting(process):
            fresh = self._new_program(process.name, program, process.mm.rlimits)
            old = Process(process.pid, process.name, process.mm, process.space)
            process.mm, process.space, process.pkru = fresh.mm, fresh.space, fresh.pkru
            process.space.fault_in = lambda vaddr, write: self._fault_in(process, vaddr, write)
            process.min_flt += fresh.min_flt
            process.maj_flt += fresh.maj_flt
            if self.current is process:
                self.state.tlb.switch(process.space.context)
            self._free(old)
            self.release_shmem()

    def fork(self, parent: Process) -> Process:
        """Return a copy of a process that shares its pages until either writes. [kernel_clone]

        Raise ``SysError``: ENOMEM if its pages cannot be promised, ESRCH; ``OomKilled``.
        """
        with self.acting(parent):
            child = self._new_process(parent.name, parent.mm.mmap_base, replace(parent.mm.rlimits),
                                      parent)
            with self._undone(child):
                copy_mappings(parent.mm, child.mm)
                copy_page_range(parent.space, child.space)
            self.processes[child.pid] = child
        return child

    def exit(self, process: Process) -> None:
        """End a process and free all that it had; raise ``SysError(ESRCH)``. [do_exit, exit_mm]"""
        self._require(process)
        del self.processes[process.pid]
        if self.current is process:
            self.current = None
        self._free(process)
        self.release_shmem()

    def _free(self, process: Process) -> None:
        process.mm.exit()
        process.space.free()

    def _require(self, process: Process) -> None:
        """Raise ``SysError(ESRCH)`` for a process that has ended."""
        if self.processes.get(process.pid) is not process:
            raise SysError(errno.ESRCH)

    def release_shmem(self) -> None:
        """Free shared memory that no process maps any more. [shmem_evict_inode]"""
        files = self.state.page_cache.shmem_files()
        if files:
            used = {vma.file for process in self.processes.values() for vma in process.mm.tree}
            for file in files:
                if file not in used:
                    self.state.page_cache.drop(file)

    def switch(self, process: Process) -> None:
        """Let a process run; raise ``SysError(ESRCH)`` if it has ended. [context_switch]"""
        self._require(process)
        self.current = process
        self.state.tlb.switch(process.space.context)

    # ---- faults and reclaim

    def handle_page_fault(self, address: int, error_code: int, *, ac: bool = False,
                          fixup: bool = False) -> FaultResult:
        """Deal with a page fault of the process that runs; see ``fault.handle_page_fault``.

        A process that must go as there is no memory is ended, with SIGKILL as the result.
        """
        process, cr4 = self.current, self.state.tlb.cr4
        try:
            with self.acting(process):
                return handle_page_fault(
                    self.state, process, address, error_code, ac=ac, fixup=fixup,
                    smap=bool(cr4 & Cr4.SMAP), pkeys=bool(cr4 & Cr4.PKE))
        except OomKilled:
            signal = Signal(SignalNumber.SIGKILL, 0, address)
            return FaultResult(FaultOutcome.SIGNAL, signal=signal)

    def _fault_in(self, process: Process, vaddr: int, write: bool) -> None:
        """Make a page present as an access would; such faults count, too. [mm_account_fault]"""
        vma = process.mm.tree.lookup(vaddr)
        if vma is not None:
            _, major = handle_mm_fault(self.state, process, vma, vaddr, write=write)
            process.maj_flt += major
            process.min_flt += not major

    @contextmanager
    def acting(self, process: Process | None) -> Iterator[None]:
        """Work for a process, or for none, after which kswapd has its turn.

        All that may allocate memory for a process is done within: its calls, faults and copies,
        which may be within each other. If it is to be killed, it is ended once all that is
        unwound, and ``OomKilled`` goes on to the caller. Raise ``SysError(ESRCH)`` if it has
        ended.
        """
        if process is not None:
            self._require(process)
        self._actors.append(process)
        try:
            yield
        except OomKilled:
            if len(self._actors) == 1 and process is not None:
                self.exit(process)
            raise
        finally:
            self._actors.pop()
        if not self._actors:
            self.reclaimer.run_kswapd()

    def _out_of_memory(self, error: OutOfMemory) -> bool:
        """Kill the process that has most memory; return False if there is none. [out_of_memory]

        Raise ``OomKilled`` if it is the one that is being worked for; ``SwapIoError``, and kill
        nobody, if it is a swap device that fails for which there is no memory.
        """
        if self.reclaimer.write_error is not None:
            raise self.reclaimer.write_error from error
        victim = select_bad_process(self.processes.values())
        if victim is None:
            return False
        kill = OomKill(victim.pid, victim.name, victim.badness)
        self.oom_kills.append(kill)
        if victim in self._actors:
            raise OomKilled(kill)
        self.exit(victim)
        return True

    # ---- check

    def check(self) -> None:
        """Raise ``BrokenInvariant`` or ``BrokenMm`` if anything contradicts anything else."""
        self.map.vmalloc.check()
        check_machine(self.state, self.processes.values(), self.map.vmalloc.areas)
