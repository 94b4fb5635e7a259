"""Which mappings may have transparent huge pages, and where these come from."""

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag
from pagewalk.model.address_space.vma import File, SpecialMapping, Vma, VmFlag
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.x86 import IA32

from .machines import ANON, MIB, PAGE, RW, SHARED, counted, machine

both = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)


@both
def test_nobody_has_huge_pages_unless_they_are_enabled(mode):
    kernel, cpu, process = machine(mode, 32)
    start = process.mm.mmap(0x4000_0000, 16 * MIB, RW, ANON | MapFlag.FIXED)
    process.mm.madvise(start, 16 * MIB, Madvise.HUGEPAGE)
    cpu.store(start, b"x")
    assert (kernel.state.thp.enabled, process.space.rss) == (ThpEnabled.NEVER, 1)
    assert process.space.thp.deposits == []


@both
@pytest.mark.parametrize(("enabled", "advice", "huge"), [
    (ThpEnabled.ALWAYS, None, True), (ThpEnabled.ALWAYS, Madvise.NOHUGEPAGE, False),
    (ThpEnabled.MADVISE, None, False), (ThpEnabled.MADVISE, Madvise.HUGEPAGE, True)])
def test_advice_and_what_is_enabled_decide(mode, enabled, advice, huge):
    kernel, cpu, process = machine(mode, 32)
    kernel.state.thp.enabled = enabled
    start = process.mm.mmap(0x4000_0000, 8 * MIB, RW, ANON | MapFlag.FIXED)
    if advice is not None:
        process.mm.madvise(start, 8 * MIB, advice)
    cpu.store(start, b"x")
    assert process.space.rss == (kernel.state.thp.page_count if huge else 1)
    kernel.check()


def test_a_page_must_lie_in_the_mapping_whole():
    thp = Kernel.boot(IA32, 16 * MIB).state.thp
    thp.enabled = ThpEnabled.ALWAYS
    size = thp.page_bytes
    for start, end, suits in ((size, 2 * size, True), (size + PAGE, 3 * size, False),
                              (0, 2 * size - PAGE, False), (0, 3 * size, True)):
        assert thp.suits(Vma(start, end, VmFlag.DATA_DEFAULT, 0), size) == suits


@pytest.mark.parametrize(("changes", "flags"), [
    ({"file": File("/file")}, 0), ({"special": SpecialMapping("[vdso]")}, 0),
    ({}, VmFlag.HUGETLB), ({}, VmFlag.PFNMAP), ({}, VmFlag.NOHUGEPAGE)])
def test_only_plain_private_memory_has_them(changes, flags):
    thp = Kernel.boot(IA32, 16 * MIB).state.thp
    thp.enabled = ThpEnabled.ALWAYS
    vma = Vma(0, 4 * thp.page_bytes, VmFlag.DATA_DEFAULT | flags, 0, **changes)
    assert not thp.suits(vma, 0)
    assert thp.suits(Vma(0, 4 * thp.page_bytes, VmFlag.DATA_DEFAULT, 0), 0)


@both
def test_shared_memory_has_small_pages(mode):
    kernel, cpu, process = machine(mode, 32)
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    start = process.mm.mmap(0x4000_0000, 8 * MIB, RW, SHARED | MapFlag.FIXED)
    cpu.store(start, b"x")
    assert process.space.rss == 1


@both
def test_without_memory_in_one_piece_a_small_page_must_do(mode):
    kernel, cpu, process = machine(mode, 16)
    blocks = []
    while (block := kernel.state.thp.get_zero()) is not None:
        blocks.append(block)
        kernel.state.thp.zero_pfn = None
    free, _ = counted(kernel)
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    start = process.mm.mmap(0x4000_0000, 8 * MIB, RW, ANON | MapFlag.FIXED)
    cpu.store(start, b"x")
    cpu.load(start + PAGE)
    assert (process.space.rss, process.space.thp.deposits) == (1, [])
    kernel.exit(process)
    assert counted(kernel)[0] == free + 1  # the root, that was there before
    assert blocks


@both
def test_the_huge_zero_page_is_made_once_and_stays(mode):
    kernel, cpu, process = machine(mode, 32)
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    free, _ = counted(kernel)
    start = process.mm.mmap(0x4000_0000, 12 * MIB, RW, ANON | MapFlag.FIXED)
    size = kernel.state.thp.page_bytes
    assert [cpu.load(start + at * size + PAGE) for at in range(2)] == [b"\0"] * 2
    assert process.space.rss == 0
    kernel.check()
    zero = kernel.state.thp.own_frames
    assert len(zero) == size // PAGE
    kernel.exit(process)
    kernel.check()
    assert counted(kernel)[0] == free - len(zero) + 1
    assert kernel.state.thp.get_zero() == zero.start
