"""Which mappings may have transparent huge pages."""

from dataclasses import replace

import pytest

from pagewalk.model.address_space.huge_memory import (
    ThpEnabled,
    hugepage_vma_check,
    transhuge_vma_suitable,
)
from pagewalk.model.address_space.vma import File, SpecialMapping, Vma, VmFlag

from .small_mm import SPACE

HUGE = SPACE.huge_page_bytes
ALWAYS, MADVISE, NEVER = ThpEnabled.ALWAYS, ThpEnabled.MADVISE, ThpEnabled.NEVER


@pytest.mark.parametrize(("flags", "permitting"), [
    (0, {ALWAYS}), (VmFlag.HUGEPAGE, {ALWAYS, MADVISE}), (VmFlag.NOHUGEPAGE, set()),
    (VmFlag.HUGEPAGE | VmFlag.NOHUGEPAGE, set()), (VmFlag.HUGEPAGE | VmFlag.PFNMAP, set()),
    (VmFlag.HUGEPAGE | VmFlag.HUGETLB, set()), (VmFlag.HUGEPAGE | VmFlag.DONTEXPAND, set())])
def test_flags_and_setting_decide(flags, permitting):
    vma = Vma(0, HUGE, flags, 0)
    assert {one for one in ThpEnabled if hugepage_vma_check(vma, one)} == permitting


def test_files_and_what_the_kernel_lends_have_none():
    shmem, vdso = File("/s", is_shmem=True), SpecialMapping("[vdso]")
    for vma in (Vma(0, HUGE, VmFlag.HUGEPAGE, 0, File("/f")),
                Vma(0, HUGE, VmFlag.HUGEPAGE, 0, shmem),
                Vma(0, HUGE, VmFlag.HUGEPAGE, 0, special=vdso)):
        assert not any(hugepage_vma_check(vma, one) for one in ThpEnabled)


@pytest.mark.parametrize(("start", "end", "address", "suitable"), [
    (HUGE, 2 * HUGE, HUGE, True), (HUGE, 2 * HUGE, 2 * HUGE - 1, True),
    (HUGE, 2 * HUGE, 2 * HUGE, False), (HUGE + 4096, 2 * HUGE, HUGE + 4096, False),
    (HUGE, 2 * HUGE - 4096, HUGE, False), (4096, 8192, 8192 - HUGE, True)])
def test_the_huge_page_of_an_address_must_fit(start, end, address, suitable):
    """The last wraps around, as in Linux 6.1."""
    for space in (SPACE, replace(SPACE, word_bytes=4)):
        assert transhuge_vma_suitable(space, Vma(start, end, 0, 0), address) == suitable
