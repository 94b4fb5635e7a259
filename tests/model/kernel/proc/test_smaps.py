"""smaps of processes that run on the model's own kernel; what is expected was added up by hand."""

import re
from uuid import UUID

import numpy as np
import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.proc.smaps import smaps, smaps_rollup
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.thp import ThpEnabled

from ..machines import ANON, MODES, PAGE, RW, SHARED, machine

pytestmark = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def figures(text):
    """The figures of each mapping in kB that are not 0, by its address."""
    found, at = {}, None
    for line in text.splitlines():
        head = re.match(r"([0-9a-f]+)-[0-9a-f]+ ", line)
        if head:
            at = found[int(head[1], 16)] = {}
        elif line.endswith(" kB"):
            name, value, _ = line.split()
            if int(value) and name not in ("Size:", "KernelPageSize:", "MMUPageSize:"):
                at[name[:-1]] = int(value)
    return found


def of(kernel, process, address):
    return figures(smaps(kernel.state, process))[address]


def rollup(kernel, process):
    [found] = figures(smaps_rollup(kernel.state, process)).values()
    return found


def written(kbytes):
    """Pages of anonymous memory that are a process's own."""
    return {"Rss": kbytes, "Pss": kbytes, "Pss_Dirty": kbytes, "Private_Dirty": kbytes,
            "Referenced": kbytes, "Anonymous": kbytes}


def page_out(kernel, process, vaddr, *, keep=False):
    """Swap a page out as reclaim does; with ``keep`` it stays in the swap cache, clean."""
    ops = kernel.state.page_ops
    pfn = process.space.tables.pfn(process.space.tables.lookup(vaddr).entry)
    assert ops.add_to_swap(pfn)
    assert ops.try_to_unmap(pfn)
    ops.pageout(pfn)
    if not keep:
        ops.remove_mapping(pfn, 0)
    kernel.check()


def test_anonymous_memory_counts_once_it_is_written(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 8 * PAGE, RW, ANON)
    assert of(kernel, process, start) == {}
    cpu.load(start, 2 * PAGE)  # the zero page
    assert of(kernel, process, start) == {}
    cpu.store(start, bytes(3 * PAGE))
    assert of(kernel, process, start) == written(12)
    process.mm.mprotect(start, 8 * PAGE, Prot.NONE)
    assert of(kernel, process, start) == written(12)
    assert rollup(kernel, process) == written(12) | {"Pss_Anon": 12}


def test_text_is_that_of_linux(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, b"x")
    lines = smaps(kernel.state, process).splitlines()
    assert lines[0].startswith(f"{start:08x}-{start + 2 * PAGE:08x} rw-p 00000000 00:00 0")
    assert lines[1] == "Size:                  8 kB"
    assert lines[4] == "Rss:                   4 kB"
    head, *lines = smaps_rollup(kernel.state, process).splitlines()
    assert head.startswith(f"{start:08x}-{start + 2 * PAGE:08x} ---p 00000000 00:00 0 ")
    assert head.endswith(" [rollup]")
    assert lines[0] == "Rss:                   4 kB"


def test_locked_memory_counts_its_share(mode):
    kernel, _, process = machine(mode)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON | MapFlag.LOCKED)
    assert of(kernel, process, start) == written(16) | {"Locked": 16}


def test_pages_are_shared_after_fork_until_one_side_writes(mode):
    kernel, cpu, parent = machine(mode)
    start = parent.mm.mmap(0, 8 * PAGE, RW, ANON)
    cpu.store(start, bytes(5 * PAGE))
    child = kernel.fork(parent)
    shared = {"Rss": 20, "Pss": 10, "Pss_Dirty": 10, "Shared_Dirty": 20, "Anonymous": 20}
    assert of(kernel, parent, start) == shared | {"Referenced": 20}
    assert of(kernel, child, start) == shared  # fork clears the accessed bits of the copy
    kernel.switch(child)
    cpu.store(start, bytes(2 * PAGE))
    assert of(kernel, child, start) == {
        "Rss": 20, "Pss": 8 + 6, "Pss_Dirty": 14, "Private_Dirty": 8, "Shared_Dirty": 12,
        "Referenced": 8, "Anonymous": 20}
    assert of(kernel, parent, start) == {
        "Rss": 20, "Pss": 8 + 6, "Pss_Dirty": 14, "Private_Dirty": 8, "Shared_Dirty": 12,
        "Referenced": 20, "Anonymous": 20}
    kernel.exit(parent)
    cpu.load(start, 5 * PAGE)
    assert of(kernel, child, start) == written(20)


def test_three_processes_have_a_third_of_a_page_each(mode):
    kernel, cpu, parent = machine(mode)
    start = parent.mm.mmap(0, 4 * PAGE, RW, ANON)
    cpu.store(start, bytes(4 * PAGE))
    family = [parent, kernel.fork(parent), kernel.fork(parent)]
    for process in family:
        found = of(kernel, process, start)
        assert (found["Rss"], found["Pss"], found["Shared_Dirty"]) == (16, 5, 16)  # 16 / 3


def test_shared_memory_is_dirty_and_of_no_process(mode):
    kernel, cpu, parent = machine(mode)
    start = parent.mm.mmap(0, 8 * PAGE, RW, SHARED)
    cpu.store(start, bytes(3 * PAGE))
    child = kernel.fork(parent)
    alone = {"Rss": 12, "Pss": 12, "Pss_Dirty": 12, "Private_Dirty": 12, "Referenced": 12}
    assert of(kernel, parent, start) == alone
    assert of(kernel, child, start) == {}  # it finds the pages by faults
    assert rollup(kernel, parent) == alone | {"Pss_Shmem": 12}
    kernel.switch(child)
    cpu.load(start)  # and what is in memory around it
    cpu.store(start + 4 * PAGE, b"x")
    assert of(kernel, child, start) == {
        "Rss": 16, "Pss": 10, "Pss_Dirty": 10, "Shared_Dirty": 12, "Private_Dirty": 4,
        "Referenced": 16}
    assert of(kernel, parent, start) == {
        "Rss": 12, "Pss": 6, "Pss_Dirty": 6, "Shared_Dirty": 12, "Referenced": 12}


def test_a_file_is_clean_until_it_is_written_and_private_copies_are_anonymous(mode):
    kernel, cpu, process = machine(mode)
    file = File("/f", inode=7)
    kernel.register_file(file, bytes(range(256)) * 64)
    shared = process.mm.mmap(0, 4 * PAGE, RW, MapFlag.SHARED, file)
    private = process.mm.mmap(0, 4 * PAGE, RW, MapFlag.PRIVATE, file)
    cpu.load(shared, 3 * PAGE)
    assert of(kernel, process, shared) == {
        "Rss": 12, "Pss": 12, "Private_Clean": 12, "Referenced": 12}
    cpu.store(shared, b"x")
    assert of(kernel, process, shared) == {
        "Rss": 12, "Pss": 12, "Pss_Dirty": 4, "Private_Clean": 8, "Private_Dirty": 4,
        "Referenced": 12}
    cpu.load(private)  # and what is in memory around it
    assert of(kernel, process, private) == {
        "Rss": 12, "Pss": 6, "Pss_Dirty": 2, "Shared_Dirty": 4, "Shared_Clean": 8,
        "Referenced": 12}
    cpu.store(private, b"y")
    assert of(kernel, process, private) == {
        "Rss": 12, "Pss": 8, "Pss_Dirty": 4, "Private_Dirty": 4, "Shared_Clean": 8,
        "Referenced": 12, "Anonymous": 4}
    assert rollup(kernel, process) == {
        "Rss": 24, "Pss": 16, "Pss_Dirty": 8, "Pss_Anon": 4, "Pss_File": 12,
        "Shared_Clean": 16, "Private_Dirty": 8, "Referenced": 24, "Anonymous": 4}


@pytest.fixture
def swapping(mode, tmp_path):
    with SwapFile.create(tmp_path / "swap", 64, uuid=UUID(int=1)) as device:
        kernel, cpu, process = machine(mode)
        kernel.swapon(device)
        yield kernel, cpu, process


def test_pages_that_are_out_are_swap_and_shared_as_their_slots_are(swapping):
    kernel, cpu, parent = swapping
    start = parent.mm.mmap(0, 4 * PAGE, RW, ANON)
    cpu.store(start, bytes(4 * PAGE))
    page_out(kernel, parent, start)
    assert of(kernel, parent, start) == written(12) | {"Swap": 4, "SwapPss": 4}
    child = kernel.fork(parent)
    page_out(kernel, parent, start + PAGE)
    for process in (parent, child):
        found = of(kernel, process, start)
        assert (found["Rss"], found["Swap"], found["SwapPss"]) == (8, 8, 4)
    kernel.switch(child)
    cpu.store(start, b"x")
    assert of(kernel, child, start)["SwapPss"] == 2
    assert of(kernel, parent, start)["SwapPss"] == 6


def test_a_page_read_back_is_clean_while_its_slot_holds_the_same(swapping):
    kernel, cpu, process = swapping
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, bytes(2 * PAGE))
    page_out(kernel, process, start)
    page_out(kernel, process, start + PAGE, keep=True)
    assert of(kernel, process, start) == {"Swap": 8, "SwapPss": 8}
    cpu.load(start, 2 * PAGE)
    clean = {"Rss": 8, "Pss": 8, "Private_Clean": 8, "Referenced": 8, "Anonymous": 8}
    assert of(kernel, process, start) == clean
    cpu.store(start, b"x")
    assert of(kernel, process, start) == clean | {
        "Pss_Dirty": 4, "Private_Clean": 4, "Private_Dirty": 4}
    pfn = process.space.tables.pfn(process.space.tables.lookup(start + PAGE).entry)
    assert kernel.state.swap.free_swap(pfn)  # the only copy is the page now
    assert of(kernel, process, start) == written(8)


def test_shared_memory_in_swap_counts_where_no_private_page_hides_it(swapping):
    kernel, cpu, process = swapping
    file = File("/tmp/f", is_shmem=True)
    shared = process.mm.mmap(0, 4 * PAGE, RW, MapFlag.SHARED, file)
    private = process.mm.mmap(0, 4 * PAGE, RW, MapFlag.PRIVATE, file)
    part = process.mm.mmap(0, 2 * PAGE, Prot.READ, MapFlag.PRIVATE, file, 2 * PAGE)
    cpu.store(shared, bytes(3 * PAGE))
    cpu.store(private, b"x")
    process.mm.madvise(shared, 4 * PAGE, Madvise.PAGEOUT)
    assert of(kernel, process, shared) == {"Swap": 12}  # no entry holds the slots: no share
    assert of(kernel, process, private) == written(4) | {"Swap": 8}
    assert of(kernel, process, part) == {"Swap": 4}
    kernel.check()


def test_a_page_that_reclaim_found_in_use_is_referenced(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, bytes(2 * PAGE))
    for vaddr in (start, start + PAGE):
        assert process.space.test_clear_young(vaddr)
    assert "Referenced" not in of(kernel, process, start)
    pfn = process.space.tables.pfn(process.space.tables.lookup(start).entry)
    kernel.state.lruvec.set_referenced(pfn)
    assert of(kernel, process, start)["Referenced"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_shares_of_all_processes_are_the_memory_that_is_mapped(mode, seed, tmp_path):
    """Random programs: Rss and Swap as the kernel counts them, and the shares sum up to frames."""
    rng = np.random.default_rng(seed)
    with SwapFile.create(tmp_path / "swap", 4000, uuid=UUID(int=1)) as device:
        kernel, cpu, first = machine(mode, 4)
        kernel.swapon(device)
        running, stored = [first], set()
        starts = [first.mm.mmap(0, 160 * PAGE, RW, flags) for flags in (ANON, SHARED, ANON)]
        for step in range(400):
            process = running[int(rng.integers(len(running)))]
            kernel.switch(process)
            if step % 100 == 50:
                running.append(kernel.fork(process))
            for page in rng.integers(160, size=8).tolist():
                at = starts[int(rng.integers(3))] + page * PAGE
                if rng.integers(2):
                    cpu.store(at, b"x")
                    stored.add(at)
                else:
                    cpu.load(at)
        shared = first.mm.find_vma(starts[1])
        there = kernel.state.page_cache.space(shared.file).pages
        out = [at for at in stored if shared.start <= at < shared.end
               and shared.pgoff_of(at) not in there]
        check_sums(kernel, running, len(out))
        assert device.counters.pages_out


def check_sums(kernel, running, shared_out):
    """Every process maps all the shared memory, of which ``shared_out`` pages are in swap."""
    pss = swap_pss = 0
    for process in running:
        found, whole = figures(smaps(kernel.state, process)), rollup(kernel, process)
        assert whole["Rss"] == 4 * process.space.rss
        assert whole["Swap"] == 4 * (process.space.swapped + shared_out)
        pss, swap_pss = pss + whole["Pss"], swap_pss + whole["SwapPss"]
        for one in (*found.values(), whole):
            parts = ("Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty")
            assert one["Rss"] == sum(one.get(part, 0) for part in parts)
            assert one["Pss_Dirty"] <= one["Pss"] <= one["Rss"]
        kinds = [whole.get(f"Pss_{kind}", 0) for kind in ("Anon", "File", "Shmem")]
        assert whole["Pss"] - 3 < sum(kinds) <= whole["Pss"]
        for name in ("Rss", "Swap", "Anonymous", "Referenced", *parts):
            assert whole.get(name, 0) == sum(one.get(name, 0) for one in found.values())
    frames = len(list(kernel.state.frames.rmap.mapped()))
    swap = kernel.state.swap
    cached = sum(not swap.swapcount(swap.cache.entry(pfn)) for pfn in swap.cached())
    slots = swap.total_swap_pages - swap.free_slots - cached - shared_out
    assert 4 * frames - len(running) < pss <= 4 * frames
    assert 4 * slots - len(running) < swap_pss <= 4 * slots


def test_huge_pages_set_aside_are_in_no_other_figure(mode):
    kernel, cpu, process = machine(mode, 64)
    assert kernel.set_nr_hugepages(4) == 4
    size = kernel.space.huge_page_bytes
    start = process.mm.mmap(0, 3 * size, RW, ANON | MapFlag.HUGETLB)
    for page in range(2):
        cpu.store(start + page * size, b"x")
    kernel.check()
    assert of(kernel, process, start) == {"Private_Hugetlb": 2 * size >> 10}
    child = kernel.fork(process)
    cpu.store(start, b"y")  # a copy
    assert of(kernel, process, start) == {
        "Private_Hugetlb": size >> 10, "Shared_Hugetlb": size >> 10}
    kernel.exit(child)
    assert of(kernel, process, start) == {"Private_Hugetlb": 2 * size >> 10}


@pytest.mark.parametrize(("thp", "plain", "advised"), [
    (ThpEnabled.ALWAYS, 1, 1), (ThpEnabled.MADVISE, 0, 1), (ThpEnabled.NEVER, 0, 0)])
def test_which_mappings_are_eligible_for_huge_pages_depends_on_the_setting(
        mode, thp, plain, advised):
    kernel, _, process = machine(mode)
    kernel.state.thp.enabled = thp
    size = kernel.state.thp.page_bytes
    start = process.mm.mmap(0x4000_0000, 2 * size, Prot.READ, ANON | MapFlag.FIXED)
    process.mm.madvise(start, size, Madvise.HUGEPAGE)
    lines = smaps(kernel.state, process).splitlines()
    assert [line for line in lines if line.startswith("THP")] == [
        f"THPeligible:    {advised}", f"THPeligible:    {plain}"]


def test_transparent_huge_pages_count_as_their_small_pages(mode):
    kernel, cpu, process = machine(mode, 64)
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    size = kernel.state.thp.page_bytes
    start = process.mm.mmap(0x4000_0000, 4 * size, RW, ANON | MapFlag.FIXED)
    cpu.store(start, b"x")
    cpu.store(start + size, b"x")
    cpu.load(start + 2 * size)  # the huge zero page does not count
    kib = size >> 10
    whole = dict.fromkeys(("Rss", "Pss", "Pss_Dirty", "Private_Dirty", "Referenced", "Anonymous",
                           "AnonHugePages"), 2 * kib)
    assert of(kernel, process, start) == whole
    process.mm.madvise(start, PAGE, Madvise.DONTNEED)
    assert of(kernel, process, start) == {
        name: kib if name == "AnonHugePages" else value - 4 for name, value in whole.items()}
