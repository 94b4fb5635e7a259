# amaranth: UnusedElaboratable=no

"""Each replacement policy against plain Python that thinks of it in another way."""

import re
from itertools import pairwise

import pytest
from numpy.random import default_rng

from pagewalk.hdl.replacement import POLICIES

from .bench import simulate

ANY = (1, 2, 3, 5, 8, 16)
SIZES = [(policy, entries) for policy in POLICIES for entries in ANY
         if policy != "plru" or entries & entries - 1 == 0]


class RefPlru:
    """A binary tree of halves; each node knows which of its two is the one used longer ago."""

    def __init__(self, entries):
        self.halves = [RefPlru(entries // 2) for _ in range(2)] if entries > 1 else []
        self.entries = entries
        self.older = 0

    def touch(self, slot, filled):
        if self.halves:
            used, rest = divmod(slot, self.entries // 2)
            self.older = 1 - used
            self.halves[used].touch(rest, filled)

    def victim(self):
        if not self.halves:
            return 0
        return self.older * (self.entries // 2) + self.halves[self.older].victim()


class RefLru:
    """A list of the entries, longest unused first."""

    def __init__(self, entries):
        self.order = list(range(entries))

    def touch(self, slot, _filled):
        self.order.remove(slot)
        self.order.append(slot)

    def victim(self):
        return self.order[0]


class RefFifo:
    """The entry after the one filled last."""

    def __init__(self, entries):
        self.entries = entries
        self.next = 0

    def touch(self, slot, filled):
        if filled:
            self.next = (slot + 1) % self.entries

    def victim(self):
        return self.next


class RefRandom:
    """A Fibonacci LFSR of 16 bits with taps 16, 14, 13 and 11, as a list of bits."""

    def __init__(self, entries):
        self.entries = entries
        self.bits = [int(bit) for bit in f"{0xACE1:016b}"]

    def touch(self, _slot, filled):
        if filled:
            feedback = sum(self.bits[tap - 1] for tap in (16, 14, 13, 11)) & 1
            self.bits = [feedback, *self.bits[:-1]]

    def victim(self):
        value = sum(bit << (15 - place) for place, bit in enumerate(self.bits))
        return value * self.entries // 0x1_0000


REFERENCES = {"plru": RefPlru, "lru": RefLru, "fifo": RefFifo, "random": RefRandom}


def rtl_victims(policy, entries, touches):
    """Return the victim after each touch; a touch is a slot and whether it is a fill, or None."""
    dut = POLICIES[policy](entries)
    victims = []

    async def testbench(ctx):
        for touch in touches:
            ctx.set(dut.touch, touch is not None)
            slot, filled = touch or (entries - 1, True)  # without a touch they mean nothing
            ctx.set(dut.slot, slot)
            ctx.set(dut.filled, filled)
            await ctx.tick()
            victims.append(ctx.get(dut.victim))

    simulate(dut, testbench)
    return victims


def ref_victims(policy, entries, touches):
    reference = REFERENCES[policy](entries)
    victims = []
    for touch in touches:
        if touch is not None:
            reference.touch(*touch)
        victims.append(reference.victim())
    return victims


def random_touches(rng, entries, count=300):
    touches = []
    for _ in range(count):
        slot, filled = int(rng.integers(entries)), bool(rng.integers(2))
        touches.append((slot, filled) if rng.random() < 0.8 else None)
    return touches


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "entries"), SIZES)
@pytest.mark.parametrize("seed", range(2))
def test_victims_of_random_touches_equal_the_references(policy, entries, seed):
    touches = random_touches(default_rng(seed), entries)
    assert rtl_victims(policy, entries, touches) == ref_victims(policy, entries, touches)


@pytest.mark.parametrize(("policy", "entries"), SIZES)
def test_the_first_victim_is_the_one_of_the_reference(policy, entries):
    assert rtl_victims(policy, entries, [None] * 3) == ref_victims(policy, entries, [None] * 3)


@pytest.mark.parametrize("policy", ["plru", "lru"])
@pytest.mark.parametrize("entries", [2, 4, 16])
def test_the_entry_just_used_is_never_the_victim(policy, entries):
    touches = [touch for touch in random_touches(default_rng(7), entries) if touch]
    victims = rtl_victims(policy, entries, touches)
    assert all(victim != slot for victim, (slot, _) in zip(victims, touches, strict=True))


@pytest.mark.parametrize("policy", ["plru", "lru", "fifo"])
@pytest.mark.parametrize("entries", [2, 4, 8])
def test_filling_the_victim_over_and_over_reaches_every_entry_in_each_round(policy, entries):
    dut = POLICIES[policy](entries)
    victims = []

    async def testbench(ctx):
        ctx.set(dut.touch, 1)
        ctx.set(dut.filled, 1)
        for _ in range(3 * entries):
            victims.append(ctx.get(dut.victim))
            ctx.set(dut.slot, victims[-1])
            await ctx.tick()

    simulate(dut, testbench)
    for start in range(0, len(victims), entries):
        assert sorted(victims[start:start + entries]) == list(range(entries))


@pytest.mark.parametrize("policy", ["fifo", "random"])
def test_hits_leave_the_victim_of_fifo_and_random_alone(policy):
    fill, hits = [(3, True)], [(slot % 8, False) for slot in range(30)]
    victims = rtl_victims(policy, 8, fill + hits)
    assert set(victims) == {victims[0]}


@pytest.mark.slow
@pytest.mark.parametrize("entries", [3, 5, 8])
def test_random_victims_are_spread_evenly(entries):
    """A chi-square test; the sequence is always the same, so it cannot fail by bad luck."""
    count = 4000
    victims = rtl_victims("random", entries, [(0, True)] * count)
    expected = count / entries
    chi_square = sum((victims.count(slot) - expected) ** 2 / expected for slot in range(entries))
    assert chi_square < 3 * entries  # fair draws have less in about 99 of 100 cases
    repeats = sum(one == other for one, other in pairwise(victims))
    assert repeats < 2 * expected  # ... and the next victim is not simply the last one again


@pytest.mark.parametrize("entries", [3, 5, 6, 7, 12, 4095])
def test_tree_plru_needs_a_power_of_two(entries):
    message = f"Entry count must be a power of two for policy 'plru', not {entries}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        POLICIES["plru"](entries)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("entries", [0, -1, -4])
def test_no_policy_works_without_entries(policy, entries):
    message = f"Entry count must be a positive integer, not {entries}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        POLICIES[policy](entries)


@pytest.mark.parametrize(("policy", "entries"), SIZES)
def test_a_policy_tells_its_number_of_entries(policy, entries):
    assert POLICIES[policy](entries).entries == entries
