"""The kernel of a machine: boot, processes, page faults, and what happens when memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import numpy as np

from ..address_space.direct_map import DirectMap, direct_map_ranges
from ..address_space.exec_layout import Program, exec_program
from ..address_space.fork import copy_mappings
from ..address_space.kernel_files import KernelFiles
from ..address_space.layout import AreaKind, layout_of
from ..address_space.limits import Commit, Rlimits, UserSpace
from ..address_space.mm import Mm
from ..address_space.user_layout import USER_AMD64, USER_I686
from ..address_space.vma import File
from ..mmu.control import Control
from ..physical.errors import BrokenInvariant
from ..physical.kernel_config import AMD64, I686
from ..physical.memory import PhysicalMemory
from ..physical.memory_map import E820Range, MemoryMap
from ..physical.out_of_memory import OutOfMemory
from ..physical.page_alloc import PageAllocator
from ..physical.reserves import Sysctl
from ..x86 import Cr4, PagingMode
from .fault import FaultOutcome, FaultResult, Signal, SignalNumber, handle_page_fault
from .kernel_space import KernelSpace
from .memory_fault import handle_mm_fault
from .process import Process
from .state import KernelState
from .swap_file import SwapFile
from .unuse import swapoff
from .user_tables import UserTables
from .vmscan import Reclaimer

__all__ = ["Kernel", "OomKill", "OomKilled"]

CR4_LONG = Cr4.PAE | Cr4.PGE | Cr4.SMEP
CR4_IA32 = Cr4.PSE | Cr4.PGE


@dataclass(frozen=True, slots=True)
class OomKill:
    """A process that was killed for its memory; ``pages`` is what it had. [oom_kill_process]"""

    pid: int
    name: str
    pages: int

    def __str__(self) -> str:
        """Return it as the kernel prints it, but for the counts of kinds of pages."""
        return f"Out of memory: Killed process {self.pid} ({self.name}) pages:{self.pages}"


class OomKilled(Exception):
    """A system call that did not return, as its process was killed for its memory."""

    def __init__(self, kill: OomKill) -> None:
        super().__init__(str(kill))
        self.kill = kill


class Kernel:
    """A machine of one node and one processor that has booted, with no process yet.

    Make one with ``boot``. One process runs at a time: ``current``. What the TLB is owed stands
    in ``state.tlb.pending``, which whoever has the TLB must take and carry out before each
    access.

    Members
    -------
    state, reclaimer
        Memory and all that is known of it, and who frees it.
    layout, user
        Where the kernel's areas and a process's parts lie.
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
        self.user = USER_AMD64 if mode.entry_bytes == 8 else USER_I686
        memory = PhysicalMemory(sum(end - start for start, end in machine.memory))
        for start, end in machine.memory:
            memory.add(range(start, end))
        allocator = PageAllocator.boot(machine, sysctl=sysctl)
        kernel_start = (self.layout.page_offset if mode.entry_bytes == 4
                        else self.layout.area(AreaKind.GUARD).start)
        self.state = KernelState(mode, memory, allocator, kernel_start, self.layout.task_size, cr4)
        self.reclaimer = allocator.reclaim = Reclaimer(self.state)
        self.state.frames.out_of_memory = self._out_of_memory
        self.kernel_space = KernelSpace(self.state.kernel_tables, self.state.tlb)
        self._map_kernel(machine)
        self.space = UserSpace(
            word_bytes=mode.entry_bytes, task_size=self.layout.task_size,
            huge_page_bytes=mode.levels[-2].page_bytes, soft_dirty=False,
            pkeys=bool(cr4 & Cr4.PKE))
        self.commit = Commit(limit=len(memory))
        self.files = KernelFiles()
        self.processes: dict[int, Process] = {}
        self.current: Process | None = None
        self.oom_kills: list[OomKill] = []
        self._actor: Process | None = None
        self._pids = count(1)

    @classmethod
    def boot(cls, mode: PagingMode, memory_bytes: int, *, smap: bool = True, pcid: bool = True,
             pke: bool = False, sysctl: Sysctl | None = None,
             rng: np.random.Generator | None = None) -> "Kernel":
        """Return the kernel of a machine with so much memory, 640 Kbytes of it below 1 Mbyte.

        Parameters
        ----------
        smap, pcid, pke
            Whether CR4.SMAP is used, and on x86-64 CR4.PCIDE and CR4.PKE.
        sysctl
            Tunables that differ from what a kernel boots with.
        rng
            Randomises the address space of each program; None for none. [randomize_va_space]
        """
        long = mode.entry_bytes == 8
        cr4 = (CR4_LONG if long else CR4_IA32) | (Cr4.SMAP if smap else 0)
        if long:
            cr4 |= (Cr4.PCIDE if pcid else 0) | (Cr4.PKE if pke else 0)
        e820 = E820Range(0, 0x9FC00), E820Range(1 << 20, memory_bytes)
        return cls(mode, MemoryMap(e820, config=AMD64 if long else I686), cr4=cr4,
                   sysctl=sysctl, rng=rng)

    def _map_kernel(self, machine: MemoryMap) -> None:
        """Map all memory that has a fixed address, and on x86-64 the upper tables of vmalloc."""
        sizes = tuple(level.page_bytes for level in self.mode.pages)
        ranges = direct_map_ranges(machine, page_sizes=sizes)
        DirectMap(self.layout).map(ranges, self.kernel_space)
        if self.mode.entry_bytes == 8:
            area = self.layout.vmalloc
            self.state.kernel_tables.preallocate(area.start, area.end)

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

    def register_file(self, file: File, content: bytes) -> bytearray:
        """Say what a file holds; return its bytes, which write-back changes."""
        data = bytearray(content)
        self.state.page_cache.register(file, data)
        return data

    # ---- processes

    def _new_space(self) -> UserTables:
        return UserTables(self.state, next(self._pids))

    def _new_process(self, name: str, space: UserTables, mm: Mm, pkru: int = 0) -> Process:
        space.mm = mm
        process = Process(space.number, name, mm, space, pkru)
        space.fault_in = lambda vaddr, write: self._fault_in(process, vaddr, write)
        return process

    def spawn(self, name: str, program: Program | None = None,
              rlimits: Rlimits | None = None) -> Process:
        """Return a new process that has no parent, with ``program`` or with nothing mapped.

        Raise ``SysError`` as ``exec_program``, ``OutOfMemory``.
        """
        process = self._new_program(name, program, rlimits)
        self.processes[process.pid] = process
        return process

    def _new_program(self, name: str, program: Program | None,
                     rlimits: Rlimits | None) -> Process:
        """Return a process with an address space of its own, not yet among the others."""
        layout = self.user.layout(self.rng)
        space = self._new_space()
        mm = Mm(self.space, layout.mmap_base, rlimits=rlimits, page_tables=space,
                commit=self.commit, files=self.files)
        process = self._new_process(name, space, mm)
        try:
            if program is not None:
                exec_program(mm, program, layout, rng=self.rng)
        except BaseException:
            self._free(process)
            raise
        return process

    def exec(self, process: Process, program: Program) -> None:
        """Replace what a process runs; its old address space goes. [begin_new_exec]

        Raise as ``spawn``, with the process as it was: what Linux kills it for when it is too
        late to go back.
        """
        old = Process(process.pid, process.name, process.mm, process.space)
        fresh = self._new_program(process.name, program, process.mm.rlimits)
        process.mm, process.space, process.pkru = fresh.mm, fresh.space, 0
        process.space.fault_in = lambda vaddr, write: self._fault_in(process, vaddr, write)
        if self.current is process:
            self.state.tlb.switch(process.space.context)
        self._free(old)
        self.release_shmem()

    def fork(self, parent: Process) -> Process:
        """Return a copy of a process that shares its pages until either writes. [kernel_clone]

        Raise ``SysError(ENOMEM)``, ``OomKilled``.
        """
        space = self._new_space()
        mm = Mm(self.space, parent.mm.mmap_base, rlimits=parent.mm.rlimits, page_tables=space,
                commit=self.commit, files=self.files, privileged=parent.mm.privileged)
        child = self._new_process(parent.name, space, mm, parent.pkru)
        try:
            with self.acting(parent):
                copy_mappings(parent.mm, mm)
                parent.space.copy_to(space)
        except BaseException:
            self._free(child)
            raise
        self.processes[child.pid] = child
        return child

    def exit(self, process: Process) -> None:
        """End a process and free all that it had. [do_exit, exit_mm]"""
        del self.processes[process.pid]
        if self.current is process:
            self.current = None
        self._free(process)
        self.release_shmem()

    def _free(self, process: Process) -> None:
        process.mm.exit()
        process.space.free()

    def release_shmem(self) -> None:
        """Free shared memory that no process maps any more. [shmem_evict_inode]"""
        files = self.state.page_cache.shmem_files()
        if files:
            used = {vma.file for process in self.processes.values() for vma in process.mm.tree}
            for file in files:
                if file not in used:
                    self.state.page_cache.drop(file)

    def switch(self, process: Process) -> None:
        """Let a process run. [context_switch]"""
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
        vma = process.mm.tree.lookup(vaddr)
        if vma is not None:
            handle_mm_fault(self.state, process, vma, vaddr, write=write)

    @contextmanager
    def acting(self, process: Process | None) -> Iterator[None]:
        """Work for a process, after which kswapd has its turn.

        If the process is to be killed, it is ended once the work is unwound, and ``OomKilled``
        goes on to the caller.
        """
        before, self._actor = self._actor, process
        try:
            yield
        except OomKilled:
            if process is not None and process.pid in self.processes:
                self.exit(process)
            raise
        finally:
            self._actor = before
        self.reclaimer.run_kswapd()

    def _out_of_memory(self, error: OutOfMemory) -> bool:
        """Kill the process that has most memory; return False if there is none. [out_of_memory]

        Raise ``OomKilled`` if it is the one that is being worked for.
        """
        victim = max(self.processes.values(), key=lambda one: one.badness, default=None)
        if victim is None:
            return False
        kill = OomKill(victim.pid, victim.name, victim.badness)
        self.oom_kills.append(kill)
        if victim is self._actor:
            raise OomKilled(kill)
        self.exit(victim)
        return True

    # ---- check

    def check(self) -> None:
        """Raise ``BrokenInvariant`` or ``BrokenMm`` if anything contradicts anything else."""
        state = self.state
        state.frames.check()
        state.kernel_tables.check()
        state.tlb.check()
        state.swap.check()
        state.lruvec.check()
        state.page_cache.check()
        state.shmem.check()
        for process in self.processes.values():
            process.check()
        rss = sum(process.space.rss for process in self.processes.values())
        if rss != state.frames.rmap.total:
            raise BrokenInvariant(f"Processes map {rss} pages, but {state.frames.rmap.total} are "
                                  "known to be mapped")
        swapped = sum(process.space.swapped for process in self.processes.values())
        counted = state.swap.references()
        in_files = state.shmem.swapped
        if swapped + in_files != counted:
            raise BrokenInvariant(f"Page tables hold {swapped} swap entries and shared memory "
                                  f"{in_files}, but slots have {counted} references")
        self._check_frames()

    def _check_frames(self) -> None:
        """Every allocated frame has a use: a table, a user's page, a cache, or zeros."""
        state = self.state
        users = {*state.frames.rmap.mapped(), *state.swap.cached(), *state.page_cache.frames_used()}
        tables = sum(state.kernel_tables.tables) + sum(
            sum(process.space.tables.tables) for process in self.processes.values())
        expected = len(users) + tables + 1
        if state.frames.allocated() != expected:
            raise BrokenInvariant(f"{state.frames.allocated()} frames are allocated, but "
                                  f"{expected} are used")
