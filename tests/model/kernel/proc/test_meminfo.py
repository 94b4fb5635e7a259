"""``/proc/meminfo``, beside sums of what the machine holds, and the form of the real file."""

import re
from pathlib import Path

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.proc.meminfo import meminfo
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.kernel.vmalloc_pages import vmalloc
from pagewalk.model.x86 import IA32, X86_64

from ..machines import ANON, MODES, PAGE, RW, SHARED, counted, machine
from ..sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
REAL = Path("/proc/meminfo")


def figures(kernel):
    return {name: int(value) for name, value in re.findall(
        r"^(\S+): +(\d+)(?: kB)?$", meminfo(kernel), re.MULTILINE)}


def test_a_machine_that_has_booted():
    kernel, _, _ = machine(X86_64)
    found = figures(kernel)
    total = sum(zone.managed_pages for zone in kernel.state.allocator.populated) * 4
    text = meminfo(kernel)
    assert text.startswith(f"MemTotal:       {total:8} kB\nMemFree:        ")
    limit = total // 4 // 2 * 4
    assert f"\nCommitLimit:    {limit:8} kB\nCommitted_AS:          0 kB\n" in text
    assert text.endswith("""\
VmallocTotal:   34359738367 kB
VmallocUsed:           0 kB
VmallocChunk:          0 kB
AnonHugePages:         0 kB
ShmemHugePages:        0 kB
ShmemPmdMapped:        0 kB
FileHugePages:         0 kB
FilePmdMapped:         0 kB
HugePages_Total:       0
HugePages_Free:        0
HugePages_Rsvd:        0
HugePages_Surp:        0
Hugepagesize:       2048 kB
Hugetlb:               0 kB
""")
    assert found["PageTables"] == 0
    assert "HighTotal" not in found


def test_a_kernel_with_highmem_says_what_is_high():
    kernel, _, _ = machine(IA32, megabytes=1024)
    found = figures(kernel)
    assert found["HighTotal"] > 100 << 10
    assert found["HighTotal"] + found["LowTotal"] == found["MemTotal"]
    assert found["HighFree"] + found["LowFree"] == found["MemFree"]
    assert list(found).index("HighTotal") == list(found).index("Mlocked") + 1


@both
def test_every_page_is_counted_as_what_it_is(mode, tmp_path):
    kernel, cpu, process = machine(mode)
    call, free = SystemCalls(kernel), counted(kernel)[0]
    with flaky_swap(tmp_path, "swap", 100) as device:
        kernel.swapon(device)
        file = File("file")
        kernel.register_file(file, b"f" * (20 * PAGE))
        anon, shared = call.mmap(0, 40 * PAGE, RW, ANON), call.mmap(0, 30 * PAGE, RW, SHARED)
        of_file = call.mmap(0, 20 * PAGE, RW, MapFlag.SHARED, call.open(file))
        for start, pages in ((anon, 40), (shared, 30), (of_file, 7)):
            for page in range(pages):
                cpu.store(start + page * PAGE, b"x")
        child = kernel.fork(process)
        call.msync(of_file, 2 * PAGE, 4)
        call.munmap(of_file + 6 * PAGE, PAGE)
        call.madvise(shared, 10 * PAGE, Madvise.PAGEOUT)  # the child maps none of them
        call.madvise(shared, 3 * PAGE, Madvise.WILLNEED)  # and one page more
        call.mlock(anon, 5 * PAGE)
        address = vmalloc(kernel, 3 * PAGE)
        kernel.check()
        found = {name: size // 4 for name, size in figures(kernel).items()}
    assert found["MemFree"] <= free - 40
    assert found["Cached"] == 20 + 7
    assert found["Shmem"] == 20
    assert found["SwapCached"] == 4
    assert (found["SwapTotal"], found["SwapFree"]) == (100, 90)
    assert found["AnonPages"] == 40 + 5  # the child's stay shared, but for the locked ones
    assert found["Mapped"] == 20 + 6
    assert found["Dirty"] == 5
    assert found["Unevictable"] == found["Mlocked"] == 5
    lists = sum(found[f"{name}({kind})"] for name in ("Active", "Inactive")
                for kind in ("anon", "file"))
    assert lists == found["Active"] + found["Inactive"]
    assert lists + found["Unevictable"] == 40 + 5 + 20 + 7 + 4
    assert found["Committed_AS"] == process.mm.committed + child.mm.committed + 30
    assert found["VmallocUsed"] == 3
    counted_levels = 2 if mode is X86_64 else 1
    assert found["PageTables"] == sum(
        sum(one.space.tables.tables[-counted_levels:]) for one in (process, child)) > 1
    assert 0 < found["MemAvailable"] < found["MemFree"] + 20
    assert address


@both
def test_huge_pages(mode):
    kernel, cpu, process = machine(mode, megabytes=64)
    size = kernel.space.huge_page_bytes
    kernel.set_nr_hugepages(3)
    call = SystemCalls(kernel)
    start = call.mmap(0, 2 * size, RW, ANON | MapFlag.HUGETLB)
    cpu.store(start, b"x")
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    start = call.mmap(0, 3 * size, RW, ANON)
    start += -start % size
    cpu.store(start, b"x")
    cpu.load(start + size)  # the huge page of zeros
    kernel.fork(process)
    found = figures(kernel)
    pool = [found[f"HugePages_{name}"] for name in ("Total", "Free", "Rsvd", "Surp")]
    assert pool == [3, 2, 1, 0]
    assert (found["Hugepagesize"], found["Hugetlb"]) == (size >> 10, 3 * size >> 10)
    assert found["AnonHugePages"] == found["AnonPages"] == size >> 10


@pytest.mark.skipif(not REAL.exists(), reason="this machine has no /proc/meminfo")
def test_lines_are_those_of_the_real_file_in_its_order():
    ours, real = (text.splitlines() for text in (meminfo(machine(X86_64)[0]), REAL.read_text()))
    names = [line.split(":")[0] for line in real]
    places = [names.index(line.split(":")[0]) for line in ours if line.split(":")[0] in names]
    assert places == sorted(places)
    assert len(places) > 35
    by_name = {line.split(":")[0]: line for line in real}
    for line in ours:
        there = by_name.get(line.split(":")[0])
        if there is not None and len(there) <= 28:
            assert len(line) == len(there) or "Vmalloc" in line, (line, there)


@both
def test_nothing_mapped_is_nothing_counted(mode):
    kernel, _, process = machine(mode)
    call = SystemCalls(kernel)
    start = call.mmap(0, 100 * PAGE, Prot.READ, ANON)
    call.munmap(start, 100 * PAGE)
    kernel.exit(process)
    found = figures(kernel)
    assert {found[name] for name in ("AnonPages", "Mapped", "Cached", "Committed_AS",
                                     "PageTables", "Active", "Inactive")} == {0}
