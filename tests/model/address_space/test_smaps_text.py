from dataclasses import fields, replace

import pytest

from pagewalk.model.address_space.limits import UserSpace
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.smaps_text import (
    STATS,
    MemSizeStats,
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


def test_an_entry_shows_every_figure_in_its_place():
    mm = Mm(AMD64, 1 << 40)
    mm.mmap(START, 4 * PAGE, RW, FIXED)
    stats = MemSizeStats(**{field.name: (number + 1) << 10
                            for number, field in enumerate(fields(MemSizeStats))})
    lines = smaps_text(mm, lambda vma: stats).splitlines()
    assert lines[0] == "40000000-40004000 rw-p 00000000 00:00 0 "
    assert lines[1:4] == ["Size:                 16 kB", "KernelPageSize:        4 kB",
                          "MMUPageSize:           4 kB"]
    assert [line.split()[:2] for line in lines[4:22]] == [
        [f"{name}:", str(list(STATS.values()).index(field) + 1)] for name, field in STATS.items()]
    assert lines[22:] == ["THPeligible:    0", "ProtectionKey:         0",
                          "VmFlags: rd wr mr mw me ac "]


def test_every_figure_is_a_field():
    assert sorted(STATS.values()) == sorted(field.name for field in fields(MemSizeStats))


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
    assert "ProtectionKey" not in smaps_text(mm, lambda vma: MemSizeStats())
