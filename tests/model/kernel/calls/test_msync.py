"""Pages of files go back to their files, and the next write to them is noticed again."""

import errno

import pytest

from pagewalk.model.address_space.uapi import MapFlag, MsyncFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.fault_cause import FaultCause

from ..machines import ANON, MODES, PAGE, RW, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
SYNC, ASYNC, INVALIDATE = MsyncFlag.SYNC, MsyncFlag.ASYNC, MsyncFlag.INVALIDATE


def three_pages_of_a_file(mode):
    kernel, cpu, process = machine(mode)
    call = SystemCalls(kernel)
    file = File("file")
    data = kernel.register_file(file, bytes(3 * PAGE))
    fd = call.open(file)
    start = call.mmap(0, 3 * PAGE, RW, MapFlag.SHARED, fd)
    return kernel, cpu, process, call, data, start


@both
def test_only_the_dirty_pages_of_the_range_are_written(mode):
    kernel, cpu, _, call, data, start = three_pages_of_a_file(mode)
    for page in (0, 1):
        cpu.store(start + page * PAGE, b"new")
    cpu.load(start + 2 * PAGE)
    before = kernel.state.page_cache.pages_out
    assert call.msync(start + PAGE, PAGE + 1, SYNC) == 0
    assert (data[:3], data[PAGE : PAGE + 3]) == (bytes(3), b"new")
    assert kernel.state.page_cache.pages_out == before + 1
    assert call.msync(start, 3 * PAGE, SYNC) == 0
    assert call.msync(start, 3 * PAGE, SYNC) == 0
    assert data[:3] == b"new"
    assert kernel.state.page_cache.pages_out == before + 2
    kernel.check()


@both
def test_a_page_that_was_written_back_faults_at_the_next_write(mode):
    """In each process that maps it, though the TLB knows it as writable."""
    kernel, cpu, process, call, data, start = three_pages_of_a_file(mode)
    cpu.store(start, b"old")
    child = kernel.processes[call.fork()]
    kernel.switch(child)
    cpu.store(start, b"new")
    assert call.msync(start, PAGE, SYNC) == 0
    for one, text in ((child, b"one"), (process, b"two")):
        kernel.switch(one)
        cpu.results.clear()
        cpu.store(start, text)
        assert [result.cause for result in cpu.results] == [FaultCause.SHARED_WRITE]
        assert data[:3] != text
        assert call.msync(start, PAGE, SYNC) == 0
        assert data[:3] == text
    kernel.check()


@both
def test_what_write_has_changed_is_written_too(mode):
    _, cpu, _, call, data, start = three_pages_of_a_file(mode)
    buffer = call.mmap(0, PAGE, RW, ANON)
    cpu.store(buffer, b"text")
    assert call.write(0, buffer, 4) == 4
    assert data[:4] == bytes(4)
    assert call.msync(start, PAGE, SYNC) == 0
    assert data[:4] == b"text"


@both
def test_nothing_is_written_without_ms_sync_or_of_private_pages(mode):
    kernel, cpu, _, call, data, start = three_pages_of_a_file(mode)
    private = call.mmap(0, PAGE, RW, MapFlag.PRIVATE, 0)
    cpu.store(private, b"own")
    cpu.store(start, b"new")
    for flags in (0, ASYNC, INVALIDATE, ASYNC | INVALIDATE):
        assert call.msync(start, 3 * PAGE, flags) == 0
    assert call.msync(private, PAGE, SYNC) == 0
    assert data[:3] == bytes(3)
    unknown = call.mmap(0, PAGE, Prot.READ, MapFlag.SHARED, call.open(File("never registered")))
    assert call.msync(unknown, PAGE, SYNC) == 0
    shared = call.mmap(0, PAGE, RW, MapFlag.SHARED | MapFlag.ANONYMOUS)
    cpu.store(shared, b"x")
    assert call.msync(shared, PAGE, SYNC) == 0
    kernel.check()


@both
def test_errors(mode):
    _, cpu, process, call, data, start = three_pages_of_a_file(mode)
    assert call.msync(start, PAGE, 8) == -errno.EINVAL
    assert call.msync(start, PAGE, ASYNC | SYNC) == -errno.EINVAL
    assert call.msync(start + 1, PAGE, SYNC) == -errno.EINVAL
    assert call.msync(start, 0, SYNC) == 0
    assert call.msync(0, -1, SYNC) == 0  # whole pages of which are none
    assert call.msync(start, -start, SYNC) == -errno.ENOMEM  # its end is 0
    assert call.msync(start, -PAGE, SYNC) == -errno.ENOMEM
    cpu.store(start, b"new")
    cpu.store(start + 2 * PAGE, b"new")
    call.munmap(start + PAGE, PAGE)
    # From a hole on, MS_ASYNC alone ends at once; else what is mapped is done first.
    assert call.msync(start, 3 * PAGE, ASYNC) == -errno.ENOMEM
    assert call.msync(start, 3 * PAGE, SYNC) == -errno.ENOMEM
    assert data[:3] == data[2 * PAGE : 2 * PAGE + 3] == b"new"
    process.mm.privileged = True
    assert call.mlock(start, PAGE) == 0
    assert call.msync(start, PAGE, INVALIDATE) == -errno.EBUSY
    assert call.msync(start, PAGE, SYNC) == 0
