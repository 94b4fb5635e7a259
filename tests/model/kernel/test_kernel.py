"""Boot, fork, exit, and killing whoever has most."""

import numpy as np
import pytest

from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.limits import INFINITY, Rlimits
from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.physical.memory_map import MemoryMapError
from pagewalk.model.x86 import IA32, X86_64, Cr3

from .machines import ANON, MIB, MODES, PAGE, RW, Cpu, counted, machine, owed

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
PROGRAM = Program(File("program"), [ProgramHeader(0, 0, PAGE, PAGE, Prot.READ | Prot.EXEC)],
                  is_pie=True)


@both
def test_a_machine_that_boots_is_sound(mode):
    kernel = Kernel.boot(mode, 64 * MIB)
    kernel.check()
    assert kernel.processes == {}
    assert kernel.control.cr3 >> 12 == kernel.state.kernel_tables.root


@both
def test_a_machine_with_hardly_any_memory_cannot_boot(mode):
    for memory_bytes in (0, PAGE, MIB):
        with pytest.raises(MemoryMapError, match="leaves no memory to the kernel"):
            Kernel.boot(mode, memory_bytes)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (("x86_64", 64 * MIB), TypeError, "Paging mode must be a PagingMode, not 'x86_64'"),
    ((None, 64 * MIB), TypeError, "Paging mode must be a PagingMode, not None"),
    ((X86_64, 64.5), TypeError, "Memory in bytes must be an integer, not 64.5"),
    ((X86_64, "64M"), TypeError, "Memory in bytes must be an integer, not '64M'"),
    ((X86_64, -1), ValueError, "Memory in bytes must be a number of 52 bits, not -0x1"),
    ((IA32, 1 << 52), ValueError, f"Memory in bytes must be a number of 52 bits, not {1 << 52:#x}"),
], ids=["name", "no mode", "float", "string", "negative", "too much"])
def test_boot_names_an_argument_that_is_none(arguments, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        Kernel.boot(*arguments)


def test_boot_names_options_of_another_type():
    with pytest.raises(TypeError, match=r"^Random numbers must come from a numpy Generator, "
                                        r"not 5$"):
        Kernel.boot(X86_64, 64 * MIB, rng=5)
    with pytest.raises(TypeError, match=r"^Tunables must be a Sysctl, not 60$"):
        Kernel.boot(X86_64, 64 * MIB, sysctl=60)


@pytest.mark.slow
@both
def test_a_pc_has_its_devices_below_4_gbytes(mode):
    below = Kernel.boot(mode, 3580 * MIB).state.frames
    assert below.end_pfn == 3580 * MIB // PAGE
    end = Kernel.boot(mode, 3584 * MIB).state.frames.end_pfn
    assert end == (3072 if mode is IA32 else 4096 + 512) * MIB // PAGE


def test_a_machine_with_highmem_serves_processes_from_it():
    kernel, cpu, process = machine(IA32, megabytes=1024)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"x")
    pfn = process.space.tables.pfn(process.space.tables.lookup(start).entry)
    assert pfn * PAGE >= kernel.layout.high_memory - kernel.layout.page_offset
    assert process.space.tables.root * PAGE < pfn * PAGE
    kernel.exit(process)
    kernel.check()


@both
def test_hundreds_of_processes_leave_nothing(mode):
    kernel = Kernel.boot(mode, 16 * MIB)
    before = counted(kernel)
    cpu = Cpu(kernel)
    for number in range(300):
        parent = kernel.spawn("parent")
        kernel.switch(parent)
        start = parent.mm.mmap(0, 3 * PAGE, RW, ANON)
        cpu.store(start, b"x")
        child = kernel.fork(parent)
        first, second = (parent, child) if number % 2 else (child, parent)
        kernel.exit(first)
        kernel.switch(second)
        cpu.store(start, b"y")
        kernel.exit(second)
    kernel.check()
    assert counted(kernel) == before


def test_pcids_keep_what_is_cached_across_switches():
    kernel, _, process = machine(X86_64)
    child = kernel.fork(process)
    for one, keeps in ((child, False), (process, True), (child, True)):
        owed(kernel)
        kernel.switch(one)
        assert bool(owed(kernel)[0].new & Cr3.NO_FLUSH) is keeps
    grandchild = kernel.fork(process)  # write-protects pages of one that does not run
    kernel.switch(process)
    assert not owed(kernel)[0].new & Cr3.NO_FLUSH
    kernel.exit(grandchild)


@both
def test_programs_go_where_the_generator_says(mode):
    def places(seed):
        rng = None if seed is None else np.random.default_rng(seed)
        process = Kernel.boot(mode, 16 * MIB, rng=rng).spawn("program", PROGRAM)
        return [vma.start for vma in process.mm.tree]

    assert places(None) == places(None)
    assert places(1) == places(1)
    assert places(1) != places(2) != places(None)


@both
def test_limits_are_copied_by_fork_and_kept_by_exec(mode):
    kernel, _, parent = machine(mode)
    child = kernel.fork(parent)
    child.mm.rlimits.stack = 64 << 20
    assert parent.mm.rlimits.stack == 8 << 20
    kernel.exec(child, PROGRAM)
    assert child.mm.rlimits.stack == 64 << 20


@both
def test_faults_that_calls_take_for_a_process_count_as_its_own(mode):
    kernel, _, process = machine(mode)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON | MapFlag.POPULATE)
    assert (process.min_flt, process.maj_flt) == (4, 0)
    process.mm.madvise(start, 4 * PAGE, Madvise.POPULATE_WRITE)
    assert process.min_flt == 4  # they are there
    file = File("program")
    kernel.register_file(file, bytes(PAGE))
    kernel.exec(process, Program(file, [ProgramHeader(0, 0x10_0000, 100, 2 * PAGE, RW)]))
    assert (process.min_flt, process.maj_flt) == (5, 1)  # the stack; zeros behind the data


@both
def test_the_mmap_area_leaves_room_for_the_stack_limit(mode):
    """The gap is the limit and a guard of 1 Mbyte, at least 128 Mbytes. [mmap_base]"""
    kernel = Kernel.boot(mode, 16 * MIB)

    def mmap_base(limit):
        return kernel.spawn("process", rlimits=Rlimits(stack=limit)).mm.mmap_base

    top = kernel.user.task_size
    assert mmap_base(8 << 20) == top - (128 << 20)
    assert mmap_base(512 << 20) == top - (513 << 20)
    assert mmap_base(INFINITY) == (top - top // 6 * 5 + PAGE - 1) // PAGE * PAGE


@both
def test_a_child_looks_for_room_in_the_direction_of_its_parent(mode):
    kernel, _, parent = machine(mode)
    parent.mm.topdown, parent.mm.mmap_base = False, 0x4000_0000
    assert kernel.fork(parent).mm.mmap(0, PAGE, RW, ANON) == 0x4000_0000


@both
def test_forks_without_memory_kill_the_youngest_and_leak_nothing(mode):
    kernel, cpu, process = machine(mode, megabytes=4)
    before = counted(kernel)[0] + 1
    start = [process.mm.mmap(number << 23, PAGE, RW, ANON) for number in range(1, 90)]
    for page in start:
        cpu.store(page, b"x")
    children = [kernel.fork(process).pid for _ in range(90)]
    killed = [kill.pid for kill in kernel.oom_kills]
    assert len(killed) > 10
    assert killed == [pid for pid in children if pid not in kernel.processes]
    assert process.pid in kernel.processes
    while kernel.processes:
        kernel.exit(next(iter(kernel.processes.values())))
    kernel.check()
    assert counted(kernel)[0] == before
