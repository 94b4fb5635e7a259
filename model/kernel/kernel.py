"""The kernel of a machine: boot, processes, page faults, and what happens when memory runs out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count

import numpy as np

from ..address_space.auxv import Processor
from ..address_space.exec_arguments import Credentials, ExecArguments
from ..address_space.exec_layout import Program
from ..address_space.kernel_half.kernel_map import KernelMap
from ..address_space.limits import Rlimits, UserSpace
from ..address_space.vma import File
from ..mmu.control import Control
from ..mmu.widths import check_mode, check_width
from ..physical.memory_map import MemoryMap, pc_memory
from ..physical.reserves import Sysctl
from ..x86 import Cr4, PagingMode
from .file_table import FileTable
from .hugetlb_pool import set_nr_hugepages
from .kernel_space import KernelSpace
from .machine_check import check_machine
from .new_space import NewSpaces
from .oom import OomKill, OomKilled, OomKiller
from .page_fault import FaultOutcome, FaultResult, Signal, SignalNumber, handle_page_fault
from .platform import KERNEL_MODES, PLATFORMS
from .process import INIT_PID, INIT_PKRU, Process
from .process_table import ProcessTable
from .reclaimer import Reclaimer
from .state import KernelState
from .swap.file import SwapFile
from .swapoff import swapoff
from .tlb_flush import Invalidation

__all__ = ["Kernel"]

ROOT, USER = Credentials(), Credentials(1000, 1000, 1000, 1000)


class Kernel:
    """A machine of one node and one processor that has booted, with no process yet.

    Make one with ``boot``. One process runs at a time: ``current``. Whoever has the TLB enters
    the kernel within ``invalidations``, and carries out what it gets there before the next access.

    Members
    -------
    state
        Memory and all that is known of it.
    platform
        What the paging mode decides.
    layout, user
        Where the kernel's areas and a process's parts lie.
    map
        What the kernel maps for itself: the direct map, vmalloc, kmap, fixmap.
    oom
        Kills processes for their memory.
    """

    def __init__(self, mode: PagingMode, machine: MemoryMap, *, cr4: int,
                 sysctl: Sysctl | None = None, rng: np.random.Generator | None = None,
                 entropy: np.random.Generator | None = None,
                 processor: Processor | None = None) -> None:
        self.mode = mode
        self.rng = rng
        self._table = ProcessTable()
        self.oom = OomKiller(self._table)
        self.state = KernelState(mode, machine, cr4=cr4, kill=self.oom.kill, sysctl=sysctl,
                                 current_mm=lambda: self._table.current_mm, rng=rng)
        self.platform = self.state.platform
        self.layout, self.user = self.state.layout, self.platform.user
        self.kernel_space = KernelSpace(self.state.kernel_tables, self.state.tlb)
        self.map = KernelMap(machine, self.kernel_space,
                             total_pages=lambda: self.state.allocator.totalram_pages)
        self.map.map_direct()
        if self.platform.preallocates_vmalloc:
            area = self.layout.vmalloc
            self.state.kernel_tables.preallocate(area.start, area.end)
        self.space = UserSpace(
            word_bytes=mode.vaddr_bits // 8, task_size=self.layout.task_size,
            huge_page_bytes=mode.levels[-2].page_bytes, soft_dirty=False,
            pkeys=bool(cr4 & Cr4.PKE))
        self.commit, self.files = self.state.commit, self.state.files
        self._new_spaces = NewSpaces(
            self.state, lambda: self.space,
            self.platform.processor if processor is None else processor, rng, entropy)
        self._pids = count(INIT_PID + 1)
        self._init_pkru = INIT_PKRU if cr4 & Cr4.PKE else 0

    @classmethod
    def boot(cls, mode: PagingMode, memory_bytes: int, *, smap: bool = True, pcid: bool = True,
             pke: bool = False, sysctl: Sysctl | None = None,
             rng: np.random.Generator | None = None,
             entropy: np.random.Generator | None = None,
             processor: Processor | None = None) -> "Kernel":
        """Return the kernel of a PC with so much memory; see ``pc_memory``.

        Two-level paging does not reach what is above 4 Gbytes.
        Raise ``MemoryMapError`` for too little memory, ``ValueError`` for a size that is negative
        or more than physical addresses reach, or a mode that no ``Platform`` is for, and
        ``TypeError`` for an argument of another type.

        Parameters
        ----------
        smap, pcid, pke
            Whether CR4.SMAP is used, and CR4.PCIDE and CR4.PKE in the modes that have them.
        sysctl
            Tunables that differ from what a kernel boots with.
        rng
            Randomises the address space of each program, and where swap on solid-state disks
            begins; None for neither. [randomize_va_space]
        entropy
            Draws the random bytes that each program is given; None for zeros.
        processor
            What programs are told of the processor, if not what the ``Platform`` has.
        """
        _check_boot(mode, memory_bytes, sysctl, rng, entropy)
        platform = PLATFORMS[mode.name]
        wanted = ((Cr4.SMAP, smap), (Cr4.PCIDE, pcid and mode.has_pcids),
                  (Cr4.PKE, pke and mode.has_protection_keys))
        cr4 = platform.cr4 | sum(bit for bit, used in wanted if used)
        machine = MemoryMap(pc_memory(memory_bytes), config=platform.config)
        return cls(mode, machine, cr4=cr4, sysctl=sysctl, rng=rng, entropy=entropy,
                   processor=processor)

    @property
    def control(self) -> Control:
        """The registers that govern translation now."""
        return self.state.control(self.current.pkru if self.current is not None else 0)

    @property
    def reclaimer(self) -> Reclaimer:
        """What frees memory that is in use."""
        return self.state.reclaimer

    @property
    def processes(self) -> dict[int, Process]:
        """The processes that live, by pid."""
        return self._table.by_pid

    @property
    def current(self) -> Process | None:
        """The process that runs, None if none does."""
        return self._table.current

    @property
    def oom_kills(self) -> list[OomKill]:
        """The processes that were killed for their memory."""
        return self.oom.kills

    def invalidations(self) -> AbstractContextManager[list[Invalidation]]:
        """Give the list of what the TLB is owed by all that happens within, oldest first.

        See ``TlbState.collecting``.
        """
        return self.state.tlb.collecting()

    # ---- settings

    def swapon(self, device: SwapFile, priority: int | None = None) -> int:
        """Use a swap area; return its type. Raise as ``Swap.swapon``."""
        return self.state.swap.swapon(device, priority,
                                      solid_state=not device.latency.rotational).type

    def swapoff(self, area: int | SwapFile, process: Process | None = None) -> None:
        """Bring back what is in a swap area and use it no more. Raise as ``swapoff.swapoff``.

        The process that asks for it is the first to be killed for memory that is lacking: raise
        ``OomKilled``; nobody is if no process does. [set_current_oom_origin]
        """
        spaces = [one.space for one in self.processes.values()]
        try:
            with self.oom.origin(process):
                swapoff(self.state, self.commit, spaces, area,
                        process.mm.total_vm if process is not None else 0)
        finally:
            if process is None:
                self.reclaimer.run_kswapd()

    def set_nr_hugepages(self, count: int, page_bytes: int | None = None) -> int:
        """Have so many huge pages, as ``hugetlb_pool.set_nr_hugepages``. [vm.nr_hugepages]"""
        with self.acting(None):
            return set_nr_hugepages(self.state.hugetlb, count, page_bytes)

    def register_file(self, file: File, content: bytes) -> bytearray:
        """Say what a file holds; return its bytes, which write-back changes.

        Those of a file of tmpfs are in memory at once, and what is returned does not change. Raise
        ``ValueError`` if that was said, ``OutOfMemory``. See ``PageCache.register``.
        """
        data = bytearray(content)
        if file.is_shmem:
            with self.acting(None):
                self.state.shmem.create(self.state.page_cache.add_tmpfs(file, len(data)), content)
        else:
            self.state.page_cache.register(file, data)
        return data

    # ---- processes

    def spawn(self, name: str, program: Program | None = None, rlimits: Rlimits | None = None, *,
              arguments: ExecArguments | None = None, credentials: Credentials | None = None,
              privileged: bool = False, init: bool = False) -> Process:
        """Return a new process that has no parent, with ``program`` or with nothing mapped.

        Raise ``SysError`` as ``exec_program``, ``OutOfMemory``, and ``ValueError`` for a second
        ``init``.

        Parameters
        ----------
        arguments
            What the program starts with; see ``NewSpaces.of_program``.
        credentials
            Whose it is: by default user and group 0 if it is privileged, else 1000.
        privileged
            Whether it is the administrator's; see ``Mm``.
        init
            Whether it is the first process of the machine, with pid 1: it is not killed for its
            memory, and must not end. Others begin with pid 2, whether there is one or not.
        """
        if init and INIT_PID in self.processes:
            raise ValueError("A machine has one init only")
        with self.acting(None):
            rlimits = rlimits if rlimits is not None else Rlimits()
            who = credentials if credentials is not None else ROOT if privileged else USER
            start = None
            if program is None:
                space = self._new_spaces.empty(rlimits, privileged=privileged)
            else:
                space, start = self._new_spaces.of_program(program, arguments, rlimits, who,
                                                           privileged=privileged)
            pid = INIT_PID if init else self.new_pid()
            process = Process(pid, name, space, FileTable(self.files), self._init_pkru,
                              credentials=who, start=start)
            self.processes[pid] = process
        return process

    def exec(self, process: Process, program: Program,
             arguments: ExecArguments | None = None) -> None:
        """Replace what a process runs; its old address space goes. [begin_new_exec]

        ``process.start`` says then where the new program begins. Raise as ``spawn``, with the
        process as it was: after a ``LateExecError`` Linux would have killed it. Raise
        ``SysError(ESRCH)``, ``OomKilled``.
        """
        with self.acting(process):
            old = process.space
            space, start = self._new_spaces.of_program(
                program, arguments, old.mm.rlimits, process.credentials,
                privileged=old.mm.privileged, read_implies_exec=old.mm.read_implies_exec)
            space.take_over_faults(old)
            process.space, process.pkru, process.start = space, self._init_pkru, start
            if self.current is process:
                self.state.tlb.switch(space.context)
            process.files = process.files.exec()
            old.put()

    def fork(self, parent: Process, *, shares_memory: bool = False, **shares: bool) -> Process:
        """Return a copy of a process that shares its pages until either writes, or for good.

        ``shares`` are as for ``Process.copy``. Raise ``SysError``: ENOMEM if its pages cannot be
        promised, ESRCH; ``OomKilled``. [kernel_clone, CLONE_VM]
        """
        with self.acting(parent):
            space = parent.space if shares_memory else self._new_spaces.copy(parent.space)
            space.users += shares_memory
            child = parent.copy(self.new_pid(), space, **shares)
            self.processes[child.pid] = child
        return child

    def new_pid(self) -> int:
        """Return a number that no process or task has had. [alloc_pid]"""
        return next(self._pids)

    def exit(self, process: Process) -> None:
        """End a process and free all that it had.

        Raise ``SysError(ESRCH)``, and ``AttemptedToKillInit`` for the first one. [do_exit, exit_mm]
        """
        self._table.exit(process)

    def switch(self, process: Process) -> None:
        """Let a process run; raise ``SysError(ESRCH)`` if it has ended. [context_switch]"""
        self._table.require(process)
        self._table.current = process
        self.state.tlb.switch(process.space.context)

    # ---- faults and calls

    def handle_page_fault(self, address: int, error_code: int, *, ac: bool = False,
                          fixup: bool = False) -> FaultResult:
        """Deal with a page fault of the process that runs; see ``page_fault.handle_page_fault``.

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

    @contextmanager
    def acting(self, process: Process | None) -> Iterator[None]:
        """Work for a process, or for none, after which kswapd has its turn.

        All that may allocate memory for a process is done within: its calls, faults and copies,
        which may be within each other. If it is to be killed, it is ended once all that is
        unwound, and ``OomKilled`` goes on to the caller. Raise ``SysError(ESRCH)`` if it has
        ended.
        """
        actors = self._table.actors
        if process is not None:
            self._table.require(process)
        actors.append(process)
        try:
            yield
        except OomKilled:
            if len(actors) == 1 and process is not None:
                self.exit(process)
            raise
        finally:
            actors.pop()
        if not actors:
            self.reclaimer.run_kswapd()

    # ---- check

    def check(self) -> None:
        """Raise ``BrokenInvariant`` or ``BrokenMm`` if anything contradicts anything else."""
        self.map.vmalloc.check()
        check_machine(self.state, self.processes.values(), self.map.vmalloc.areas)


def _check_boot(mode: PagingMode, memory_bytes: int, sysctl: Sysctl | None,
                *generators: np.random.Generator | None) -> None:
    """Raise ``TypeError`` or ``ValueError`` for what is no argument of ``Kernel.boot``."""
    check_mode(mode)
    if mode.name not in KERNEL_MODES:
        raise ValueError(f"Paging mode must be one of {', '.join(KERNEL_MODES)}, not {mode.name}")
    check_width("Memory in bytes", memory_bytes, 52)
    if sysctl is not None and not isinstance(sysctl, Sysctl):
        raise TypeError(f"Tunables must be a Sysctl, not {sysctl!r}")
    for one in generators:
        if one is not None and not isinstance(one, np.random.Generator):
            raise TypeError(f"Random numbers must come from a numpy Generator, not {one!r}")
