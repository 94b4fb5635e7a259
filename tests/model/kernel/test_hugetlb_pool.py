"""Pools of huge pages: their size, what is reserved of them, and what comes back.

The counts are those of HugePages_Total, _Free and _Rsvd on Linux after the same calls.
"""

from types import SimpleNamespace
from uuid import UUID

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import IA32, X86_64

from .huge_machines import HUGE, PAGE, PRIVATE_HUGE, SHARED_HUGE, Huge
from .machines import ANON, MIB, RW, Killed, counted

both = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
TO = MremapFlag.MAYMOVE | MremapFlag.FIXED


# ---- the size of a pool


@both
def test_a_pool_takes_its_pages_from_the_allocator_and_gives_them_back(mode):
    kernel = Kernel.boot(mode, 64 * MIB)
    free, _ = counted(kernel)
    assert kernel.set_nr_hugepages(5) == 5
    assert counted(kernel)[0] == free - 5 * HUGE[mode] // PAGE
    kernel.check()
    assert kernel.set_nr_hugepages(2) == 2
    assert counted(kernel)[0] == free - 2 * HUGE[mode] // PAGE
    assert kernel.set_nr_hugepages(0) == 0
    assert counted(kernel)[0] == free
    kernel.check()


@both
def test_a_pool_grows_as_far_as_there_is_memory(mode):
    kernel = Kernel.boot(mode, 64 * MIB)
    got = kernel.set_nr_hugepages(1000)
    assert 0 < got < 64 * MIB // HUGE[mode]
    kernel.check()
    process = kernel.spawn("small")
    process.mm.mmap(0, 10 * PAGE, RW, ANON | MapFlag.POPULATE)
    kernel.exit(process)
    assert kernel.set_nr_hugepages(1000) == got


def test_no_block_is_as_large_as_a_page_of_1_gbyte():
    kernel = Kernel.boot(X86_64, 64 * MIB)
    assert kernel.set_nr_hugepages(1, 1 << 30) == 0
    process = kernel.spawn("first")
    with pytest.raises(SysError, match="ENOMEM"):
        process.mm.mmap(0, 1 << 30, RW, PRIVATE_HUGE | 30 << MapFlag.HUGE_SHIFT)


@pytest.mark.parametrize(("mode", "size"), [(IA32, 2 << 20), (X86_64, 4 << 20), (IA32, 1 << 30)],
                         ids=["ia32-2M", "x86-64-4M", "ia32-1G"])
def test_a_size_that_the_machine_has_not_is_invalid(mode, size):
    kernel = Kernel.boot(mode, 16 * MIB)
    process = kernel.spawn("first")
    shift = size.bit_length() - 1 << MapFlag.HUGE_SHIFT
    for call in (lambda: kernel.set_nr_hugepages(1, size),
                 lambda: process.mm.mmap(0, size, RW, PRIVATE_HUGE | shift),
                 lambda: process.mm.mmap(0, size, RW, MapFlag.PRIVATE,
                                         File("/huge", huge_page_bytes=size))):
        with pytest.raises(SysError, match="EINVAL"):
            call()
    kernel.check()


@both
def test_an_empty_pool_lets_nobody_map(mode):
    kernel = Kernel.boot(mode, 16 * MIB)
    process = kernel.spawn("first")
    with pytest.raises(SysError, match="ENOMEM"):
        process.mm.mmap(0, HUGE[mode], RW, PRIVATE_HUGE)
    kernel.check()


@both
def test_what_is_used_or_reserved_outlives_a_smaller_pool(mode):
    huge = Huge(mode, 4)
    start = huge.map(2)
    huge.cpu.store(start, b"x")
    assert huge.counts == (4, 3, 1)
    free, _ = counted(huge.kernel)
    assert huge.kernel.set_nr_hugepages(0) == 0
    assert huge.counts == (2, 1, 1)  # both are surplus
    assert counted(huge.kernel)[0] == free + 2 * huge.size // PAGE
    assert huge.kernel.set_nr_hugepages(1) == 1
    assert huge.counts == (2, 1, 1)  # one of them still is
    huge.process.mm.munmap(start, 2 * huge.size)
    assert huge.counts == (1, 1, 0)


@both
def test_a_reserve_that_is_given_up_leaves_no_surplus(mode):
    huge = Huge(mode, 3)
    start = huge.map(2)
    assert huge.kernel.set_nr_hugepages(0) == 0
    assert huge.counts == (2, 2, 2)
    huge.process.mm.munmap(start, huge.size)
    assert huge.counts == (1, 1, 1)
    huge.kernel.exit(huge.process)
    assert huge.counts == (0, 0, 0)


# ---- private mappings


@both
def test_a_private_mapping_reserves_uses_and_gives_back(mode):
    huge = Huge(mode, 4)
    start = huge.map(3)
    assert huge.counts == (4, 4, 3)
    with pytest.raises(SysError, match="ENOMEM"):
        huge.map(2)
    huge.cpu.load(start)
    assert huge.counts == (4, 3, 2)
    huge.cpu.store(start + 2 * huge.size, b"x")
    assert huge.counts == (4, 2, 1)
    huge.process.mm.munmap(start + huge.size, huge.size)  # in the middle, never touched
    assert huge.counts == (4, 2, 0)
    huge.process.mm.munmap(start + 2 * huge.size, huge.size)
    assert huge.counts == (4, 3, 0)
    huge.kernel.exit(huge.process)
    assert huge.counts == (4, 4, 0)


@both
def test_a_page_that_is_given_up_has_used_its_reserve(mode):
    huge = Huge(mode, 2)
    start = huge.map(2)
    huge.cpu.store(start, b"x")
    huge.process.mm.madvise(start, huge.size, Madvise.DONTNEED)
    assert huge.counts == (2, 2, 1)
    huge.cpu.store(start, b"y")  # a page that nobody has reserved
    assert huge.counts == (2, 1, 1)
    huge.process.mm.munmap(start, 2 * huge.size)
    assert huge.counts == (2, 2, 0)


@both
def test_without_a_reserve_pages_are_had_while_there_are_any(mode):
    huge = Huge(mode, 2)
    start = huge.map(3, PRIVATE_HUGE | MapFlag.NORESERVE)
    assert huge.counts == (2, 2, 0)
    huge.cpu.store(start, b"x")
    reserved = huge.map(1)
    assert huge.counts == (2, 1, 1)
    with pytest.raises(Killed, match="SIGBUS"):
        huge.cpu.store(start + huge.size, b"y")
    assert reserved
    assert huge.counts == (2, 2, 0)


@both
def test_a_part_that_moves_takes_its_reserve_along(mode):
    huge = Huge(mode, 3)
    start = huge.map(3)
    huge.cpu.store(start, b"x")
    assert huge.counts == (3, 2, 2)
    target = start - 8 * huge.size
    assert huge.process.mm.mremap(start, 2 * huge.size, 2 * huge.size, TO, target) == target
    assert huge.counts == (3, 2, 2)
    assert huge.cpu.load(target) == b"x"
    huge.cpu.store(target + huge.size, b"y")
    assert huge.counts == (3, 1, 1)
    huge.cpu.store(start + 2 * huge.size, b"z")
    assert huge.counts == (3, 0, 0)
    huge.process.mm.munmap(target, 2 * huge.size)
    assert huge.counts == (3, 2, 0)
    huge.process.mm.munmap(start, 3 * huge.size)
    assert huge.counts == (3, 3, 0)


@both
def test_a_child_has_no_reserve(mode):
    huge = Huge(mode, 3)
    start = huge.map(2)
    huge.cpu.store(start, b"x")
    child = huge.fork()
    assert huge.counts == (3, 2, 1)
    huge.run(child).store(start, b"y")  # the last page that nobody has reserved
    assert huge.counts == (3, 1, 1)
    with pytest.raises(Killed, match="SIGBUS"):
        huge.cpu.load(start + huge.size)
    assert huge.counts == (3, 2, 1)
    assert huge.run(huge.process).load(start) == b"x"
    huge.cpu.store(start + huge.size, b"z")
    assert huge.counts == (3, 1, 0)


# ---- shared mappings


@both
def test_a_shared_mapping_reserves_for_all_who_share_it(mode):
    huge = Huge(mode, 3)
    start = huge.map(2, SHARED_HUGE)
    assert huge.counts == (3, 3, 2)
    child = huge.fork()
    assert huge.counts == (3, 3, 2)
    huge.run(child).store(start, b"x")
    assert huge.counts == (3, 2, 1)
    assert huge.run(huge.process).load(start) == b"x"
    huge.kernel.exit(child)
    assert huge.counts == (3, 2, 1)
    huge.process.mm.munmap(start, huge.size)
    assert huge.counts == (3, 2, 1)  # the file still has them
    huge.process.mm.munmap(start + huge.size, huge.size)
    assert huge.counts == (3, 3, 0)


@both
def test_a_file_is_reserved_once(mode):
    huge = Huge(mode, 4)
    file = File("/huge/file", huge_page_bytes=huge.size)
    one = huge.process.mm.mmap(0, 2 * huge.size, RW, MapFlag.SHARED, file)
    assert huge.counts == (4, 4, 2)
    other = huge.process.mm.mmap(0, 2 * huge.size, RW, MapFlag.SHARED, file, huge.size)
    assert huge.counts == (4, 4, 3)
    huge.cpu.store(one + huge.size, b"x")
    assert huge.cpu.load(other) == b"x"
    assert huge.counts == (4, 3, 2)
    private = huge.process.mm.mmap(0, huge.size, RW, MapFlag.PRIVATE, file, huge.size)
    assert huge.counts == (4, 3, 3)
    assert huge.cpu.load(private) == b"x"
    assert huge.counts == (4, 3, 3)  # the file's own page
    huge.cpu.store(private, b"y")
    assert huge.counts == (4, 2, 2)  # a copy, from the mapping's reserve
    assert huge.cpu.load(other) + huge.cpu.load(private) == b"xy"
    with pytest.raises(SysError, match="EINVAL"):
        huge.process.mm.mmap(0, huge.size, RW, MapFlag.SHARED, file, PAGE)
    huge.kernel.exit(huge.process)
    assert huge.counts == (4, 4, 0)


@both
def test_a_shared_mapping_without_a_reserve_takes_what_is_free(mode):
    huge = Huge(mode, 2)
    start = huge.map(2, SHARED_HUGE | MapFlag.NORESERVE)
    huge.cpu.store(start, b"x")
    assert huge.counts == (2, 1, 0)
    huge.process.mm.munmap(start, 2 * huge.size)
    assert huge.counts == (2, 2, 0)


# ---- a machine


@both
def test_population_fills_as_far_as_there_are_pages(mode):
    huge = Huge(mode, 3)
    process, mm = huge.process, huge.process.mm
    start = huge.map(2, PRIVATE_HUGE | MapFlag.POPULATE)
    assert huge.counts == (3, 1, 0)
    assert (process.space.rss, process.space.huge.usage) == (0, 2 * huge.size // PAGE)
    faults = process.min_flt
    mm.mlock(start + PAGE, huge.size)  # from the middle of one to that of the next
    assert (process.min_flt, mm.locked_vm) == (faults, 0)
    mm.madvise(start, 2 * huge.size, Madvise.DONTNEED)
    mm.mlock(start + PAGE, huge.size)
    assert huge.counts == (3, 1, 0)
    more = huge.map(2, PRIVATE_HUGE | MapFlag.POPULATE | MapFlag.NORESERVE)
    assert huge.counts == (3, 0, 0)
    with pytest.raises(SysError, match="EFAULT"):
        mm.madvise(more, 2 * huge.size, Madvise.POPULATE_WRITE)
    huge.kernel.exit(process)
    assert huge.counts == (3, 3, 0)


@pytest.mark.slow
@both
def test_huge_pages_stay_while_small_ones_are_swapped_out(mode, tmp_path):
    huge = Huge(mode, 3, 24)
    start = huge.map(3, PRIVATE_HUGE | MapFlag.POPULATE)
    huge.cpu.store(start, b"stays")
    with SwapFile.create(tmp_path / "swap", 8192, uuid=UUID(int=1)) as swap:
        huge.kernel.swapon(swap)
        small = huge.process.mm.mmap(0, 24 * MIB, RW, ANON)
        for at in range(0, 24 * MIB, PAGE):
            huge.cpu.store(small + at, b"goes")
        assert huge.process.space.swapped > 0
        assert huge.cpu.load(start, 5) == b"stays"
        assert huge.counts == (3, 0, 0)
        huge.kernel.exit(huge.process)
        assert huge.counts == (3, 3, 0)


@both
def test_check_finds_what_does_not_add_up(mode):
    huge = Huge(mode, 3)
    start = huge.map(2)
    huge.cpu.load(start)
    pool, counts = huge.pool, huge.counts

    def broken(change, undo, match):
        change()
        with pytest.raises(BrokenInvariant, match=match):
            huge.kernel.check()
        undo()
        assert huge.counts == counts

    pfn, = pool.mapcount
    vma = huge.process.mm.tree.lookup(start)
    inode, = pool.files.values()
    broken(lambda: pool.reserve(1), lambda: pool.release(1), "reserved, but mappings may claim 1")
    broken(lambda: vma.resv_map.add(1), lambda: vma.resv_map.remove(1), "may claim 0")
    broken(lambda: pool.get(pfn), lambda: pool.mapcount.update({pfn: 1}), "are mapped")
    spare = SimpleNamespace()
    broken(lambda: setattr(spare, "pfn", pool.free_list.pop()),
           lambda: pool.free_list.append(spare.pfn), "in no use, but 1 free")
    broken(lambda: inode.pages.update({0: pfn}), lambda: inode.pages.clear(), "Files have")
    broken(lambda: setattr(inode, "mappings", 2), lambda: setattr(inode, "mappings", 1),
           "miscount their mappings")


@both
def test_readers_of_nothing_reserve_as_writers(mode):
    huge = Huge(mode, 1)
    start = huge.map(1, prot=Prot.NONE)
    assert huge.counts == (1, 1, 1)
    with pytest.raises(Killed, match="SIGSEGV"):
        huge.cpu.load(start)
    assert huge.counts == (1, 1, 0)
