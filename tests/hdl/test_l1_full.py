"""The TLB against plain Python that does the same to a list of entries."""

from dataclasses import dataclass
from itertools import product

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.l1_full import FullL1
from pagewalk.model.x86 import IA32, X86_64

from .bench import plain, simulate
from .tables import bits

SHIFTS = {X86_64: (0, 9, 18), IA32: (0, 10)}  # log2 of the 4-Kbyte pages in a page of each size
PCIDS = (1, 2, 0xFFF)
# Page numbers that differ in each part that a page size leaves over, and in the highest bit.
VPNS = {
    X86_64: [a | b << 9 | c << 18 | d << 35 for a, b, c, d in product((0, 1), repeat=4)],
    IA32: [a | b << 10 | c << 19 for a, b, c in product((0, 3), (0, 1), (0, 1))],
}
EMPTY = {"frame": 0, "page": 0, "memory_type": 0, "dirty": 1, "global_page": 0,
         "rights": {"writable": 0, "user": 0, "execute_disable": 0, "key": 0}}


@dataclass
class RefEntry:
    vpn: int
    pcid: int
    translation: dict


class RefTlb:
    """What a TLB with FIFO replacement holds."""

    def __init__(self, mode, entries):
        self.shifts = SHIFTS[mode]
        self.slots = [None] * entries
        self.victim = 0

    def overlaps(self, entry, vpn, page):
        shift = self.shifts[max(entry.translation["page"], page)]
        return entry.vpn >> shift == vpn >> shift

    def find(self, vpn, pcid):
        """Return the only entry for an address, and its slot, or None."""
        found = [(slot, entry) for slot, entry in enumerate(self.slots)
                 if entry and self.overlaps(entry, vpn, 0)
                 and (entry.translation["global_page"] or entry.pcid == pcid)]
        assert len(found) <= 1
        return found[0] if found else None

    def fill(self, vpn, pcid, translation, reuse=None):
        slot = reuse
        if slot is None:
            slot = self.slots.index(None) if None in self.slots else self.victim
        for other, entry in enumerate(self.slots):
            if entry and self.overlaps(entry, vpn, translation["page"]) and (
                    entry.pcid == pcid or entry.translation["global_page"]
                    or translation["global_page"]):
                self.slots[other] = None
        self.slots[slot] = RefEntry(vpn, pcid, translation)
        self.victim = (slot + 1) % len(self.slots)

    def drop(self, condition):
        """Drop the entries that meet the condition, a dict of the fields of a drop."""
        for slot, entry in enumerate(self.slots):
            if entry is None or (
                    condition["by_address"] and not self.overlaps(entry, condition["vpn"], 0)):
                continue
            if entry.translation["global_page"]:
                dropped = condition["globals"]
            else:
                dropped = not condition["by_pcid"] or entry.pcid == condition["pcid"]
            if dropped:
                self.slots[slot] = None


class RtlTlb:
    """The same verbs for the hardware, one per cycle."""

    def __init__(self, ctx, dut):
        self.ctx = ctx
        self.dut = dut

    def key(self, vpn, pcid, page=0):
        for key in (self.dut.offered, self.dut.inner):
            self.ctx.set(key, {"vpn": vpn, "pcid": pcid, "page": page})

    async def pulse(self, *signals):
        for signal in signals:
            self.ctx.set(signal, 1)
        await self.ctx.tick()
        for signal in signals:
            self.ctx.set(signal, 0)

    async def fill(self, vpn, pcid, translation, reuse=None):
        self.key(vpn, pcid, translation["page"])
        self.ctx.set(self.dut.fill_translation, translation)
        self.ctx.set(self.dut.at_hand, {"match": 0 if reuse is None else 1 << reuse})
        await self.pulse(self.dut.fill)
        await self.ctx.tick()  # for the choice of the next entry to replace

    async def touch(self, slot):
        self.ctx.set(self.dut.at_hand, {"match": 1 << slot})
        await self.pulse(self.dut.touch)
        await self.ctx.tick()

    async def drop(self, **condition):
        self.key(condition["vpn"], condition["pcid"])
        self.ctx.set(self.dut.drop, condition)
        await self.pulse(self.dut.drop.valid)
        await self.ctx.tick()

    def find(self, vpn, pcid, write=0):
        """Return hit, present, slot, and the translation there."""
        ctx, dut = self.ctx, self.dut
        self.key(vpn, pcid)
        ctx.set(dut.needs, {"write": write, "nxe": 1})
        ctx.set(dut.at_hand, ctx.get(dut.found))
        hit, present, slot = ctx.get(dut.hit), ctx.get(dut.present), ctx.get(dut.slot)
        return hit, present, slot, plain(ctx.get(dut.translation)) if present else None

    def assert_equals(self, reference, keys):
        """Compare what both find at each of ``keys``, pairs of page number and PCID."""
        for number, (vpn, pcid) in enumerate(keys):
            write = number & 1
            found = reference.find(vpn, pcid)
            hit, present, slot, translation = self.find(vpn, pcid, write)
            where = f"page number {vpn:#x} of PCID {pcid:#x}"
            assert present == (found is not None), where
            if found:
                expected_slot, entry = found
                assert (slot, translation) == (expected_slot, entry.translation), where
                assert hit == (entry.translation["dirty"] or not write), where
            else:
                assert not hit, where


def random_translation(rng, config):
    return {
        "frame": bits(rng, config.pfn_bits), "page": int(rng.integers(len(config.mode.pages))),
        "rights": {"writable": bits(rng, 1), "user": bits(rng, 1),
                   "execute_disable": bits(rng, 1), "key": bits(rng, 4)},
        "memory_type": bits(rng, 3), "dirty": bits(rng, 1),
        "global_page": int(rng.random() < 0.25),
    }


def run(config, body):
    """Run ``body(rtl)`` on an empty TLB."""
    dut = FullL1(config)

    async def testbench(ctx):
        await body(RtlTlb(ctx, dut))

    simulate(dut, testbench)


async def random_operation(rng, config, rtl, reference):
    """Do one random operation to both."""
    vpn, pcid = int(rng.choice(VPNS[config.mode])), int(rng.choice(PCIDS))
    slot = int(rng.integers(config.entries))
    choice = rng.random()
    if choice < 0.6:
        found = reference.find(vpn, pcid)
        reuse = rng.choice([found[0] if found else slot, None], p=[0.4, 0.6])
        translation = random_translation(rng, config)
        reference.fill(vpn, pcid, translation, reuse)
        await rtl.fill(vpn, pcid, translation, reuse)
    elif choice < 0.85:
        condition = {name: bits(rng, 1) for name in ("by_address", "by_pcid", "globals")}
        condition |= {"vpn": vpn, "pcid": pcid}
        reference.drop(condition)
        await rtl.drop(**condition)
    else:
        await rtl.touch(slot)  # FIFO replacement does not mind


@pytest.mark.slow
@pytest.mark.parametrize("entries", [1, 2, 5, 8])
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
@pytest.mark.parametrize("seed", range(2))
def test_random_operations_leave_what_the_reference_holds(mode, entries, seed):
    config = Config(mode=mode, entries=entries, policy="fifo")
    rng = default_rng(seed)
    keys = [*product(VPNS[mode], PCIDS)]
    reference = RefTlb(mode, entries)

    async def body(rtl):
        for count in range(200):
            await random_operation(rng, config, rtl, reference)
            look = range(len(keys)) if count % 20 == 0 else rng.integers(len(keys), size=6)
            rtl.assert_equals(reference, [keys[number] for number in look])

    run(config, body)


@pytest.mark.slow
@pytest.mark.parametrize(("by_address", "by_pcid", "with_global"), [*product((0, 1), repeat=3)])
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_each_combination_of_conditions_drops_the_entries_that_meet_them(
        mode, by_address, by_pcid, with_global):
    config = Config(mode=mode, entries=9, policy="fifo")
    shift = SHIFTS[mode][1]
    filled = [(vpn, pcid, {"page": page, "global_page": global_page})
              for vpn, page, pcid, global_page in (
                  (0x0, 0, 1, 0), (0x0, 0, 2, 0), (0x5, 0, 1, 0), (0x5, 0, 2, 0), (0x6, 0, 1, 1),
                  (0x7, 0, 2, 1), (3 << shift, 1, 1, 0), (3 << shift, 1, 2, 0),
                  (4 << shift, 1, 2, 1))]
    addresses = [0x0, 0x5, 0x6, 0x7, 3 << shift, (3 << shift) + 9, (4 << shift) + 9]
    reference = RefTlb(mode, config.entries)

    async def body(rtl):
        for vpn in addresses:
            reference.slots = [None] * config.entries
            await rtl.drop(by_address=0, by_pcid=0, globals=1, vpn=0, pcid=0)
            for page_number, pcid, changes in filled:
                await rtl.fill(page_number, pcid, EMPTY | changes)
                reference.fill(page_number, pcid, EMPTY | changes)
            condition = {"by_address": by_address, "by_pcid": by_pcid, "globals": with_global,
                         "vpn": vpn, "pcid": 1}
            await rtl.drop(**condition)
            reference.drop(condition)
            rtl.assert_equals(reference, product(addresses, PCIDS))

    run(config, body)


@pytest.mark.parametrize("large", [1, 2])
def test_a_page_replaces_the_pages_of_other_sizes_that_it_overlaps(large):
    first = 5 << SHIFTS[X86_64][large]

    async def body(rtl):
        await rtl.fill(first + 5, 1, EMPTY)
        await rtl.fill(first, 1, EMPTY | {"page": large})
        assert rtl.find(first + 5, 1)[3]["page"] == large
        await rtl.fill(first + 5, 1, EMPTY)
        assert rtl.find(first + 5, 1)[3]["page"] == 0
        assert not rtl.find(first, 1)[1]

    run(Config(entries=4), body)


def test_a_large_page_is_found_at_each_of_its_addresses_and_no_further():
    async def body(rtl):
        for page, shift in enumerate(SHIFTS[X86_64]):
            first = 5 << 30 | page << 27
            await rtl.fill(first | (1 << shift) // 2, 1, EMPTY | {"page": page})
            assert rtl.find(first, 1)[1]
            assert rtl.find(first + (1 << shift) - 1, 1)[1]
            assert not rtl.find(first - 1, 1)[1]
            assert not rtl.find(first + (1 << shift), 1)[1]

    run(Config(entries=4), body)


def test_a_global_page_is_found_under_every_pcid_and_replaces_the_pages_of_all():
    async def body(rtl):
        for pcid in (1, 2, 3):
            await rtl.fill(7, pcid, EMPTY | {"frame": pcid})
        assert [rtl.find(7, pcid)[3]["frame"] for pcid in (1, 2, 3)] == [1, 2, 3]
        await rtl.fill(7, 2, EMPTY | {"frame": 9, "global_page": 1})
        assert [rtl.find(7, pcid)[3]["frame"] for pcid in (1, 2, 3, 4)] == [9] * 4
        await rtl.fill(7, 3, EMPTY | {"frame": 3})
        assert [rtl.find(7, pcid)[1] for pcid in (1, 2, 3, 4)] == [0, 0, 1, 0]

    run(Config(entries=4), body)


def test_a_write_to_a_clean_page_is_no_hit_though_the_page_is_present():
    async def body(rtl):
        await rtl.fill(7, 1, EMPTY | {"dirty": 0})
        assert rtl.find(7, 1, write=0)[:2] == (1, 1)
        assert rtl.find(7, 1, write=1)[:2] == (0, 1)
        await rtl.fill(7, 1, EMPTY, reuse=rtl.find(7, 1)[2])
        assert rtl.find(7, 1, write=1)[:2] == (1, 1)

    run(Config(entries=4), body)


@pytest.mark.parametrize("policy", ["plru", "lru", "fifo", "random"])
def test_a_fill_takes_the_first_invalid_entry_before_any_valid_one(policy):
    async def body(rtl):
        slots = []
        for vpn in range(8):
            await rtl.fill(vpn, 1, EMPTY)
            slots.append(rtl.find(vpn, 1)[2])
        assert slots == list(range(8))
        for vpn in (6, 2, 5):
            await rtl.drop(by_address=1, by_pcid=1, globals=0, vpn=vpn, pcid=1)
        for vpn, slot in ((12, 2), (15, 5), (16, 6)):
            await rtl.fill(vpn, 1, EMPTY)
            assert rtl.find(vpn, 1)[2] == slot
        assert all(rtl.find(vpn, 1)[1] for vpn in (0, 1, 3, 4, 7))

    run(Config(entries=8, policy=policy), body)


@pytest.mark.parametrize("order", [(2, 0, 3, 1), (3, 2, 1, 0), (0, 1, 2, 3)])
def test_pages_are_replaced_in_the_order_of_their_last_touch(order):
    async def body(rtl):
        for vpn in range(4):
            await rtl.fill(vpn, 1, EMPTY)
        for vpn in order:
            await rtl.touch(rtl.find(vpn, 1)[2])
        await rtl.ctx.tick()  # the last one is noted in the cycle after it
        for count in range(1, 4):
            await rtl.fill(100 + count, 1, EMPTY)
            assert [vpn for vpn in order if not rtl.find(vpn, 1)[1]] == list(order[:count])

    run(Config(entries=4, policy="lru"), body)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_entry_that_matches_says_what_it_denies_and_whether_it_can_be_used(seed):
    """Beside one of the same page that matches not, as it is of another PCID."""
    rng = default_rng(seed)

    async def body(rtl):
        ctx, dut = rtl.ctx, rtl.dut
        config = Config()
        for _ in range(150):
            translation, other = (random_translation(rng, config) for _ in range(2))
            await rtl.drop(by_address=0, by_pcid=0, globals=1, vpn=0, pcid=0)
            await rtl.fill(7, 1, other | {"global_page": 0})
            await rtl.fill(7, 2, translation | {"global_page": 0})
            needs = {name: bits(rng, 1) for name in (
                "write", "fetch", "user", "writable", "not_user", "nxe")} | {"keys": bits(rng, 16)}
            rtl.key(7, 2)
            ctx.set(dut.needs, needs)
            ctx.set(dut.at_hand, ctx.get(dut.found))
            rights = translation["rights"]
            key_denied = rights["user"] and needs["keys"] >> rights["key"] & 1
            reasons = (
                needs["user"] > rights["user"], needs["writable"] > rights["writable"],
                needs["fetch"] and rights["execute_disable"],
                needs["not_user"] and rights["user"], key_denied)
            assert ctx.get(dut.denied) == any(reasons), (needs, translation)
            assert ctx.get(dut.key_denied) == key_denied, (needs, translation)
            assert ctx.get(dut.hit) == (
                translation["dirty"] >= needs["write"]
                and rights["execute_disable"] <= needs["nxe"]), (needs, translation)

    run(Config(entries=4), body)
