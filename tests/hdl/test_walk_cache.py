"""The walk cache against plain Python that does the same to lists of entries."""

from itertools import product

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.walk_cache import LevelCache, WalkCache
from pagewalk.hdl.walk_shapes import key_layout, table_layout
from pagewalk.model.x86 import IA32, X86_64

from .bench import plain, simulate
from .tables import bits
from .walk_cache_reference import SIZES, RefLevelCache, RefWalkCache

PCIDS = (0, 1, 0xFFF)
LEVELS = [(mode, level) for mode in (X86_64, IA32) for level in mode.levels[:-1]]
OPEN = {"frame": 5, "writable": 1, "user": 1, "execute_disable": 0}
by_level = pytest.mark.parametrize(
    ("mode", "level"), LEVELS, ids=lambda value: getattr(value, "name", None))
by_size = pytest.mark.parametrize(
    ("mode", "entries"), [*product((X86_64, IA32), (1, 2, 3, 8))],
    ids=lambda value: getattr(value, "name", value))


class Rtl:
    """The verbs of the reference for the hardware, one a cycle; ``noise`` is on idle inputs."""

    def __init__(self, ctx, dut, config, rng):
        self.ctx, self.dut, self.config, self.rng = ctx, dut, config, rng

    def key(self, vpn, pcid):
        self.ctx.set(self.dut.key, {"vpn": vpn, "pcid": pcid})

    async def pulse(self, signal):
        self.ctx.set(signal, 1)
        await self.ctx.tick()
        self.ctx.set(signal, 0)

    async def fill(self, vpn, pcid, table, level=None):
        self.key(vpn, pcid)
        self.ctx.set(self.dut.filled, table)
        if level is not None:
            self.ctx.set(self.dut.fill_level, level)
        await self.pulse(self.dut.fill)
        self.ctx.set(self.dut.filled, random_table(self.rng, self.config))

    async def drop(self, pcid=None, vpn=None, *, key=None):
        """Drop by PCID or all, and by address or all; pages and global ones do not matter.

        Without ``key``, that is what to drop, and random where this is all.
        """
        some_vpn, some_pcid = bits(self.rng, self.config.vpn_bits), bits(self.rng, 12)
        drop_vpn, drop_pcid = some_vpn if vpn is None else vpn, some_pcid if pcid is None else pcid
        self.key(*(key or (drop_vpn, drop_pcid)))
        self.ctx.set(self.dut.drop, {
            "by_pcid": pcid is not None, "pcid": drop_pcid,
            "tables_by_address": vpn is not None, "vpn": drop_vpn,
            "by_address": bits(self.rng, 1), "globals": bits(self.rng, 1)})
        await self.pulse(self.dut.drop.valid)

    def found(self):
        """Return what is found for the key as it stands, or None."""
        return plain(self.ctx.get(self.dut.found)) if self.ctx.get(self.dut.hit) else None

    def find(self, vpn, pcid):
        self.key(vpn, pcid)
        return self.found()


def random_table(rng, config):
    return {"frame": bits(rng, config.root_bits), "writable": bits(rng, 1), "user": bits(rng, 1),
            "execute_disable": bits(rng, 1)}


def page_numbers(mode):
    """Return page numbers that differ at each edge of each level's index."""
    edges = [level.shift - 12 for level in mode.levels[:-1]]
    edges += [level.shift - 12 + level.index_bits - 1 for level in mode.levels[:-1]]
    return [0, *(1 << edge for edge in edges), *(3 << edge for edge in edges[:1]), 1]


def run(dut, config, seed, body):
    """Run ``body(rtl)``; ``seed`` is that of ``rtl.rng``."""
    rng = default_rng(seed)

    async def testbench(ctx):
        await body(Rtl(ctx, dut, config, rng))

    simulate(dut, testbench)


@pytest.mark.slow
@by_level
@pytest.mark.parametrize("entries", [1, 2, 3, 8])
@pytest.mark.parametrize("seed", range(2))
def test_a_level_holds_after_random_operations_what_the_reference_holds(
        mode, level, entries, seed):
    config = Config(mode=mode)
    reference = RefLevelCache(level.shift - 12, entries)
    keys = [*product(page_numbers(mode), PCIDS)]

    async def body(rtl):
        rng = rtl.rng
        for _ in range(150):
            vpn, pcid = keys[int(rng.integers(len(keys)))]
            pick = rng.random()
            if pick < 0.8:
                table = random_table(rng, config)
                reference.fill(vpn, pcid, table)
                await rtl.fill(vpn, pcid, table)
            else:
                dropped = pcid if pick < 0.95 else None, vpn if rng.random() < 0.5 else None
                reference.drop(*dropped)
                await rtl.drop(*dropped)
            for vpn, pcid in keys:
                assert rtl.find(vpn, pcid) == reference.find(vpn, pcid), (vpn, pcid)

    run(LevelCache(config, level.shift, entries), config, seed, body)


@by_level
def test_an_entry_is_found_at_every_address_it_maps_and_no_further(mode, level):
    config, low = Config(mode=mode), level.shift - 12
    first = 5 << low

    async def body(rtl):
        await rtl.fill(first + (1 << low) // 2, 1, OPEN)
        for vpn, expected in ((first, OPEN), (first + (1 << low) - 1, OPEN), (first - 1, None),
                              (first + (1 << low), None)):
            assert rtl.find(vpn, 1) == expected
            assert rtl.find(vpn, 2) is None

    run(LevelCache(config, level.shift, 4), config, 0, body)


@pytest.mark.parametrize("entries", [1, 2, 3, 8])
def test_the_entry_that_was_entered_first_is_replaced_first(entries):
    config, level = Config(), X86_64.levels[2]
    vpns = [number << level.shift - 12 for number in range(2 * entries)]

    async def body(rtl):
        for number, vpn in enumerate(vpns):
            await rtl.fill(vpn, 1, OPEN)
            await rtl.fill(vpns[max(0, number - entries + 1)], 1, OPEN)  # entered: stays in place
            held = [other for other in vpns if rtl.find(other, 1)]
            assert held == vpns[max(0, number + 1 - entries):number + 1]

    run(LevelCache(config, level.shift, entries), config, 0, body)


@pytest.mark.slow
@by_size
@pytest.mark.parametrize("seed", range(2))
def test_the_lowest_level_that_may_be_used_is_found_after_random_operations(mode, entries, seed):
    config = Config(mode=mode, walk_cache=entries)
    reference = RefWalkCache(mode, SIZES[mode.name, entries])
    keys = [*product(page_numbers(mode), PCIDS, (0, 1))]
    levels_found = set()

    def compare(rtl):
        for vpn, pcid, nxe in keys:
            rtl.ctx.set(rtl.dut.nxe, nxe)
            level, table = reference.find(vpn, pcid, nxe)
            assert rtl.find(vpn, pcid) == table, (vpn, pcid, nxe)
            assert not level or rtl.ctx.get(rtl.dut.level) == level
            levels_found.add((level, nxe))

    async def body(rtl):
        rng = rtl.rng
        for _ in range(120):
            vpn, pcid, _ = keys[int(rng.integers(len(keys)))]
            if rng.random() < 0.85:
                level, table = int(rng.integers(len(reference.levels))), random_table(rng, config)
                reference.levels[level].fill(vpn, pcid, table)
                await rtl.fill(vpn, pcid, table, level)
            else:
                dropped = pcid if rng.random() < 0.7 else None, vpn if rng.random() < 0.5 else None
                reference.drop(*dropped)
                # The walker's key goes on as it was.
                other_vpn, other_pcid, _ = keys[int(rng.integers(len(keys)))]
                await rtl.drop(*dropped, key=(other_vpn, other_pcid))
            compare(rtl)

    run(WalkCache(config), config, seed, body)
    assert levels_found == {*product(range(len(mode.levels)), (0, 1))}


@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_of_several_levels_the_lowest_is_used(mode):
    config = Config(mode=mode)

    async def body(rtl):
        for level in range(len(mode.levels) - 1):
            await rtl.fill(0, 1, OPEN | {"frame": level}, level)
            assert (rtl.find(0, 1)["frame"], rtl.ctx.get(rtl.dut.level)) == (level, level + 1)

    run(WalkCache(config), config, 0, body)


def test_without_nxe_the_lowest_entry_without_xd_is_used():
    config = Config()

    async def body(rtl):
        for level, execute_disable in enumerate((0, 0, 1)):
            await rtl.fill(0, 1, OPEN | {"frame": level, "execute_disable": execute_disable}, level)
        for nxe, level in ((1, 3), (0, 2), (1, 3)):
            rtl.ctx.set(rtl.dut.nxe, nxe)
            assert (rtl.find(0, 1)["frame"], rtl.ctx.get(rtl.dut.level)) == (level - 1, level)

    run(WalkCache(config), config, 0, body)


@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_a_walk_cache_of_no_entries_finds_nothing(mode):
    config = Config(mode=mode, walk_cache=0)

    async def body(rtl):
        rtl.ctx.set(rtl.dut.nxe, 1)
        await rtl.fill(0, 0, OPEN, 0)
        assert rtl.find(0, 0) is None

    run(WalkCache(config), config, 0, body)


@pytest.mark.parametrize(("mode", "paddr_bits", "table"), [
    (X86_64, 52, 40), (X86_64, 40, 28), (IA32, 40, 20)], ids=lambda value: getattr(
        value, "name", value))
def test_an_entry_holds_any_table_and_three_rights(mode, paddr_bits, table):
    config = Config(mode=mode, paddr_bits=paddr_bits)
    assert table_layout(config).size == table + 3
    assert key_layout(config).size == config.vpn_bits + 12
