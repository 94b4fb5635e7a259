"""Tunables of a kernel that runs: what can be written, and that it counts from then on."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.proc.sysctl_vm import SysctlVm

from ..machines import ANON, MODES, PAGE, RW, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def fails(sysctl, name, text):
    before = sysctl.read(name)
    with pytest.raises(SysError) as caught:
        sysctl.write(name, text)
    assert sysctl.read(name) == before
    return caught.value.errno


@both
def test_strict_promises_from_now_on(mode):
    kernel, _, process = machine(mode)
    call, sysctl = SystemCalls(kernel), SysctlVm(kernel)
    assert [sysctl.read(name) for name in ("overcommit_memory", "overcommit_ratio",
                                           "overcommit_kbytes")] == ["0\n", "50\n", "0\n"]
    assert call.mmap(0, 3000 * PAGE, RW, ANON) > 0
    sysctl.write("overcommit_memory", "2")
    assert call.mmap(0, PAGE, RW, ANON) == -errno.ENOMEM  # more than half is promised already
    sysctl.write("overcommit_ratio", " 100\n")
    assert call.mmap(0, PAGE, RW, ANON) > 0
    sysctl.write("overcommit_kbytes", "4000")
    assert sysctl.read("overcommit_ratio") == "0\n"
    assert kernel.commit.commit_limit == 1000
    sysctl.write("overcommit_ratio", "1")
    assert sysctl.read("overcommit_kbytes") == "0\n"
    sysctl.write("overcommit_memory", "1")
    assert call.mmap(0, 30_000 * PAGE, RW, ANON) > 0
    process.mm.check()
    for name in ("admin_reserve_kbytes", "user_reserve_kbytes"):
        sysctl.write(name, "0")
    sysctl.write("overcommit_memory", "2")
    sysctl.write("overcommit_kbytes", str(4 * (kernel.commit.committed + 10)))
    assert call.mmap(0, 10 * PAGE, RW, ANON) == -errno.ENOMEM
    assert call.mmap(0, 9 * PAGE, RW, ANON) > 0


@both
def test_fewer_mappings_from_now_on(mode):
    kernel, _, process = machine(mode)
    call, sysctl = SystemCalls(kernel), SysctlVm(kernel)
    start = call.mmap(0, 20 * PAGE, RW, ANON)
    sysctl.write("max_map_count", "3")
    assert call.mprotect(start + 5 * PAGE, 5 * PAGE, Prot.READ) == 0
    assert call.mprotect(start + 15 * PAGE, PAGE, Prot.READ) == -errno.ENOMEM
    child = kernel.fork(process)
    kernel.switch(child)
    assert call.munmap(start + PAGE, PAGE) == -errno.ENOMEM
    sysctl.write("max_map_count", "4")
    assert call.munmap(start + PAGE, PAGE) == 0
    kernel.check()


@both
def test_the_page_allocator_minds_its_tunables(mode):
    kernel, _, _ = machine(mode)
    sysctl, zone = SysctlVm(kernel), kernel.state.allocator.populated[0]
    sysctl.write("min_free_kbytes", "2000")
    low = zone.watermarks.low
    assert sysctl.read("min_free_kbytes") == "2000\n"
    sysctl.write("watermark_scale_factor", "3000")
    assert zone.watermarks.low > low
    sysctl.write("percpu_pagelist_high_fraction", "8")
    sysctl.write("watermark_boost_factor", "0")
    assert zone.watermark_boost_factor == 0
    sysctl.write("nr_hugepages", "1")
    assert sysctl.read("nr_hugepages") == "1\n"
    kernel.check()


BAD = [("overcommit_memory", "3"), ("overcommit_memory", "-1"), ("overcommit_memory", ""),
       ("overcommit_memory", "one"), ("overcommit_memory", "1x"), ("max_map_count", "-1"),
       ("max_map_count", str(1 << 31)), ("overcommit_kbytes", "-1"),
       ("overcommit_kbytes", str(1 << 64)), ("watermark_scale_factor", "0"),
       ("watermark_scale_factor", "3001"), ("percpu_pagelist_high_fraction", "7"),
       ("min_free_kbytes", "08")]


@both
@pytest.mark.parametrize(("name", "text"), BAD)
def test_what_is_no_number_or_out_of_bounds(mode, name, text):
    sysctl = SysctlVm(machine(mode)[0])
    assert fails(sysctl, name, text) == errno.EINVAL


@both
def test_how_numbers_are_written(mode):
    sysctl = SysctlVm(machine(mode)[0])
    for text, value in (("0x10", 16), ("010", 8), ("7 8", 7), ("\t5\n", 5), ("0", 0)):
        sysctl.write("max_map_count", text)
        assert sysctl.read("max_map_count") == f"{value}\n"
    with pytest.raises(SysError, match="ENOENT"):
        sysctl.read("unheard_of")
    assert "overcommit_memory" in list(sysctl)
