"""Copies across the boundary: how many bytes were not copied, by Linux's own count."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.kernel.calls.uaccess import UserAccess
from pagewalk.model.kernel.calls.user_port import WalkedMemory
from pagewalk.model.kernel.page_fault import Oops
from pagewalk.model.kernel.usercopy import AMD_32, ERMS
from pagewalk.model.mmu.walk import Fault
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import IA32, X86_64, ErrorCode, Vector

from ..machines import ANON, MODES, PAGE, RW, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def three_pages(mode, **options):
    """A page, a hole, and a page to be read only."""
    kernel, cpu, process = machine(mode, **options)
    start = process.mm.mmap(0, 3 * PAGE, RW, ANON)
    process.mm.munmap(start + PAGE, PAGE)
    process.mm.mprotect(start + 2 * PAGE, PAGE, Prot.READ)
    return kernel, cpu, UserAccess(kernel), start


@both
def test_access_ok_ends_where_user_space_does(mode):
    kernel, _, user, _ = three_pages(mode)
    end = kernel.layout.task_size
    assert user.access_ok(end - 1, 1)
    assert user.access_ok(end, 0)
    assert not user.access_ok(end - 1, 2)
    assert not user.access_ok(kernel.layout.page_offset, 1)
    assert not user.access_ok(1, end)


@both
def test_the_kernel_writes_no_kernel_memory_for_a_process(mode):
    kernel, _, user, _ = three_pages(mode)
    address = kernel.layout.page_offset + (1 << 20)
    before = kernel.state.memory.read_bytes(1 << 20, 8)
    assert user.copy_to_user(address, b"12345678") == 8
    assert user.copy_from_user(address, 8) == (bytes(8), 8)
    assert user.clear_user(address, 8) == 8
    assert kernel.state.memory.read_bytes(1 << 20, 8) == before


@both
def test_copies_fault_pages_in_and_stop_at_a_hole(mode):
    kernel, cpu, user, start = three_pages(mode)
    process = kernel.current
    end = start + PAGE
    assert user.copy_to_user(end - 96, b"x" * 300) == 204
    assert cpu.load(end - 96, 96) == b"x" * 96
    assert user.copy_from_user(end - 96, 300) == (b"x" * 96 + bytes(204), 204)
    assert user.clear_user(end - 40, 100) == 60
    assert user.copy_from_user(end, 50) == (bytes(50), 50)
    assert process.min_flt == 1
    assert not user.ac


@both
def test_read_only_pages_can_be_read_but_not_written(mode):
    _, _, user, start = three_pages(mode)
    page = start + 2 * PAGE
    assert user.copy_from_user(page, 10) == (bytes(10), 0)
    assert user.copy_to_user(page, b"0123456789") == 10
    assert user.clear_user(page + 5, 10) == 10


@both
def test_copies_break_copy_on_write(mode):
    kernel, cpu, user, start = three_pages(mode)
    process = kernel.current
    cpu.store(start, b"old")
    child = kernel.fork(process)
    assert user.copy_to_user(start, b"new") == 0
    kernel.switch(child)
    assert user.copy_from_user(start, 3) == (b"old", 0)
    kernel.check()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@settings(max_examples=40, deadline=None)
@given(offset=st.integers(0, 2 * PAGE), size=st.integers(0, 3 * PAGE))
def test_what_is_copied_is_what_lies_before_the_hole(mode, offset, size):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 3 * PAGE, RW, ANON)
    process.mm.munmap(start + 2 * PAGE, PAGE)
    there = max(0, min(size, 2 * PAGE - offset))
    user = UserAccess(kernel, routines=ERMS if mode is X86_64 else AMD_32)  # exact to the byte
    data = bytes(range(1, 252)) * 60
    assert user.copy_to_user(start + offset, data[:size]) == size - there
    assert cpu.load(start + offset, there) == data[:there]
    kernel.check()


@both
def test_without_ac_smap_stops_the_kernel(mode):
    _, _, user, start = three_pages(mode)
    user._smap = False  # stac left out
    with pytest.raises(Oops, match="SMAP"):
        user.copy_from_user(start, 4)
    _, _, user, start = three_pages(mode, smap=False)
    assert user.copy_from_user(start, 4) == (bytes(4), 0)


def test_map_fixed_at_the_end_of_user_space():
    kernel, _, process = machine(IA32)
    last = kernel.layout.task_size - PAGE
    process.mm.mmap(last, PAGE, RW, ANON | MapFlag.FIXED)
    user = UserAccess(kernel)
    assert user.copy_to_user(last + PAGE - 4, b"1234") == 0
    assert user.copy_to_user(last + PAGE - 4, b"12345") == 5


class Stuck(WalkedMemory):
    """Memory where every load ends in the same fault after a few."""

    def __init__(self, kernel, fault, good=0):
        super().__init__(kernel)
        self.fault, self.good = fault, good

    def load(self, _address, width, count, **_ac):
        good, self.good = min(self.good, count), 0
        return bytes(good * width), self.fault


def test_a_copy_stops_at_a_general_protection_fault():
    """The exception table covers #GP, which is what an address that is not canonical ends in."""
    kernel, _, _ = machine(X86_64)
    fault = WalkedMemory(kernel).load(1 << 47, 1, 1, ac=True)[1]
    assert fault.vector is Vector.GP
    user = UserAccess(kernel, Stuck(kernel, fault, good=3))
    assert user.copy_from_user(0x1000, 5) == (bytes(5), 2)
    for address in (1 << 47, 1 << 63, -1 & (1 << 64) - 1):
        assert UserAccess(kernel).copy_from_user(address, 4) == (bytes(4), 4)


@both
def test_a_fault_that_stays_is_no_endless_loop(mode):
    kernel, _, process = machine(mode)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    user = UserAccess(kernel, Stuck(kernel, Fault(Vector.PF, ErrorCode(0), start)))
    with pytest.raises(BrokenInvariant, match=r"^8 page faults at 0x\w+ were handled in vain$"):
        user.copy_from_user(start, 4)


@both
def test_a_copy_of_2_gbytes_or_more_is_refused_whole(mode):
    _, _, user, start = three_pages(mode)
    assert user.copy_from_user(start, 1 << 31) == (b"", 1 << 31)
    assert user.copy_from_user(start, 1 << 46) == (b"", 1 << 46)


def test_zeros_are_stored_piece_by_piece():
    kernel, cpu, process = machine(X86_64)
    start = process.mm.mmap(1 << 20, 40 * PAGE, RW, ANON | MapFlag.FIXED)
    cpu.store(start + 20 * PAGE, b"x" * PAGE)
    user = UserAccess(kernel)
    assert user.clear_user(start + 8, 1 << 46) == (1 << 46) - 40 * PAGE + 8
    assert cpu.load(start + 20 * PAGE, PAGE) == bytes(PAGE)
