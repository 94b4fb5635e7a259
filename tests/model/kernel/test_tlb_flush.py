"""What the TLB is owed: which PCID, which addresses, and when all."""

from contextlib import suppress

import pytest

from pagewalk.model.kernel.tlb_flush import Invalidation, MmContext, MmuGather, TlbState
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import Cr3, Cr4, InvalidateOp

PAGE = 4096
WITH_PCID = Cr4.PAE | Cr4.PGE | Cr4.PCIDE


def take(tlb: TlbState) -> list[Invalidation]:
    """What became owed while nobody collected."""
    with tlb.collecting() as owed:
        return owed


def switched(tlb: TlbState, context: MmContext) -> int | None:
    """Switch; return the CR3 written, None if it was not."""
    take(tlb)
    tlb.switch(context)
    owed = take(tlb)
    tlb.check()
    return owed[0].new if owed else None


def test_without_pcids_each_switch_flushes():
    tlb = TlbState(1, Cr4.PSE)
    contexts = [MmContext(2), MmContext(3)]
    assert [switched(tlb, one) for one in contexts + contexts] == [
        2 << 12, 3 << 12, 2 << 12, 3 << 12]
    assert switched(tlb, contexts[1]) is None


def test_a_pcid_is_kept_until_six_others_have_run():
    tlb = TlbState(1, WITH_PCID)
    contexts = [MmContext(root) for root in range(2, 9)]
    first = switched(tlb, contexts[0])
    assert not first & Cr3.NO_FLUSH
    for one in contexts[1:6]:
        assert not switched(tlb, one) & Cr3.NO_FLUSH
        assert switched(tlb, contexts[0]) == first | Cr3.NO_FLUSH
    switched(tlb, contexts[6])  # takes the PCID of the first
    again = switched(tlb, contexts[0])
    assert not again & Cr3.NO_FLUSH


def test_an_address_space_that_changed_while_away_is_flushed_when_it_runs():
    tlb = TlbState(1, WITH_PCID)
    one, other = MmContext(2), MmContext(3)
    cr3 = switched(tlb, one)
    switched(tlb, other)
    tlb.flush_range(one, 0, PAGE)
    assert take(tlb) == []
    assert switched(tlb, one) == cr3
    switched(tlb, other)
    assert switched(tlb, one) == cr3 | Cr3.NO_FLUSH


def test_up_to_33_pages_go_one_by_one():
    tlb = TlbState(1, WITH_PCID)
    one = MmContext(2)
    switched(tlb, one)
    tlb.flush_range(one, 0x5000, 0x5000 + 33 * PAGE)
    owed = take(tlb)
    assert [each.vaddr for each in owed] == [0x5000 + at * PAGE for at in range(33)]
    assert {each.op for each in owed} == {InvalidateOp.INVLPG}
    tlb.flush_range(one, 0x5000, 0x5000 + 34 * PAGE)
    assert take(tlb) == [Invalidation(InvalidateOp.MOV_CR3, old=tlb.cr3, new=tlb.cr3)]


def test_many_kernel_pages_go_with_all_global_ones():
    tlb = TlbState(1, WITH_PCID)
    tlb.flush_kernel_range(0, 100 * PAGE)
    off, on = take(tlb)
    assert (off.op, off.old ^ off.new, on.new) == (InvalidateOp.MOV_CR4, Cr4.PGE, WITH_PCID)


@pytest.mark.parametrize("entries", [[], [0x40_0000], [0x40_0000, 0x60_0000]])
def test_tables_that_are_freed_need_one_invlpg_of_anything(entries):
    tlb = TlbState(1, 0)
    one = MmContext(2)
    switched(tlb, one)
    with MmuGather(tlb, one, lambda _pfn: None) as gather:
        for vaddr in entries:
            gather.flush_entry(vaddr, 0x20_0000)
        gather.flush_tables(0x1000)
    assert [each.vaddr for each in take(tlb)] == (entries or [0x1000])


def test_large_pages_are_flushed_by_their_size_unless_small_ones_are_between():
    tlb = TlbState(1, 0)
    one = MmContext(2)
    switched(tlb, one)
    gather = MmuGather(tlb, one, lambda _pfn: None)
    gather.flush_entry(0x40_0000, 0x20_0000)
    gather.flush_entry(0x40_0000 + 32 * 0x20_0000, 0x20_0000)
    gather.finish()
    assert len(take(tlb)) == 33
    gather.flush_entry(0x40_0000, 0x20_0000)
    gather.flush_entry(0x3F_F000)
    gather.finish()
    assert [each.op for each in take(tlb)] == [InvalidateOp.MOV_CR3]


def test_frames_go_after_the_tlb_is_told():
    tlb, freed = TlbState(1, 0), []
    one = MmContext(2)
    switched(tlb, one)
    with (tlb.collecting() as owed,
          MmuGather(tlb, one, lambda pfn: freed.append((pfn, len(owed)))) as gather):
        gather.flush_entry(0x8000)
        gather.remove_page(7)
        assert not owed
        assert not freed
    assert freed == [(7, 1)]


def test_what_is_owed_is_only_the_collectors_who_is_there():
    tlb = TlbState(1, 0)
    tlb.flush_kernel_range(0, PAGE)
    with tlb.collecting() as outer:
        tlb.flush_kernel_range(PAGE, 2 * PAGE)
        with tlb.collecting() as inner:
            tlb.flush_kernel_range(2 * PAGE, 3 * PAGE)
        tlb.flush_kernel_range(3 * PAGE, 4 * PAGE)
    assert [one.vaddr // PAGE for one in outer] == [0, 1, 3]  # the first was nobody's
    assert [one.vaddr // PAGE for one in inner] == [2]
    assert take(tlb) == []


def test_what_is_owed_is_not_lost_by_an_error():
    tlb = TlbState(1, 0)

    def broken() -> None:
        with tlb.collecting() as owed:
            tlb.flush_kernel_range(0, PAGE)
            owed.clear()  # carried out
            tlb.flush_kernel_range(PAGE, 2 * PAGE)
            raise RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        broken()
    tlb.flush_kernel_range(2 * PAGE, 3 * PAGE)
    assert [one.vaddr // PAGE for one in take(tlb)] == [1, 2]


@pytest.mark.parametrize("both_fail", [False, True])
def test_what_an_inner_collector_leaves_goes_to_the_outer_in_order(both_fail):
    tlb, collected = TlbState(1, 0), []
    with suppress(OSError), tlb.collecting() as outer:
        collected = outer
        tlb.flush_kernel_range(0, PAGE)
        with suppress(KeyError), tlb.collecting():
            tlb.flush_kernel_range(PAGE, 2 * PAGE)
            raise KeyError
        tlb.flush_kernel_range(2 * PAGE, 3 * PAGE)
        if both_fail:
            raise OSError
    left = take(tlb)
    assert [one.vaddr // PAGE for one in collected] == [0, 1, 2]
    assert left == (collected if both_fail else [])


def test_check_finds_a_wrong_cr3():
    tlb = TlbState(1, 0)
    tlb.cr3 = 5 << 12
    with pytest.raises(BrokenInvariant, match="CR3 is"):
        tlb.check()
