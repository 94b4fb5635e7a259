"""What a machine promises: to one call, and to all together."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Overcommit
from pagewalk.model.address_space.uapi import MapFlag, Prot

from .machines import ANON, MIB, MODES, PAGE, RW, SHARED, machine
from .sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
NORESERVE = MapFlag.NORESERVE


def refused(call, *arguments):
    with pytest.raises(SysError) as caught:
        call(*arguments)
    return caught.value.errno == errno.ENOMEM


@both
def test_a_call_gets_no_more_than_all_pages_and_all_swap(mode, tmp_path):
    kernel, _, process = machine(mode)
    total, mmap = kernel.state.allocator.totalram_pages, process.mm.mmap
    assert total < 16 * MIB // PAGE  # boot keeps some
    with flaky_swap(tmp_path, "swap", 1000) as device:
        for more in (0, 1000):
            for flags in (ANON, SHARED):
                assert refused(mmap, 0, (total + more + 1) * PAGE, RW, flags)
                process.mm.munmap(mmap(0, (total + more) * PAGE, RW, flags), (total + more) * PAGE)
                mmap(0, 9 * total * PAGE, RW, flags | NORESERVE)
            mmap(0, 9 * total * PAGE, Prot.READ, ANON)
            if not more:
                kernel.swapon(device)
    kernel.check()


@both
def test_without_overcommit_half_of_memory_less_reserves_is_promised(mode, tmp_path):
    kernel, _, process = machine(mode)
    commit, total = kernel.commit, kernel.state.allocator.totalram_pages
    commit.mode = Overcommit.NEVER
    commit.admin_reserve_kbytes, commit.user_reserve_kbytes = 400, 40
    assert commit.commit_limit == total // 2
    left = total // 2 - 100 - 1
    for flags in (ANON, SHARED, ANON | NORESERVE, SHARED | NORESERVE):
        assert refused(process.mm.mmap, 0, (left + 1) * PAGE, RW, flags)
        process.mm.munmap(process.mm.mmap(0, left * PAGE, RW, flags), left * PAGE)
    process.mm.privileged = True
    assert refused(process.mm.mmap, 0, (left + 101) * PAGE, RW, ANON)
    process.mm.munmap(process.mm.mmap(0, (left + 100) * PAGE, RW, ANON), (left + 100) * PAGE)
    process.mm.mmap(0, 64 * PAGE, Prot.READ, ANON)  # a 32nd of what is mapped is kept back ...
    assert refused(process.mm.mmap, 0, (left + 99) * PAGE, RW, ANON)
    process.mm.mmap(0, 9000 * PAGE, Prot.READ, ANON)  # ... up to the reserve
    assert refused(process.mm.mmap, 0, (left + 91) * PAGE, RW, ANON)
    process.mm.mmap(0, (left + 90) * PAGE, RW, ANON)
    with flaky_swap(tmp_path, "swap", 500) as device:
        kernel.swapon(device)
        assert commit.commit_limit == total // 2 + 500
        commit.overcommit_ratio = 80
        assert commit.commit_limit == total * 80 // 100 + 500
        commit.overcommit_kbytes = 4 * 77
        assert commit.commit_limit == 77 + 500


@both
def test_huge_pages_that_are_set_aside_are_not_promised(mode):
    kernel, _, _ = machine(mode, megabytes=32)
    commit, before = kernel.commit, kernel.commit.commit_limit
    assert kernel.set_nr_hugepages(1) == 1
    size = mode.levels[-2].page_bytes // PAGE
    assert before - commit.commit_limit in (size // 2, (size + 1) // 2)
    assert commit.limit == kernel.state.allocator.totalram_pages


@both
def test_a_fork_is_judged_by_what_its_parent_has(mode):
    kernel, _, process = machine(mode)
    commit = kernel.commit
    commit.mode, commit.overcommit_kbytes, commit.admin_reserve_kbytes = Overcommit.NEVER, 4 * 99, 0
    commit.user_reserve_kbytes = 4 * 20
    process.mm.mmap(0, 40 * PAGE, RW, ANON)
    kernel.exit(kernel.fork(process))
    process.mm.mmap(0, 640 * PAGE, Prot.READ, ANON)
    assert refused(kernel.fork, process)
    assert commit.committed == 40
    kernel.check()
