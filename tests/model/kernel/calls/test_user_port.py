"""Accesses of the kernel to user memory: moves, whole or not at all."""

import pytest

from pagewalk.model.kernel.calls.user_port import WalkedMemory, by_page, page_parts
from pagewalk.model.x86 import ErrorCode

from ..machines import ANON, MODES, PAGE, RW, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def test_moves_are_parted_at_pages():
    assert [*by_page(PAGE - 10, 4, 5)] == [(PAGE - 10, 2), (PAGE - 2, 1), (PAGE + 2, 2)]
    assert [*by_page(PAGE - 8, 8, 2)] == [(PAGE - 8, 1), (PAGE, 1)]
    assert [*by_page(0, 8, 1024)] == [(0, 512), (PAGE, 512)]
    assert [*by_page(5, 1, 0)] == []


@both
def test_a_move_across_two_pages_is_made_whole_or_not_at_all(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    process.mm.munmap(start + PAGE, PAGE)
    memory = WalkedMemory(kernel)
    cpu.store(start + PAGE - 8, b"12345678")
    stored, fault = memory.store(start + PAGE - 6, 4, b"abcdefgh", ac=True)
    assert (stored, fault.vaddr) == (1, start + PAGE)
    assert cpu.load(start + PAGE - 8, 8) == b"12abcd78"
    assert memory.load(start + PAGE - 6, 4, 2, ac=True) == (b"abcd", memory.load(
        start + PAGE, 1, 1, ac=True)[1])


def test_parts_of_pages():
    assert page_parts(PAGE - 2, PAGE + 4) == [(PAGE - 2, 2), (PAGE, PAGE), (2 * PAGE, 2)]
    assert page_parts(PAGE, 0) == []


@both
def test_accesses_are_made_as_the_kernel_with_ac_or_without(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"text")
    memory = WalkedMemory(kernel)
    assert memory.load(start, 2, 2, ac=True) == (b"text", None)
    assert memory.load(start, 2, 2, ac=False)[1].error_code == ErrorCode.P
    assert memory.store(start, 2, b"next", ac=False)[1].error_code == ErrorCode.P | ErrorCode.WR
    assert cpu.load(start, 4) == b"text"
