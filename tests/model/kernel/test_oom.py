"""Killing for memory: who goes, what is left of it, and what a failing device has to do with it."""

import errno
from contextlib import ExitStack, closing, suppress
from uuid import UUID

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.oom import OomKilled, select_bad_process
from pagewalk.model.kernel.panic import AttemptedToKillInit, DeadlockedOnMemory
from pagewalk.model.kernel.swap.errors import SwapIoError
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.physical.out_of_memory import OutOfMemory

from .machines import ANON, MODES, PAGE, RW, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
PROGRAM = Program(File("program"), [ProgramHeader(0, 0x10_0000, PAGE, PAGE, Prot.READ | Prot.EXEC)])


class FailingSwap(SwapFile):
    """A swap file that can be read, but not written any more once it is ``failing``."""

    failing = False

    def write(self, slot, data, pfn):
        if self.failing:
            raise SwapIoError(self.path, slot, pfn, "write", "Input/output error")
        super().write(slot, data, pfn)


@pytest.fixture
def failing(tmp_path):
    """Make a swap area of this name and so many pages that can be made to fail."""
    with ExitStack() as stack:
        yield lambda name, pages: stack.enter_context(closing(
            FailingSwap.create(tmp_path / name, pages, uuid=UUID(int=1))))


def fail_after(monkeypatch, kernel, calls):
    """Have every allocation after so many fail for good."""
    allocate, left = kernel.state.allocator.alloc_pages, [calls]

    def alloc_pages(gfp, order=0, *rest, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OutOfMemory(order, gfp, ())
        return allocate(gfp, order, *rest, **options)
    monkeypatch.setattr(kernel.state.allocator, "alloc_pages", alloc_pages)
    return left


@both
def test_the_process_with_most_is_chosen(mode):
    kernel, cpu, _ = machine(mode)
    assert select_bad_process([]) is None
    small, large = kernel.spawn("small"), kernel.spawn("large")
    kernel.switch(large)
    cpu.store(large.mm.mmap(0, PAGE, RW, ANON), b"x")
    equal = kernel.spawn("equal")
    assert select_bad_process([small, large, equal]) is large
    assert select_bad_process([small, equal]) is equal  # the younger of equals


@both
def test_points_are_thousandths_of_all_pages(mode):
    kernel, cpu, small = machine(mode)
    large = kernel.spawn("large")
    kernel.switch(large)
    start = large.mm.mmap(0, 100 * PAGE, RW, ANON)
    for page in range(100):
        cpu.store(start + page * PAGE, b"x")
    both_of_them, total = [small, large], 10_500
    assert select_bad_process(both_of_them, total) is large
    small.oom_score_adj = 10  # 10 pages each
    assert select_bad_process(both_of_them, total) is large
    small.oom_score_adj = 20
    assert select_bad_process(both_of_them, total) is small
    large.oom_score_adj = 1000
    assert select_bad_process(both_of_them, total) is large
    large.oom_score_adj = -1000
    assert select_bad_process(both_of_them, total) is small
    small.oom_score_adj = -999
    assert select_bad_process(both_of_them, total) is small  # unlikely, but it can be
    small.oom_score_adj = -1000
    assert select_bad_process(both_of_them, total) is None
    small.is_oom_origin = True
    assert select_bad_process(both_of_them, total) is small
    child = kernel.fork(small)
    assert (child.oom_score_adj, child.is_oom_origin) == (-1000, False)


@both
def test_init_is_not_killed(mode):
    kernel, cpu, other = machine(mode, megabytes=2)
    init = kernel.spawn("init", init=True)
    assert (init.pid, other.pid) == (1, 2)
    with pytest.raises(ValueError, match=r"^A machine has one init only$"):
        kernel.spawn("again", init=True)
    with kernel.oom.origin(init):  # not even if it asks for it
        assert select_bad_process(kernel.processes.values()) is other
    kernel.switch(init)
    start = init.mm.mmap(0, 400 * PAGE, RW, ANON | MapFlag.NORESERVE)
    stored = []

    def fill():
        for page in range(400):
            cpu.store(start + page * PAGE, b"x")
            stored.append(page)
    with pytest.raises(DeadlockedOnMemory, match=r"\nKernel panic - not syncing: System is "
                                                 r"deadlocked on memory$"):
        fill()
    assert [kill.pid for kill in kernel.oom_kills] == [2]  # though it had nothing
    assert len(stored) > 100
    assert [*kernel.processes.values()] == [init]
    kernel.check()
    with pytest.raises(AttemptedToKillInit, match=r"^Kernel panic - not syncing: Attempted to "
                                                  r"kill init!$"):
        kernel.exit(init)
    init.mm.munmap(start, 400 * PAGE)
    child = kernel.fork(init)
    assert child.pid == 3
    kernel.exit(child)
    kernel.check()


@both
def test_nobody_to_kill_is_a_deadlock(mode, monkeypatch):
    kernel, _, process = machine(mode)
    process.oom_score_adj = -1000
    fail_after(monkeypatch, kernel, 0)
    with pytest.raises(DeadlockedOnMemory, match=r"^page allocation failure: order:0"):
        kernel.fork(process)
    with kernel.oom.disabled(), pytest.raises(OutOfMemory) as caught:
        kernel.fork(process)
    assert not isinstance(caught.value, DeadlockedOnMemory)
    assert kernel.processes == {process.pid: process}
    kernel.check()


@both
def test_a_process_that_has_ended_can_do_nothing(mode):
    kernel, _, process = machine(mode)
    kernel.exit(process)
    for call in (kernel.switch, kernel.fork, kernel.exit, lambda one: kernel.exec(one, PROGRAM)):
        with pytest.raises(SysError) as info:
            call(process)
        assert info.value.errno == errno.ESRCH
    kernel.check()


@both
def test_exec_without_memory_ends_the_process_once(mode, monkeypatch):
    kernel, _, process = machine(mode)
    before = counted(kernel)[0] + 1
    for calls in range(12):
        with monkeypatch.context() as patch:
            left = fail_after(patch, kernel, calls)
            with suppress(OomKilled):
                kernel.exec(process, PROGRAM)
        assert (process.pid in kernel.processes) == (left[0] >= 0)
        kernel.check()
        if not kernel.processes:
            assert counted(kernel)[0] == before
            process = kernel.spawn("next")
    assert 0 < len(kernel.oom_kills) < 12  # some failed, and some had enough


@both
def test_fork_without_memory_for_the_first_table_ends_the_parent(mode, monkeypatch):
    kernel, _, process = machine(mode)
    before = counted(kernel)[0] + 1
    fail_after(monkeypatch, kernel, 0)
    with pytest.raises(OomKilled):
        kernel.fork(process)
    assert kernel.processes == {}
    kernel.check()
    assert counted(kernel)[0] == before


@both
def test_a_fault_within_a_call_ends_the_process_when_both_are_unwound(mode, monkeypatch):
    kernel, _, process = machine(mode)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    fail_after(monkeypatch, kernel, 0)

    def work():
        with kernel.acting(process):
            assert kernel.handle_page_fault(start, 6).signal is not None
            assert process.pid in kernel.processes  # its address space is still worked on
            raise OomKilled(kernel.oom_kills[-1])
    with pytest.raises(OomKilled):
        work()
    assert process.pid not in kernel.processes
    kernel.check()


@pytest.mark.slow
@both
def test_a_device_that_fails_does_not_stop_reclaim_to_another(mode, failing):
    kernel, cpu, process = machine(mode, megabytes=4)
    bad, good = failing("bad", 200), failing("good", 2000)
    kernel.swapon(bad, 10)
    kernel.swapon(good, 5)
    bad.failing = True
    start = process.mm.mmap(0, 900 * PAGE, RW, ANON)
    for number in range(900):
        cpu.store(start + number * PAGE, number.to_bytes(2, "little"))
    assert good.counters.pages_out > 100
    assert kernel.state.page_ops.write_errors >= 199  # each slot of it once
    assert kernel.state.page_ops.write_error is None  # so someone is killed
    for number in range(900):
        assert cpu.load(start + number * PAGE, 2) == number.to_bytes(2, "little")
    kernel.check()


@pytest.mark.slow
@both
def test_a_device_that_fails_is_an_error_when_nothing_else_helps(mode, failing):
    kernel, cpu, process = machine(mode, megabytes=4)
    bad = failing("bad", 2000)
    kernel.swapon(bad)
    start = process.mm.mmap(0, 900 * PAGE, RW, ANON)
    bad.failing = True
    stored = []

    def store():
        for number in range(900):
            cpu.store(start + number * PAGE, number.to_bytes(2, "little"))
            stored.append(number)
    with pytest.raises(SwapIoError, match=r"cannot write slot \d+ .*Input/output error"):
        store()
    assert kernel.oom_kills == []
    assert kernel.state.page_ops.write_errors
    kernel.check()
    bad.failing = False
    for number in stored:
        assert cpu.load(start + number * PAGE, 2) == number.to_bytes(2, "little")
    kernel.exit(process)
    kernel.check()


@both
def test_what_kswapd_cannot_write_does_not_concern_the_call_before(mode, failing):
    kernel, cpu, process = machine(mode, megabytes=2)
    bad = failing("bad", 2000)
    kernel.swapon(bad)
    start = process.mm.mmap(0, 300 * PAGE, RW, ANON)
    for number in range(300):
        with kernel.acting(process):
            bad.failing = False
            cpu.store(start + number * PAGE, b"x")
            bad.failing = True  # for kswapd, which has its turn now
    assert kernel.state.page_ops.write_errors
    assert process.space.rss + process.space.swapped == 300
    kernel.check()
