"""One level of the pool's walk cache against a list of tables."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.table_cache import TableCache
from pagewalk.model.x86 import X86_64

from .bench import simulate

SHIFT = 21
PLACES = 9  # bits of the page number below an entry of this level


def table(number):
    return {"frame": number, "writable": 1, "user": 0, "execute_disable": 0}


class CacheBench:
    """The verbs of the cache, each of which takes the cycles that its contract asks for."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def find(self, vpn, pcid):
        """Return the frame number of the table for a key, or None."""
        self.ctx.set(self.dut.key, {"vpn": vpn, "pcid": pcid})
        self.ctx.set(self.dut.keep, 1)
        await self.ctx.tick()
        self.ctx.set(self.dut.keep, 0)
        return self.ctx.get(self.dut.found.frame) if self.ctx.get(self.dut.hit) else None

    async def fill(self, vpn, pcid, number, drop=None):
        """Enter a table; ``drop`` comes in the cycle after."""
        ctx, dut, key = self.ctx, self.dut, {"vpn": vpn, "pcid": pcid}
        ctx.set(dut.key, key)
        ctx.set(dut.fill, 1)
        await ctx.tick()
        ctx.set(dut.fill, 0)
        ctx.set(dut.last_key, key)
        ctx.set(dut.filled, table(number))
        if drop:
            ctx.set(dut.drop, {"valid": 1, **drop})
        await ctx.tick()
        ctx.set(dut.drop.valid, 0)

    async def drop(self, vpn, pcid, **conditions):
        self.ctx.set(self.dut.key, {"vpn": vpn, "pcid": pcid})
        self.ctx.set(self.dut.drop, {"valid": 1, **conditions})
        await self.ctx.tick()
        self.ctx.set(self.dut.drop.valid, 0)


def run(entries, body):
    dut = TableCache(Config(mode=X86_64), SHIFT, entries)

    async def testbench(ctx):
        await body(CacheBench(ctx, dut))

    simulate(dut, testbench)


@pytest.mark.slow
@pytest.mark.parametrize("entries", [1, 2, 3, 8])
def test_random_operations_leave_what_a_list_of_tables_holds(entries):
    rng = default_rng(entries)

    async def body(cache):
        held, turn = [None] * entries, 0  # a key and a number for each place
        for number in range(200):
            vpn, pcid = int(rng.integers(6)) << PLACES, int(rng.integers(2))
            key = vpn >> PLACES, pcid
            if rng.random() < 0.8:
                await cache.fill(vpn | int(rng.integers(1 << PLACES)), pcid, number)
                place = next((where for where, one in enumerate(held)
                              if one and one[0] == key), None)
                if place is None:
                    place, turn = turn, (turn + 1) % entries
                held[place] = key, number
            else:
                by_pcid, by_address = (int(one) for one in rng.integers(2, size=2))
                await cache.drop(vpn, pcid, by_pcid=by_pcid, tables_by_address=by_address)
                held = [None if one and (not by_pcid or one[0][1] == pcid)
                        and (not by_address or one[0][0] == vpn >> PLACES) else one
                        for one in held]
            for page in range(6):
                expected = [one[1] for one in held if one and one[0] == (page, pcid)]
                assert await cache.find(page << PLACES, pcid) == (expected or [None])[0]

    run(entries, body)


def test_a_fill_is_left_out_if_a_drop_comes_in_the_next_cycle():
    async def body(cache):
        await cache.fill(0, 1, 5, drop={"by_pcid": 1})
        assert await cache.find(0, 1) is None
        await cache.fill(0, 1, 6)
        assert await cache.find(0, 1) == 6

    run(2, body)
