"""Programs on the kernel model, in an address space laid out as that of the native runner."""

from dataclasses import replace

from pagewalk.model.address_space.limits import Rlimits
from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.address_space.vma import File, SpecialMapping, Vma, VmFlag
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.page_fault import Signal, handle_general_protection
from pagewalk.model.kernel.proc.smaps import smaps
from pagewalk.model.kernel.process import Process
from pagewalk.model.mmu.walk import is_canonical
from pagewalk.model.x86 import PAGE_SHIFT, X86_64, Vector

from ..model.kernel.machines import MIB, PAGE, SHARED, Cpu
from .host import Host
from .native import FENCE_BYTES, FILE_BYTES, MEMFD_BYTES, Layout, OwnMapping, file_content
from .program import WORD, Arg, Base, Outcome, Program, Step, parse_smaps

__all__ = ["ModelKernel"]


class Signalled(Exception):
    """An access ended in a signal, which the process survives."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(str(signal))
        self.signal = signal


class SurvivingCpu(Cpu):
    """A processor whose processes handle their signals."""

    def on_signal(self, signal: Signal) -> None:
        raise Signalled(signal)


class ModelKernel:
    """A machine of the model that has the settings of a host.

    Parameters
    ----------
    layout
        Where the runner's processes have what is theirs.
    host
        The settings of the host.
    """

    def __init__(self, layout: Layout, host: Host) -> None:
        self.layout = layout
        self.kernel = kernel = Kernel.boot(X86_64, 64 * MIB)
        kernel.space = replace(kernel.space, mmap_min_addr=host.mmap_min_addr,
                               max_map_count=host.max_map_count)
        kernel.commit.mode = host.overcommit
        self.cpu, self.calls = SurvivingCpu(kernel), SystemCalls(kernel)

    def run(self, program: Program) -> list[Outcome]:
        """Return what the steps of a program come to; the machine is then as it was before.

        The model checks itself at the end. If that fails, or anything else but what a call may end
        in, it is what the last step came to; the machine is then not to be used any more.
        """
        files = [File(f"file{number}", writable=number == 0) for number in range(len(FILE_BYTES))]
        outcomes = _Run(self, program, files if program.uses_files else []).run()
        if not outcomes[-1].broken:
            for process in list(self.kernel.processes.values()):
                self.kernel.switch(process)
                self.calls.exit()
            for file in files:
                self.kernel.state.page_cache.drop(file)
        return outcomes


class _Run:
    """One run of a program."""

    def __init__(self, world: ModelKernel, program: Program, files: list[File]) -> None:
        self.kernel, self.cpu, self.calls = world.kernel, world.cpu, world.calls
        self.layout, self.program = world.layout, program
        self.results: list[int] = []
        self.used: set[int] = {0}
        self.processes = {0: self._first_process()}
        for number, file in enumerate(files):
            self._open(file, number)
        if files:
            assert self.calls.memfd_create("file2", 0) == len(files)
            assert self.calls.ftruncate(len(files), MEMFD_BYTES) == 0

    def _first_process(self) -> Process:
        process = self.kernel.spawn("program", rlimits=Rlimits(memlock=self.program.memlock))
        mm, layout = process.mm, self.layout
        mm.mmap_base = layout.mmap_base
        mm.start_brk, mm.brk_end = layout.heap_start, layout.heap
        mm.start_stack = WORD  # in no mapping of the program
        mm.end_data = layout.data_bytes
        for own in layout.own:
            if own.end <= mm.space.task_size:
                _put_runner(process, own)
        self.kernel.switch(process)
        for start, size in ((layout.heap_start, PAGE), (layout.fence, FENCE_BYTES)):
            assert self.calls.mmap(start, size, 0, SHARED | MapFlag.FIXED) == start
        if self.program.address_space >= 0:
            mm.rlimits.address_space = (mm.total_vm + self.program.address_space) * PAGE
        if self.program.data >= 0:
            mm.rlimits.data = (mm.data_vm + self.program.data) * PAGE
        return process

    def _open(self, file: File, number: int) -> None:
        """Open a file whose pages are in memory and clean."""
        state = self.kernel.state
        content = self.kernel.register_file(file, file_content(number))
        space = state.page_cache.space(file)
        for index in range(-(-len(content) // PAGE)):
            pfn, _ = state.file_page(space, index)
            state.frames.put(pfn)
        assert self.calls.open(file) == number

    def run(self) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            self._run_steps(outcomes)
        except Exception as error:
            broken = Outcome(broken=f"{type(error).__name__}: {error}")
            outcomes += [broken] * (len(self.program.steps) - len(outcomes))
            outcomes[-1] = broken
        return outcomes

    def _run_steps(self, outcomes: list[Outcome]) -> None:
        for step in self.program.steps:
            self.results.append(0)
            process = self.processes.get(step.process)
            if process is None or (step.name == "exit" and not step.process):
                outcomes.append(Outcome(skipped=True))
                continue
            self.kernel.switch(process)
            outcomes.append(self._take(step, process))
            self.results[-1] = outcomes[-1].result
        for process in self.processes.values():
            process.check()
        self.kernel.check()

    def _take(self, step: Step, process: Process) -> Outcome:
        args = [self._value(arg) for arg in step.args]
        match step.name:
            case "show":
                return self._show(process)
            case "fork":
                return self._fork(args[0])
            case "exit":
                self.calls.exit()
                del self.processes[step.process]
                return Outcome()
        minor, major, signal = process.min_flt, process.maj_flt, None
        pages_in = self.kernel.state.page_cache.pages_in
        result = 0
        try:
            if step.name in ACCESSES:
                result = self._access(step.name, *args)
            else:
                result = getattr(self.calls, step.name)(*args) % WORD
        except Signalled as ended:
            signal = (int(ended.signal.number), int(ended.signal.code), ended.signal.address)
        return Outcome(result, signal, process.min_flt - minor, process.maj_flt - major,
                       reads=self.kernel.state.page_cache.pages_in != pages_in)

    def _value(self, arg: Arg) -> int:
        match arg.base:
            case Base.NUMBER | Base.FILE:
                return arg.value
            case Base.ARENA:
                return (self.layout.arena + arg.value) % WORD
            case Base.HEAP:
                return (self.layout.heap + arg.value) % WORD
        place = self.results[arg.base - Base.RESULT]
        return ((self.layout.arena if place > WORD - PAGE else place) + arg.value) % WORD

    def _access(self, name: str, address: int, value: int = 0) -> int:
        if not is_canonical(self.kernel.mode, address):
            raise Signalled(handle_general_protection(Vector.GP, address, user=True).signal)
        size = 1 if name.endswith("b") else 8
        if name.startswith("load"):
            return int.from_bytes(self.cpu.load(address, size), "little")
        self.cpu.store(address, (value % (1 << 8 * size)).to_bytes(size, "little"))
        return 0

    def _fork(self, number: int) -> Outcome:
        self.used.add(number)
        pid = self.calls.fork()
        self.processes[number] = self.kernel.processes[pid]
        for own in self.layout.own:
            _put_tables(self.processes[number], own)
        return Outcome()

    def _show(self, process: Process) -> Outcome:
        own = [range(one.start, one.end) for one in self.layout.own]
        mappings = parse_smaps(smaps(self.kernel.state, process).splitlines())
        mm, tables = process.mm, process.space.tables.pgtables_bytes >> 10
        pages = mm.locked_vm, mm.total_vm, mm.data_vm, mm.stack_vm
        return Outcome(status=(tables, *(4 * count for count in pages)), mappings=tuple(
            mapping for mapping in mappings
            if not any(mapping.start in one for one in own)))


def _put_runner(process: Process, own: OwnMapping) -> None:
    """Put a mapping of the runner where it is, with page tables if it has pages."""
    flags = VmFlag.MAY_ACCESS | VmFlag.GROWSDOWN * own.is_stack
    for letter, flag in (("r", VmFlag.READ), ("w", VmFlag.WRITE), ("x", VmFlag.EXEC),
                         ("s", VmFlag.SHARED)):
        flags |= flag * (letter in own.rights)
    process.mm.tree.insert(Vma(own.start, own.end, flags, 0, special=SpecialMapping("[runner]")))
    process.mm.account(flags, own.end - own.start >> PAGE_SHIFT)
    _put_tables(process, own)


def _put_tables(process: Process, own: OwnMapping) -> None:
    """Make the page tables of what the runner has in memory, in a child as in its parent."""
    task_size = process.mm.space.task_size
    present = own.present and own.end <= task_size
    for address in range(own.start, own.end, PAGE) if present else ():
        process.space.tables.alloc(address)


ACCESSES = ("load", "loadb", "store", "storeb")
