from dataclasses import fields, replace

import pytest

from pagewalk.model.address_space.limits import UserSpace
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.smaps_text import (
    KINDS,
    STATS,
    MemSizeStats,
    rollup_text,
    smaps_text,
    thp_eligible,
    vm_flags_text,
)
from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import FIXED, PAGE, RW

HUGE = 2 << 20
AMD64 = UserSpace(word_bytes=8, task_size=(1 << 47) - PAGE, huge_page_bytes=HUGE, pkeys=True)
START = 1 << 30
NUMBERED = MemSizeStats(**{field: number << 10
                           for number, field in enumerate((STATS | KINDS).values(), 1)})


def test_an_entry_shows_every_figure_in_its_place():
    mm = Mm(AMD64, 1 << 40)
    mm.mmap(START, 4 * PAGE, RW, FIXED)
    lines = smaps_text(mm, lambda _vma: NUMBERED).splitlines()
    assert lines[0] == "40000000-40004000 rw-p 00000000 00:00 0 "
    assert lines[1:4] == ["Size:                 16 kB", "KernelPageSize:        4 kB",
                          "MMUPageSize:           4 kB"]
    assert [line.split()[:2] for line in lines[4:22]] == [
        [f"{name}:", str(list(STATS.values()).index(field) + 1)] for name, field in STATS.items()]
    assert lines[22:] == ["THPeligible:    0", "ProtectionKey:         0",
                          "VmFlags: rd wr mr mw me ac "]


def test_every_figure_is_a_field():
    assert sorted((STATS | KINDS).values()) == sorted(
        field.name for field in fields(MemSizeStats))


def test_a_rollup_shows_the_sums_with_the_kinds_of_shares_behind_those():
    mm = Mm(AMD64, 1 << 40)
    mm.mmap(START, 4 * PAGE, RW, FIXED)
    mm.mmap(START + 16 * PAGE, PAGE, RW, FIXED)
    head, *lines = rollup_text(mm, NUMBERED).splitlines()
    assert head == f"{'40000000-40011000 ---p 00000000 00:00 0 ':72} [rollup]"
    assert [line.split()[:2] for line in lines[:7]] == [
        ["Rss:", "1"], ["Pss:", "2"], ["Pss_Dirty:", "3"], ["Pss_Anon:", "19"],
        ["Pss_File:", "20"], ["Pss_Shmem:", "21"], ["Shared_Clean:", "4"]]
    assert lines == [line for line in lines if len(line) == 27]
    assert len(lines) == len(STATS) + len(KINDS)


def test_a_process_without_mappings_has_a_rollup_of_zeros():
    head, *lines = rollup_text(Mm(replace(AMD64, word_bytes=4), 1 << 40),
                               MemSizeStats()).splitlines()
    assert head == f"{'00000000-00000000 ---p 00000000 00:00 0 ':48} [rollup]"
    assert {line.split(maxsplit=1)[1] for line in lines} == {"0 kB"}


def test_flags_have_two_letters_in_the_order_of_their_bits():
    flags = VmFlag.STACK | VmFlag.LOCKED | VmFlag.LOCKONFAULT | VmFlag.MERGEABLE
    assert vm_flags_text(flags) == "rd wr mr mw me gd lo ?? ac mg "
    assert vm_flags_text(0xF << VmFlag.PKEY_SHIFT) == ""


@pytest.mark.parametrize(("start", "length", "eligible"), [
    (START, HUGE, True), (START, HUGE - PAGE, False), (START + PAGE, HUGE, False),
    (START + PAGE, 2 * HUGE - PAGE, True), (0x1_0000, PAGE, True),
    (0x1_0000, HUGE, False),
])
def test_a_mapping_is_eligible_for_a_huge_page_if_its_last_one_fits(start, length, eligible):
    mm = Mm(AMD64, 1 << 40)
    mm.mmap(start, length, Prot.READ, FIXED)
    assert thp_eligible(mm, next(iter(mm))) is eligible


def test_files_and_mappings_that_want_none_are_not_eligible():
    mm = Mm(replace(AMD64, pkeys=False), 1 << 40)
    mm.mmap(START, HUGE, Prot.READ, MapFlag.PRIVATE | MapFlag.FIXED, File("/f"))
    mm.mmap(START + HUGE, HUGE, Prot.READ, FIXED)
    mm.madvise(START + HUGE, HUGE, Madvise.NOHUGEPAGE)
    assert [thp_eligible(mm, vma) for vma in mm] == [False, False]
    assert "ProtectionKey" not in smaps_text(mm, lambda _vma: MemSizeStats())
