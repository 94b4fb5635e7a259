"""What each drop leaves of the second-level TLB, in whatever cycle of a lookup it comes."""

import pytest

from pagewalk.hdl.l2_tlb import L2Tlb
from pagewalk.model.mmu.walk import Access
from pagewalk.model.x86 import IA32, PAGE_SHIFT, X86_64

from .bench import simulate
from .l2_bench import Rtl, geometry
from .l2_world import registers
from .test_l2_cycles import drop, enter, page

# By name: address, PCID and size; a global page is found under any PCID, here under 3.
PAGES = {
    "local": (0x1000, 1, 0), "other": (0x2000, 1, 0), "elsewhere": (0x3000, 2, 0),
    "global": (0x5000, 1, 0), "large": (1 << 22, 1, 1), "far large": (2 << 22, 2, 1),
    "global large": (3 << 22, 1, 1),
}
LOCAL = {"local", "other", "elsewhere", "large", "far large"}
GLOBAL = {"global", "global large"}
# What is dropped by address is named by the last page number in it.
DROPS = {
    "INVLPG": (drop(by_address=1, by_pcid=1, globals=1, pcid=1, vpn=1), {"local"}),
    "INVLPG of another PCID": (drop(by_address=1, by_pcid=1, globals=1, pcid=2, vpn=1), set()),
    "INVLPG, global": (drop(by_address=1, by_pcid=1, globals=1, pcid=2, vpn=5), {"global"}),
    "INVLPG, large": (
        drop(by_address=1, by_pcid=1, globals=1, pcid=1, vpn=0x400 + 0x1FF), {"large"}),
    "INVLPG, global large": (
        drop(by_address=1, by_pcid=1, globals=1, pcid=2, vpn=0xC00 + 0x1FF), {"global large"}),
    "INVPCID address": (drop(by_address=1, by_pcid=1, pcid=2, vpn=3), {"elsewhere"}),
    "INVPCID address, global": (drop(by_address=1, by_pcid=1, pcid=1, vpn=5), set()),
    "INVPCID context": (drop(by_pcid=1, pcid=1), {"local", "other", "large"}),
    "INVPCID all": (drop(globals=1), LOCAL | GLOBAL),
    "INVPCID all but global": (drop(), LOCAL),
    "MOV CR4 with SMEP": (
        drop(by_pcid=1, globals=1, pcid=1), {"local", "other", "large"} | GLOBAL),
}
MOMENTS = range(5)  # a lookup of a page of the smallest size takes four cycles


def is_global(name):
    return name in GLOBAL


async def held(rtl, name):
    """Return whether a page is found under its PCID; a global one, under another."""
    vaddr, pcid, _ = PAGES[name]
    control = registers(X86_64, 3 if is_global(name) else pcid)
    request, response, _ = await rtl.lookup(Access(vaddr), control)
    if response is None:
        await rtl.respond(request, fault=1, vector=14)
    return response is not None


async def look_up_and_drop(rtl, condition, moment):
    """Ask for a page, have something dropped so many cycles later, and let all be done."""
    ctx, dut = rtl.ctx, rtl.dut
    request = rtl.request(Access(PAGES["other"][0]), registers(X86_64, PAGES["other"][1]))
    ctx.set(dut.walk.req.payload, request)
    ctx.set(dut.vpn, PAGES["other"][0] >> PAGE_SHIFT)
    ctx.set(dut.walk.req.valid, 1)
    answers = walks = 0
    for cycle in range(60):
        if cycle == moment:
            ctx.set(dut.drop, {**condition, "valid": 1})
        answers += ctx.get(dut.walk.rsp.valid)
        walks += ctx.get(dut.walkers.req.valid)
        await ctx.tick()
        ctx.set(dut.walk.req.valid, 0)
        ctx.set(dut.drop.valid, 0)
    assert not ctx.get(dut.busy)
    if walks:
        await rtl.respond(request, fault=1, vector=14)
    return answers, walks


@pytest.mark.slow
@pytest.mark.parametrize("name", DROPS)
def test_a_drop_in_any_cycle_of_a_lookup_leaves_what_it_does_not_name(name):
    condition, gone = DROPS[name]
    shape = geometry(X86_64, sets=8, ways=4)
    dut = L2Tlb(shape.config)

    async def testbench(ctx):
        rtl = Rtl(ctx, dut, shape)
        await rtl.cleared()
        for moment in MOMENTS:
            await rtl.drop(drop(globals=1))
            for number, (one, (vaddr, pcid, size)) in enumerate(PAGES.items()):
                frame = (number + 1) << 22 - 12 if size else number + 1
                await enter(rtl, vaddr, page(frame, size, global_page=is_global(one)), pcid=pcid)
            answers, walks = await look_up_and_drop(rtl, condition, moment)
            # In its last cycle the lookup is answered before the drop.
            hit = "other" not in gone or moment == MOMENTS[-1]
            assert (answers, walks) == (int(hit), int(not hit)), moment
            assert {one for one in PAGES if not await held(rtl, one)} == gone, moment

    simulate(dut, testbench)


@pytest.mark.parametrize("mode", [IA32])
def test_without_pcids_every_local_page_belongs_to_the_one_in_force(mode):
    shape = geometry(mode)
    dut = L2Tlb(shape.config)

    async def testbench(ctx):
        rtl = Rtl(ctx, dut, shape)
        await rtl.cleared()
        await enter(rtl, 0x1000, page(1))
        await enter(rtl, 0x2000, page(2, global_page=1))
        await rtl.drop(drop(by_pcid=1))
        found = [(await rtl.lookup(Access(vaddr), registers(mode, 0)))[1]
                 for vaddr in (0x2000, 0x1000)]
        assert [one is not None for one in found] == [True, False]

    simulate(dut, testbench)
