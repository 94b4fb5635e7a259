"""The TLB of sets against plain Python that does the same to lists of entries."""

from itertools import product

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.l1_sets import SetL1
from pagewalk.model.x86 import IA32, X86_64

from .bench import plain, simulate
from .tables import bits

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
PCIDS = (1, 2, 0xFFF)
SHIFTS = {X86_64: (0, 9, 18), IA32: (0, 10)}
# Of each set a few page numbers, which differ in low bits, in the next ones, and in high ones.
VPNS = [low | middle << 2 | high << 18
        for low, middle, high in product(range(4), (0, 1, 2), (0, 1))]


class RefSets:
    """What the TLB holds; sets have FIFO replacement, large pages are in a list of their own."""

    def __init__(self, config):
        self.config, self.shifts = config, SHIFTS[config.mode]
        self.sets = [[None] * config.ways for _ in range(config.sets)]
        self.turns = [0] * config.sets
        self.large = [None] * config.large_entries
        self.turn = 0

    def index(self, vpn):
        count = self.config.sets
        return vpn % count ^ (vpn // count % count if self.config.index == "folded" else 0)

    def overlaps(self, entry, vpn, page=0):
        shift = self.shifts[max(entry["translation"]["page"], page)]
        return entry["vpn"] >> shift == vpn >> shift

    def matches(self, entry, vpn, pcid):
        return entry and self.overlaps(entry, vpn) and (
            entry["translation"]["global_page"] or entry["pcid"] == pcid)

    def find(self, vpn, pcid):
        """Return the translation of a page number and PCID, or None."""
        for places in (self.sets[self.index(vpn)], self.large):
            found = [entry for entry in places if self.matches(entry, vpn, pcid)]
            assert len(found) <= 1
            if found:
                return found[0]["translation"]
        return None

    def fill(self, vpn, pcid, translation):
        number, new = self.index(vpn), {"vpn": vpn, "pcid": pcid, "translation": translation}
        places = self.sets[number]
        at_hand = [way for way, entry in enumerate(places) if self.matches(entry, vpn, pcid)]
        if translation["global_page"]:
            replaced = [way for way, entry in enumerate(places) if entry and entry["vpn"] == vpn]
        else:
            replaced = at_hand
        if translation["page"]:
            self._fill_large(new)
        vacant = [way for way, entry in enumerate(places) if entry is None]
        for way in replaced:
            places[way] = None
        if not translation["page"]:
            way = (at_hand or vacant or [self.turns[number]])[0]
            places[way] = new
            self.turns[number] = (way + 1) % len(places)

    def _fill_large(self, new):
        vpn, pcid, translation = new["vpn"], new["pcid"], new["translation"]
        slot = next((slot for slot, entry in enumerate(self.large)
                     if self.matches(entry, vpn, pcid)), None)
        if slot is None:
            slot = self.large.index(None) if None in self.large else self.turn
        for other, entry in enumerate(self.large):
            if entry and self.overlaps(entry, vpn, translation["page"]) and (
                    entry["pcid"] == pcid or entry["translation"]["global_page"]
                    or translation["global_page"]):
                self.large[other] = None
        self.large[slot] = new
        self.turn = (slot + 1) % len(self.large)

    def drop(self, condition):
        for places in (*self.sets, self.large):
            for place, entry in enumerate(places):
                if entry is None or (
                        condition["by_address"] and not self.overlaps(entry, condition["vpn"])):
                    continue
                if entry["translation"]["global_page"]:
                    dropped = condition["globals"]
                else:
                    dropped = not condition["by_pcid"] or entry["pcid"] == condition["pcid"]
                if dropped:
                    places[place] = None


class RtlSets:
    """The same verbs for the hardware."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def idle(self):
        """Wait until no set is gone through, and return after how many cycles."""
        cycles = 0
        while self.ctx.get(self.dut.busy):
            await self.ctx.tick()
            cycles += 1
        return cycles

    async def pulse(self, signal):
        self.ctx.set(signal, 1)
        await self.ctx.tick()
        self.ctx.set(signal, 0)
        await self.ctx.tick()

    def find(self, vpn, pcid):
        """Return whether a page is present, and its translation."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.offered, {"vpn": vpn, "pcid": pcid, "page": 0})
        ctx.set(dut.inside, 0)
        ctx.set(dut.changing, 0)
        ctx.set(dut.at_hand, ctx.get(dut.found))
        return plain(ctx.get(dut.translation)) if ctx.get(dut.present) else None

    async def fill(self, vpn, pcid, translation):
        self.find(vpn, pcid)
        await self.ctx.tick()  # for the choice of the entry to replace
        self.ctx.set(
            self.dut.inner, {"vpn": vpn, "pcid": pcid, "page": translation["page"]})
        self.ctx.set(self.dut.inside, 1)
        self.ctx.set(self.dut.fill_translation, translation)
        self.ctx.set(self.dut.fill_large, translation["page"] != 0)
        await self.pulse(self.dut.fill)

    async def drop(self, condition):
        self.ctx.set(
            self.dut.inner, {"vpn": condition["vpn"], "pcid": condition["pcid"], "page": 0})
        self.ctx.set(self.dut.upcoming, condition["vpn"])
        await self.ctx.tick()
        self.ctx.set(self.dut.upcoming, 0)
        self.ctx.set(self.dut.inside, 1)
        self.ctx.set(self.dut.changing, 1)
        self.ctx.set(self.dut.drop, condition)
        self.ctx.set(self.dut.drop.valid, 1)
        await self.ctx.tick()
        self.ctx.set(self.dut.drop.valid, 0)
        self.ctx.set(self.dut.inner, {})  # the TLB has to remember
        cycles = await self.idle()
        await self.ctx.tick()  # for the choice of the next large page to replace
        return cycles


def run(config, body):
    """Run ``body(rtl)`` on an empty TLB."""
    dut = SetL1(config)

    async def testbench(ctx):
        ctx.set(dut.needs, {"nxe": 1})
        ctx.set(dut.changing, 1)
        rtl = RtlSets(ctx, dut)
        assert await rtl.idle() == config.sets + 1  # after a reset
        await body(rtl)

    simulate(dut, testbench)


def random_translation(rng, config):
    return {
        "frame": bits(rng, config.pfn_bits),
        "page": int(rng.random() < 0.2) * int(rng.integers(1, len(config.mode.pages))),
        "rights": {"writable": bits(rng, 1), "user": bits(rng, 1),
                   "execute_disable": bits(rng, 1), "key": bits(rng, 4)},
        "memory_type": bits(rng, 3), "dirty": bits(rng, 1),
        "global_page": int(rng.random() < 0.25),
    }


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("geometry", [
    {"entries": 8, "ways": 2, "index": "plain"}, {"entries": 8, "ways": 2, "index": "folded"},
    {"entries": 16, "ways": 4, "large_entries": 2}, {"entries": 6, "ways": 3},
    {"entries": 4, "ways": 1, "large_entries": 1}], ids=str)
def test_random_operations_leave_what_the_reference_holds(mode, geometry):
    config = Config(mode=mode, policy="fifo", **geometry)
    rng, reference = default_rng(11), RefSets(config)

    async def body(rtl):
        sweeps = 0
        for count in range(250):
            vpn, pcid = int(rng.choice(VPNS)), int(rng.choice(PCIDS))
            if rng.random() < 0.85:
                translation = random_translation(rng, config)
                reference.fill(vpn, pcid, translation)
                await rtl.fill(vpn, pcid, translation)
            else:
                condition = {name: bits(rng, 1) for name in ("by_address", "by_pcid", "globals")}
                condition |= {"vpn": vpn, "pcid": pcid}
                reference.drop(condition)
                cycles = await rtl.drop(condition)
                assert cycles == (1 if condition["by_address"] else config.sets + 1)
                sweeps += cycles > 1
            for key in product(VPNS, PCIDS):
                if count % 10 == 0 or rng.random() < 0.1:
                    assert rtl.find(*key) == reference.find(*key), (count, key)
        assert sweeps

    run(config, body)


@pytest.mark.parametrize("index", ["plain", "folded"])
def test_pages_that_lie_as_many_pages_apart_as_there_are_sets_share_one_only_if_plain(index):
    config = Config(entries=16, ways=2, index=index)
    page = {"frame": 5, "page": 0, "memory_type": 0, "dirty": 1, "global_page": 0,
            "rights": {"writable": 0, "user": 0, "execute_disable": 0, "key": 0}}

    async def body(rtl):
        for number in range(8):
            await rtl.fill(8 * number, 1, page)
        kept = [number for number in range(8) if rtl.find(8 * number, 1)]
        assert len(kept) == (2 if index == "plain" else 8)

    run(config, body)


@pytest.mark.parametrize("policy", ["plru", "lru", "fifo", "random"])
def test_a_touch_spares_the_page_where_the_policy_minds(policy):
    page = {"frame": 5, "page": 0, "memory_type": 0, "dirty": 1, "global_page": 0,
            "rights": {"writable": 0, "user": 0, "execute_disable": 0, "key": 0}}

    async def body(rtl):
        for vpn in (0, 4):
            await rtl.fill(vpn, 1, page)
        assert rtl.find(0, 1)
        await rtl.pulse(rtl.dut.touch)
        await rtl.fill(8, 1, page)
        gone = [vpn for vpn in (0, 4, 8) if not rtl.find(vpn, 1)]
        assert gone == [4] if policy in ("plru", "lru") else len(gone) == 1
        assert policy != "fifo" or gone == [0]

    run(Config(entries=8, ways=2, policy=policy, index="plain"), body)


def test_a_small_page_counts_where_a_large_one_holds_its_address_too():
    small = {"frame": 5, "page": 0, "memory_type": 0, "dirty": 1, "global_page": 0,
             "rights": {"writable": 0, "user": 0, "execute_disable": 0, "key": 0}}

    async def body(rtl):
        await rtl.fill(9, 1, small | {"page": 1, "frame": 512})
        await rtl.fill(3, 1, small)
        assert [rtl.find(vpn, 1)["frame"] for vpn in (2, 3)] == [512, 5]
        await rtl.fill(3, 1, small | {"page": 1, "frame": 1024})  # and the large one drives it out
        assert [rtl.find(vpn, 1)["frame"] for vpn in (2, 3)] == [1024, 1024]

    run(Config(entries=8, ways=2), body)
