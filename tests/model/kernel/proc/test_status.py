"""``/proc/PID/status``: sizes of an address space, beside sums, and the form of the real file."""

from pathlib import Path

import pytest

from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.proc.status import status
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.x86 import X86_64

from ..machines import ANON, MODES, PAGE, RW, SHARED, machine
from ..sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
REAL = Path("/proc/self/status")


def pages(process):
    return {name: int(value.split()[0]) // 4 for name, value in
            (line.split(":\t") for line in status(process).splitlines()) if value.endswith("kB")}


def test_a_process_with_nothing():
    kernel, _, _ = machine(X86_64)
    process = kernel.spawn("a name\\\n that was too long")
    assert status(process) == """\
Name:\ta name\\\\\\n that w
State:\tR (running)
Tgid:\t3
Pid:\t3
TracerPid:\t0
VmPeak:\t       0 kB
VmSize:\t       0 kB
VmLck:\t       0 kB
VmPin:\t       0 kB
VmHWM:\t       0 kB
VmRSS:\t       0 kB
RssAnon:\t       0 kB
RssFile:\t       0 kB
RssShmem:\t       0 kB
VmData:\t       0 kB
VmStk:\t       0 kB
VmExe:\t       0 kB
VmLib:\t       0 kB
VmPTE:\t       0 kB
VmSwap:\t       0 kB
HugetlbPages:\t       0 kB
CoreDumping:\t0
THP_enabled:\t1
Threads:\t1
"""


@both
def test_pages_by_what_they_are(mode, tmp_path):
    kernel, cpu, process = machine(mode, megabytes=32)
    call, size = SystemCalls(kernel), kernel.space.huge_page_bytes
    with flaky_swap(tmp_path, "swap", 100) as device:
        kernel.swapon(device)
        kernel.set_nr_hugepages(1)
        file = File("file")
        kernel.register_file(file, b"f" * (30 * PAGE))
        anon, shared = call.mmap(0, 40 * PAGE, RW, ANON), call.mmap(0, 30 * PAGE, RW, SHARED)
        of_file = call.mmap(0, 30 * PAGE, RW, MapFlag.PRIVATE, call.open(file))
        for start, count in ((anon, 30), (shared, 20), (of_file, 3)):
            for page in range(count):
                cpu.store(start + page * PAGE, b"x")
        cpu.load(anon + 35 * PAGE)  # the page of zeros
        cpu.load(of_file + 20 * PAGE)
        call.madvise(anon, 10 * PAGE, Madvise.PAGEOUT)
        cpu.store(call.mmap(0, size, RW, ANON | MapFlag.HUGETLB), b"x")
        kernel.state.thp.enabled = ThpEnabled.ALWAYS
        area = call.mmap(0, 2 * size, RW, ANON)
        cpu.store(area + -area % size, b"x")
        call.mlock(anon + 20 * PAGE, 5 * PAGE)
        found = pages(process)
        huge = size // PAGE
        assert (found["RssAnon"], found["RssShmem"]) == (20 + 3 + huge, 20)
        assert found["RssFile"] == 1
        assert found["VmRSS"] == process.space.rss == 44 + huge
        assert found["VmHWM"] == 44 + huge  # though ten are out: these came later
        assert (found["VmSwap"], found["VmLck"], found["HugetlbPages"]) == (10, 5, huge)
        assert found["VmSize"] == process.mm.total_vm == 100 + 3 * huge
        assert found["VmData"] == 70 + 3 * huge
        assert found["VmPTE"] * PAGE == process.space.tables.pgtables_bytes


@both
def test_peaks_outlive_what_is_unmapped(mode):
    kernel, cpu, process = machine(mode)
    call = SystemCalls(kernel)
    start = call.mmap(0, 50 * PAGE, RW, ANON)
    for page in range(20):
        cpu.store(start + page * PAGE, b"x")
    call.munmap(start + 10 * PAGE, 40 * PAGE)
    found = pages(process)
    assert (found["VmPeak"], found["VmSize"], found["VmHWM"], found["VmRSS"]) == (50, 10, 20, 10)
    call.mremap(start, 10 * PAGE, 10 * PAGE, MremapFlag.MAYMOVE | MremapFlag.FIXED,
                start - 200 * PAGE)
    call.mremap(start - 200 * PAGE, 10 * PAGE, 45 * PAGE, MremapFlag.MAYMOVE)
    assert pages(process)["VmPeak"] == 50  # no peak of old and new together
    child = kernel.fork(process)
    assert (pages(child)["VmPeak"], pages(child)["VmHWM"]) == (45, 10)
    call.mmap(0, 10 * PAGE, Prot.NONE, ANON)
    assert pages(process)["VmPeak"] == 55


@both
def test_code_of_the_program_and_of_libraries(mode):
    kernel, _, process = machine(mode)
    file = File("program")
    kernel.register_file(file, b"\x90" * (8 * PAGE))
    kernel.exec(process, Program(file, [
        ProgramHeader(0, 0x40_0000, 2 * PAGE + 100, 2 * PAGE + 100, Prot.READ | Prot.EXEC)]))
    call = SystemCalls(kernel)
    call.mmap(0, 5 * PAGE, Prot.READ | Prot.EXEC, MapFlag.PRIVATE, call.open(file))
    found = pages(process)
    assert found["VmExe"] == 3
    assert found["VmExe"] + found["VmLib"] == process.mm.exec_vm
    assert found["VmStk"] == process.mm.stack_vm > 30


@pytest.mark.skipif(not REAL.exists(), reason="this machine has no /proc/self/status")
def test_lines_are_those_of_the_real_file_in_its_order():
    names = [line.split(":")[0] for line in REAL.read_text().splitlines()]
    ours = [line.split(":")[0] for line in status(machine(X86_64)[2]).splitlines()]
    places = [names.index(name) for name in ours]
    assert places == sorted(places)
