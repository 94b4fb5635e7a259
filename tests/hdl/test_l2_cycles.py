"""Cycles of the second-level TLB where operations meet, and how long drops take."""

from itertools import product

import pytest

from pagewalk.hdl.l2_tlb import L2Tlb
from pagewalk.model.mmu.walk import Access
from pagewalk.model.x86 import IA32, PAGE_SHIFT, X86_64, AccessKind

from .bench import plain, simulate
from .golden import access_fields, control_fields
from .l2_bench import Rtl, geometry, run
from .l2_world import registers

by_mode = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
OPEN = {"writable": 1, "user": 1, "execute_disable": 0, "key": 0}


def page(frame, size=0, **fields):
    return {"frame": frame, "page": size, "rights": OPEN, "memory_type": 0, "dirty": 1,
            "global_page": 0, **fields}


async def enter(rtl, vaddr, translation, pcid=0):
    """Have a page entered by a walk; there must be none for its address."""
    request, response, _ = await rtl.lookup(Access(vaddr), registers(rtl.config.mode, pcid))
    assert response is None
    await rtl.respond(request, translation=translation)


async def found(rtl, vaddr, pcid=0, kind=AccessKind.READ):
    """Return the frame that an access is answered with, or None if it is walked, to be found."""
    request, response, _ = await rtl.lookup(
        Access(vaddr, kind), registers(rtl.config.mode, pcid))
    if response is None:
        await rtl.respond(request, fault=1, vector=14)
        return None
    return response["translation"]["frame"]


def drop(**fields):
    return {"by_address": 0, "by_pcid": 0, "globals": 0, "vpn": 0, "pcid": 0, **fields}


@by_mode
def test_a_lookup_takes_a_cycle_more_for_each_smaller_size_that_was_entered(mode):
    addresses = [0, *(5 << level.shift for level in mode.pages[1:])]

    async def body(rtl):
        control = registers(mode, 0)
        assert (await rtl.lookup(Access(addresses[0]), control))[1:] == (None, 4)
        for size, vaddr in enumerate(addresses):
            request, response, cycles = await rtl.lookup(Access(vaddr), control)
            assert (response, cycles) == (None, 4 + max(size - 1, 0))
            await rtl.respond(request, translation=page(7, size))
            for vaddr_before, expected in zip(addresses[:size + 1], range(4, 7), strict=False):
                _, response, cycles = await rtl.lookup(Access(vaddr_before), control)
                assert (response["translation"]["frame"], cycles) == (7, expected)
        _, response, cycles = await rtl.lookup(Access(1 << 12), control)
        assert (response, cycles) == (None, 3 + len(addresses))
        await rtl.drop(drop(globals=1))
        assert (await rtl.lookup(Access(addresses[-1]), control))[1:] == (None, 4)

    run(geometry(mode), body)


@pytest.mark.slow
@pytest.mark.parametrize(("condition", "cycles"), [
    (drop(by_address=1, by_pcid=1, globals=1), 5), (drop(by_address=1, by_pcid=1), 5),
    (drop(by_pcid=1), 3), (drop(globals=1), 256), (drop(), 514), (drop(by_pcid=1, globals=1), 514),
])
def test_drops_of_1024_entries_take_cycles_by_what_they_name(condition, cycles):
    async def body(rtl):
        for size in range(3):
            await enter(rtl, 9 << 30 + size, page(7, size))
        assert await rtl.drop(condition) == cycles

    run(geometry(X86_64, sets=256, ways=4), body)


def test_each_sixteenth_drop_of_a_pcid_takes_a_sweep_and_the_others_three_cycles():
    async def body(rtl):
        for number in range(40):
            await enter(rtl, 0, page(number + 1), pcid=5)
            assert await found(rtl, 0, pcid=5) == number + 1
            assert await rtl.drop(drop(by_pcid=1, pcid=5)) == (13 if number % 16 == 15 else 3)
            assert await found(rtl, 0, pcid=5) is None
            if number % 16 == 7:  # each PCID counts for itself
                assert await rtl.drop(drop(by_pcid=1, pcid=6)) == 3

    run(geometry(X86_64), body)


def test_a_global_page_replaces_those_of_all_pcids():
    async def body(rtl):
        for pcid in (1, 2, 3):
            await enter(rtl, 0x4000, page(pcid), pcid=pcid)
        assert [await found(rtl, 0x4000, pcid=pcid) for pcid in (1, 2, 3)] == [1, 2, 3]
        request, response, _ = await rtl.lookup(Access(0x4000), registers(X86_64, 4))
        assert response is None
        await rtl.respond(request, translation=page(9, global_page=1))
        assert [await found(rtl, 0x4000, pcid=pcid) for pcid in (1, 2, 3, 4)] == [9] * 4

    run(geometry(X86_64, ways=4), body)


class Steps:
    """The hardware with its ports set by hand."""

    def __init__(self, ctx, dut, config):
        self.ctx, self.dut, self.config = ctx, dut, config

    def ask(self, vaddr, port=0, miss=0):
        self.ctx.set(self.dut.walk.req.payload, {
            "port": port, "miss": miss, "access": access_fields(Access(vaddr)),
            "control": control_fields(self.config, registers(self.config.mode, 0))})
        self.ctx.set(self.dut.vpn, vaddr >> PAGE_SHIFT & (1 << len(self.dut.vpn)) - 1)
        self.ctx.set(self.dut.walk.req.valid, 1)

    async def ticks(self, count):
        for _ in range(count):
            await self.ctx.tick()
            self.ctx.set(self.dut.walk.req.valid, 0)
            self.ctx.set(self.dut.drop.valid, 0)

    def answer(self):
        """Return port and frame of the answer in this cycle, or None."""
        rsp = self.dut.walk.rsp
        if not self.ctx.get(rsp.valid):
            return None
        payload = plain(self.ctx.get(rsp.payload))
        return payload["port"], payload["translation"]["frame"]


def steps(body, *entered):
    """Run ``body(steps)`` with pages entered."""
    shape = geometry(X86_64)
    dut = L2Tlb(shape.config)

    async def testbench(ctx):
        rtl = Rtl(ctx, dut, shape)
        await rtl.cleared()
        for vaddr, translation in entered:
            await enter(rtl, vaddr, translation)
        await body(Steps(ctx, dut, shape.config))

    simulate(dut, testbench)


@pytest.mark.parametrize("late", [1, 2, 3])
def test_a_hit_waits_for_the_responses_of_walks_to_go_by(late):
    async def body(hand):
        hand.ask(0x1000, port=1)
        await hand.ticks(4)
        hand.ctx.set(hand.dut.walkers.rsp.payload, {"port": 2, "translation": page(8), "fault": 1})
        for _ in range(late):
            hand.ctx.set(hand.dut.walkers.rsp.valid, 1)
            assert hand.answer() == (2, 8)
            assert not hand.ctx.get(hand.dut.events.lookup)
            await hand.ticks(1)
        hand.ctx.set(hand.dut.walkers.rsp.valid, 0)
        assert hand.answer() == (1, 7)
        assert hand.ctx.get(hand.dut.events.lookup)
        await hand.ticks(1)
        assert hand.answer() is None

    steps(body, (0x1000, page(7)), (1 << 21, page(6, 1)))


@pytest.mark.parametrize(("when", "dropped"), [*product(range(5), (False, True))])
def test_a_lookup_begins_again_after_a_drop(when, dropped):
    """The drop takes 3 cycles; in the cycle of the answer it comes too late for it."""
    async def body(hand):
        hand.ask(0x1000)
        await hand.ticks(when)
        hand.ctx.set(hand.dut.drop, drop(valid=1, by_address=1, by_pcid=1, vpn=1 + (not dropped)))
        if when == 4:
            assert hand.answer() == (0, 7)
            return
        await hand.ticks(4)
        hand.ctx.set(hand.dut.drop.valid, 0)
        for _ in range(4):
            assert hand.answer() is None
            assert not hand.ctx.get(hand.dut.walkers.req.valid)
            await hand.ticks(1)
        assert hand.answer() == (None if dropped else (0, 7))
        assert hand.ctx.get(hand.dut.walkers.req.valid) == dropped

    steps(body, (0x1000, page(7)))


def test_lookups_go_on_while_misses_wait_for_walkers_in_their_order():
    async def body(hand):
        hand.ctx.set(hand.dut.walkers.req.ready, 0)
        missed = [(2, 0), (0, 1), (1, 1), (0, 0)]
        for number, (port, miss) in enumerate(missed):
            hand.ask(0x10_0000 + 0x1000 * number, port, miss)
            await hand.ticks(5)
        hand.ask(0x1000, port=1)
        await hand.ticks(4)
        assert hand.answer() == (1, 7)
        hand.ctx.set(hand.dut.walkers.req.ready, 1)
        for number, (port, miss) in enumerate(missed):
            assert hand.ctx.get(hand.dut.walkers.req.valid)
            request = plain(hand.ctx.get(hand.dut.walkers.req.payload))
            assert (request["port"], request["miss"]) == (port, miss)
            assert request["access"]["vaddr"] == 0x10_0000 + 0x1000 * number
            await hand.ticks(1)
        assert not hand.ctx.get(hand.dut.walkers.req.valid)

    steps(body, (0x1000, page(7)))


def test_walks_that_are_answered_at_once_are_all_entered():
    async def body(hand):
        ids = [*product(range(3), range(2))]
        for number, (port, miss) in enumerate(ids):
            hand.ask(0x10_0000 + 0x1000 * number, port, miss)
            await hand.ticks(6)
        for number, (port, miss) in enumerate(ids):
            hand.ctx.set(hand.dut.walkers.rsp.valid, 1)
            hand.ctx.set(hand.dut.walkers.rsp.payload, {
                "port": port, "miss": miss, "translation": page(20 + number)})
            await hand.ticks(1)
        hand.ctx.set(hand.dut.walkers.rsp.valid, 0)
        await hand.ticks(6 * len(ids) + 1)
        for number, (port, miss) in enumerate(ids):
            hand.ask(0x10_0000 + 0x1000 * number, port, miss)
            await hand.ticks(4)
            assert hand.answer() == (port, 20 + number)
            await hand.ticks(1)

    steps(body)
