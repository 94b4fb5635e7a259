"""Faults in mappings of huge pages: what each comes to, and whose page it is then."""

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.uaccess import UserAccess
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.page_fault import FaultOutcome, SignalNumber
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.x86 import Entry

from .huge_machines import PAGE, PRIVATE_HUGE, SHARED_HUGE, Huge
from .machines import Killed

both = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
READ, WRITE, USER, PRESENT = 0, 2, 4, 1


def causes(huge):
    """The causes of the faults since this was last asked."""
    results, huge.cpu.results = huge.cpu.results, []
    return [one.cause for one in results]


def entry(process, vaddr):
    leaf = process.space.tables.lookup(vaddr)
    return None if leaf is None else leaf.entry


@both
def test_one_fault_makes_a_whole_page_present(mode):
    huge = Huge(mode, 1)
    start = huge.map(1)
    huge.cpu.store(start + 5 * PAGE + 3, b"data")
    assert causes(huge) == [FaultCause.DEMAND_ZERO]
    leaf = huge.process.space.tables.lookup(start + huge.size - 1)
    assert (leaf.vaddr, leaf.level.page_bytes) == (start, huge.size)
    flags = Entry.P | Entry.RW | Entry.US | Entry.A | Entry.D | Entry.PS
    assert leaf.entry & 0xFFF == flags
    assert huge.cpu.load(start + huge.size - PAGE, PAGE) == bytes(PAGE)
    assert huge.cpu.load(start + 5 * PAGE + 3, 4) == b"data"
    assert causes(huge) == []
    assert (huge.process.min_flt, huge.process.maj_flt) == (1, 0)


@both
def test_a_page_that_comes_again_is_full_of_zeros(mode):
    huge = Huge(mode, 1)
    start = huge.map(1)
    huge.cpu.store(start + 7 * PAGE, b"secret")
    huge.process.mm.munmap(start, huge.size)
    start = huge.map(1)
    assert huge.cpu.load(start + 7 * PAGE, 6) == bytes(6)


@both
def test_what_was_read_becomes_writable_without_a_copy(mode):
    huge = Huge(mode, 1)
    start = huge.map(1)
    huge.cpu.load(start)
    assert not entry(huge.process, start) & Entry.RW
    huge.cpu.store(start, b"x")
    assert causes(huge) == [FaultCause.DEMAND_ZERO, FaultCause.REUSE]
    assert huge.counts == (1, 0, 0)


@both
def test_a_shared_page_is_writable_for_all(mode):
    huge = Huge(mode, 1)
    start = huge.map(1, SHARED_HUGE)
    huge.cpu.load(start)
    assert entry(huge.process, start) & Entry.RW
    child = huge.fork()
    assert entry(child, start) is None  # left to a fault
    huge.run(child).store(start, b"x")
    assert causes(huge) == [FaultCause.DEMAND_ZERO, FaultCause.FILE]
    assert huge.run(huge.process).load(start) == b"x"
    huge.process.mm.mprotect(start, huge.size, Prot.READ)
    assert not entry(huge.process, start) & Entry.RW
    huge.process.mm.mprotect(start, huge.size, Prot.READ | Prot.WRITE)
    assert entry(huge.process, start) & Entry.RW


@both
def test_a_shared_page_that_could_only_be_read_is_written(mode):
    huge = Huge(mode, 1)
    start = huge.map(1, SHARED_HUGE, Prot.READ)
    huge.cpu.load(start)
    table = huge.process.space.tables
    huge.process.mm.mprotect(start, huge.size, Prot.READ | Prot.WRITE)
    table.update(table.lookup(start).paddr, clear=Entry.RW)
    huge.cpu.tlb.entries.clear()
    huge.cpu.store(start, b"x")
    assert causes(huge) == [FaultCause.DEMAND_ZERO, FaultCause.SHARED_WRITE]


@both
def test_an_access_that_need_not_have_faulted_sets_the_flags(mode):
    huge = Huge(mode, 1)
    start = huge.map(1)
    huge.cpu.store(start, b"x")
    result = huge.kernel.handle_page_fault(start + PAGE, WRITE | USER | PRESENT)
    assert (result.outcome, result.cause) == (FaultOutcome.RETRY, FaultCause.SPURIOUS)


@both
def test_the_first_to_write_after_a_fork_gets_the_copy(mode):
    huge = Huge(mode, 2)
    start = huge.map(1)
    huge.cpu.store(start, b"parent")
    child = huge.fork()
    pfn = huge.process.space.tables.pfn(entry(huge.process, start))
    assert not entry(huge.process, start) & Entry.RW
    huge.cpu.store(start + 3 * PAGE, b"own")
    assert causes(huge)[-1] is FaultCause.COPY_ON_WRITE
    assert huge.process.space.tables.pfn(entry(huge.process, start)) != pfn
    assert huge.counts == (2, 0, 0)
    cpu = huge.run(child)
    assert cpu.load(start, 6) == b"parent"
    assert cpu.load(start + 3 * PAGE, 3) == bytes(3)
    cpu.store(start, b"child ")
    assert causes(huge) == [FaultCause.REUSE]
    assert huge.run(huge.process).load(start, 6) == b"parent"
    huge.kernel.exit(child)
    assert huge.counts == (2, 1, 0)


@both
def test_a_child_without_a_free_page_is_killed(mode):
    huge = Huge(mode, 1)
    start = huge.map(1)
    huge.cpu.store(start, b"x")
    child = huge.fork()
    with pytest.raises(Killed) as caught:
        huge.run(child).store(start, b"y")
    assert (caught.value.signal.number, caught.value.signal.address) == (
        SignalNumber.SIGBUS, start)
    assert huge.run(huge.process).load(start) == b"x"
    huge.cpu.store(start, b"z")
    assert huge.counts == (1, 0, 0)


@both
def test_the_owner_takes_its_page_from_the_child(mode):
    huge = Huge(mode, 2)
    start = huge.map(2)
    huge.cpu.store(start, b"mine")
    huge.cpu.store(start + huge.size, b"too")
    child = huge.fork()
    huge.run(child).load(start)
    huge.run(huge.process).store(start, b"MINE")
    assert causes(huge)[-1] is FaultCause.REUSE
    assert huge.counts == (2, 0, 0)
    assert entry(child, start) is None
    cpu = huge.run(child)
    assert cpu.load(start + huge.size, 3) == b"too"  # that page it still has
    with pytest.raises(Killed, match="SIGBUS"):
        cpu.load(start)
    assert huge.run(huge.process).load(start, 4) == b"MINE"
    huge.kernel.exit(huge.process)
    assert huge.counts == (2, 2, 0)


@both
def test_whoever_lost_a_page_gets_none_in_that_mapping_again(mode):
    """Nor for a page that it never had: all of the mapping is marked."""
    huge = Huge(mode, 3)
    start = huge.map(2)
    huge.cpu.store(start, b"x")
    other = huge.map(1)
    child, grandchild = huge.fork(), None
    grandchild = huge.kernel.fork(child)
    huge.cpu.store(start, b"y")
    assert huge.process.mm.tree.lookup(other)
    huge.process.mm.munmap(other, huge.size)  # there is a free page again
    assert huge.counts == (3, 2, 1)
    for process in (child, grandchild):
        assert entry(process, start) is None
        with pytest.raises(Killed, match="SIGBUS"):
            huge.run(process).load(start + huge.size)
    huge.kernel.exit(huge.process)
    assert huge.counts == (3, 3, 0)


def file_mapped_twice(huge):
    """Where one huge page of a file, which holds ``b"file"``, is mapped shared and private."""
    file, mm = File("/huge/file", huge_page_bytes=huge.size), huge.process.mm
    shared = mm.mmap(0, huge.size, Prot.READ | Prot.WRITE, MapFlag.SHARED, file)
    huge.cpu.store(shared, b"file")
    return shared, mm.mmap(0, huge.size, Prot.READ | Prot.WRITE, MapFlag.PRIVATE, file)


@both
def test_a_copy_of_a_files_page_comes_from_the_reserve(mode):
    huge = Huge(mode, 2)
    mm = huge.process.mm
    shared, private = file_mapped_twice(huge)
    assert huge.counts == (2, 1, 1)
    huge.cpu.store(private, b"mine")
    assert causes(huge) == [FaultCause.DEMAND_ZERO, FaultCause.COPY_ON_WRITE]
    assert huge.counts == (2, 0, 0)
    assert (huge.cpu.load(shared, 4), huge.cpu.load(private, 4)) == (b"file", b"mine")
    mm.madvise(private, huge.size, Madvise.DONTNEED)
    assert huge.cpu.load(private, 4) == b"file"
    huge.process.mm.munmap(shared, huge.size)
    assert huge.cpu.load(private, 4) == b"file"  # it holds the file, too
    huge.process.mm.munmap(private, huge.size)
    assert huge.counts == (2, 2, 0)


@both
def test_an_owner_that_has_used_its_reserve_cannot_take_a_page_from_the_file(mode):
    huge = Huge(mode, 2)
    mm = huge.process.mm
    _, private = file_mapped_twice(huge)
    huge.cpu.store(private, b"mine")
    mm.madvise(private, huge.size, Madvise.DONTNEED)
    huge.cpu.store(huge.map(1, PRIVATE_HUGE | MapFlag.NORESERVE), b"last")
    assert huge.counts == (2, 0, 0)
    assert huge.cpu.load(private, 4) == b"file"
    with pytest.raises(Killed, match="SIGBUS"):
        huge.cpu.store(private, b"mine")
    assert huge.counts == (2, 2, 0)


@both
def test_a_reader_of_a_file_without_a_reserve_cannot_write(mode):
    huge = Huge(mode, 1)
    file = File("/huge/file", huge_page_bytes=huge.size)
    mm = huge.process.mm
    shared = mm.mmap(0, huge.size, Prot.READ | Prot.WRITE, MapFlag.SHARED, file)
    huge.cpu.store(shared, b"file")
    flags = MapFlag.PRIVATE | MapFlag.NORESERVE
    private = mm.mmap(0, huge.size, Prot.READ | Prot.WRITE, flags, file)
    assert huge.cpu.load(private, 4) == b"file"
    with pytest.raises(Killed, match="SIGBUS"):
        huge.cpu.store(private, b"mine")
    assert huge.counts == (1, 1, 0)


@both
def test_the_kernel_reads_and_writes_huge_pages_of_a_process(mode):
    huge = Huge(mode, 1)
    start = huge.map(1)
    user = UserAccess(huge.kernel)
    data = bytes(range(256)) * 48
    assert user.copy_to_user(start + PAGE - 7, data) == 0
    assert user.copy_from_user(start + PAGE - 7, len(data)) == (data, 0)
    none = huge.map(1, PRIVATE_HUGE | MapFlag.NORESERVE)
    assert user.copy_to_user(none, b"data") == 4  # not a signal
    assert huge.counts == (1, 0, 0)
