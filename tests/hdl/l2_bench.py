"""The second-level TLB on a bench: one operation at a time, with its cycles."""

from pagewalk.hdl.config import Config
from pagewalk.hdl.l2_geometry import L2Geometry
from pagewalk.hdl.l2_tlb import L2Tlb
from pagewalk.model.x86 import PAGE_SHIFT

from .bench import plain, simulate
from .golden import access_fields, control_fields
from .tables import bits

PORTS = ("fetch", "data", "third")


def geometry(mode, sets=4, ways=2, policy="plru", misses=2, ports=PORTS):
    return L2Geometry(Config(mode=mode, ports=ports, misses=misses, l2_entries=sets * ways,
                             l2_ways=ways, l2_policy=policy))


def random_translation(rng, config, **fields):
    """Return a translation that permits most accesses."""
    keys = config.mode.has_protection_keys
    return {
        "frame": bits(rng, config.pfn_bits), "page": int(rng.integers(len(config.mode.pages))),
        "rights": {"writable": int(rng.random() < 0.8), "user": int(rng.random() < 0.8),
                   "execute_disable": int(rng.random() < 0.2) * config.mode.has_execute_disable,
                   "key": bits(rng, 2) * keys},
        "memory_type": bits(rng, 3), "dirty": int(rng.random() < 0.8),
        "global_page": int(rng.random() < 0.25), **fields,
    }


class Rtl:
    """Verbs of ``RefL2`` for the hardware, each carried out to its end; the array is idle then."""

    def __init__(self, ctx, dut, shape):
        self.ctx, self.dut, self.shape, self.config = ctx, dut, shape, shape.config
        self.asked = 0

    async def cleared(self):
        """Wait until the reset has all dropped, and return after how many cycles."""
        cycles = 0
        while self.ctx.get(self.dut.busy):
            await self.ctx.tick()
            cycles += 1
        self.ctx.set(self.dut.walkers.req.ready, 1)
        self.ctx.set(self.dut.walk.rsp.ready, 1)
        return cycles

    def request(self, access, control):
        """Return the next request, of a port and a number of a miss that go round."""
        self.asked += 1
        return {
            "port": self.asked % len(self.config.ports), "miss": self.asked % self.config.misses,
            "access": access_fields(access, self.asked % 16),
            "control": control_fields(self.config, control),
        }

    async def lookup(self, access, control):
        """Return the request, what answers it or None if it has to be walked, and the cycles."""
        ctx, dut = self.ctx, self.dut
        request = self.request(access, control)
        ctx.set(dut.walk.req.payload, request)
        ctx.set(dut.vpn, request["access"]["vaddr"] >> PAGE_SHIFT & (1 << len(dut.vpn)) - 1)
        ctx.set(dut.walk.req.valid, 1)
        assert ctx.get(dut.walk.req.ready)
        await ctx.tick()
        ctx.set(dut.walk.req.valid, 0)
        for cycles in range(1, 20):
            answered, walks = ctx.get(dut.walk.rsp.valid), ctx.get(dut.walkers.req.valid)
            assert not (answered and walks)
            if answered:
                response = plain(ctx.get(dut.walk.rsp.payload))
                await self.idle()
                return request, response, cycles
            if walks:
                offered = plain(ctx.get(dut.walkers.req.payload))
                assert offered == plain_request(request)
                await self.idle()
                return request, None, cycles
            await ctx.tick()
        raise AssertionError("The request is neither answered nor walked")

    async def respond(self, request, **result):
        """Answer a walk; return what is answered in the same cycle."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.walkers.rsp.payload, {
            "port": request["port"], "miss": request["miss"], **result})
        ctx.set(dut.walkers.rsp.valid, 1)
        assert ctx.get(dut.walk.rsp.valid)
        response = plain(ctx.get(dut.walk.rsp.payload))
        await ctx.tick()
        ctx.set(dut.walkers.rsp.valid, 0)
        await self.idle(7)
        return response

    async def drop(self, condition):
        """Return how many cycles the drop is busy for."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.drop, {**condition, "valid": 1})
        await ctx.tick()
        ctx.set(dut.drop, {"valid": 0})
        cycles = 0
        while ctx.get(dut.busy):
            await ctx.tick()
            cycles += 1
        await self.idle(1)
        return cycles

    async def idle(self, cycles=2):
        for _ in range(cycles):
            await self.ctx.tick()


def plain_request(request):
    """Return a request with the numbers that the simulator gives back."""
    return {**request, "access": {name: int(value) for name, value in request["access"].items()},
            "control": {name: int(value) for name, value in request["control"].items()}}


def run(shape, body):
    """Run ``body(rtl)`` on a second-level TLB of that geometry, after the reset's drop."""
    dut = L2Tlb(shape.config)

    async def testbench(ctx):
        rtl = Rtl(ctx, dut, shape)
        assert await rtl.cleared() == shape.sets
        await body(rtl)

    simulate(dut, testbench)
