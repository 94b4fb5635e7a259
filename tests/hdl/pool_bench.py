"""A pool of walkers on the bench: many requests at once, and what each is answered."""

from pagewalk.hdl.config import Config
from pagewalk.hdl.walk_pool import WalkPool

from .bench import PageTableMemory, Trace, offers_hold, plain, simulate
from .golden import access_fields, control_fields

MISSES = 8
"""Requests of a port that the bench has under way at most."""


def pool_config(mode, walkers, **parameters):
    return Config(mode=mode, walkers=walkers, misses=MISSES, **parameters)


class PoolBench:
    """A pool with page-table memory; ``walk`` asks for walks as fast as they are accepted.

    ``asked`` and ``answered`` have the cycle in which each request was accepted and answered, in
    the order of the requests. ``pause()`` is asked for the cycles before each request.
    """

    def __init__(self, config, memory, *, pause=lambda: 0, **memory_behaviour):
        self.config = config
        self.dut = WalkPool(config)
        self.memory = PageTableMemory(
            self.dut.memory, memory, config.mode.entry_bytes, **memory_behaviour)
        self.pause = pause
        dut = self.dut
        signals = {"access": dut.memory.req.valid, "taken": dut.memory.req.ready,
                   "answer": dut.walk.rsp.valid}
        signals |= {f"event_{name}": dut.events[name] for name, _ in dut.events.shape()}
        self.trace = Trace(**signals)
        self.cycle = 0
        self.results, self.asked, self.answered = {}, [], {}
        self._under_way = {}

    def walk(self, requests, *, drops=(), background=()):
        """Return the result of each request, a pair of ``Access`` and ``Control``.

        ``drops`` has a cycle and what to drop in it, for each drop.
        """
        async def testbench(ctx):
            for number, request in enumerate(requests):
                for _ in range(self.pause()):
                    await ctx.tick()
                await self._ask(ctx, number, *request)
            while self._under_way:
                await ctx.tick()

        holds = [offers_hold("memory", self.dut.memory.req)]
        simulate(self.dut, testbench,
                 background=[self._collect, self.memory.serve, self.trace, *holds,
                             *(self._drop(*drop) for drop in drops), *background])
        return [self.results[number] for number in range(len(requests))]

    async def _ask(self, ctx, number, access, control):
        """Offer a request until it is accepted, when its number of a miss is free."""
        req, who = self.dut.walk.req, (number % 2, number // 2 % MISSES)
        while who in self._under_way:
            await ctx.tick()
        self._under_way[who] = number
        ctx.set(req.payload, {
            "port": who[0], "miss": who[1], "access": access_fields(access),
            "control": control_fields(self.config, control)})
        ctx.set(req.valid, 1)
        ready = 0
        while not ready:
            _, _, ready = await ctx.tick().sample(req.ready)
        self.asked.append(self.cycle - 1)
        ctx.set(req.valid, 0)
        ctx.set(req.payload, {})  # the pool has to remember

    async def _collect(self, ctx):
        rsp = self.dut.walk.rsp
        async for _, _, valid, payload in ctx.tick().sample(rsp.valid, rsp.payload):
            if valid:
                number = self._under_way.pop((payload.port, payload.miss))
                self.results[number] = plain(payload)
                self.answered[number] = self.cycle
            self.cycle += 1

    def _drop(self, cycle, drop):
        async def testbench(ctx):
            for _ in range(cycle):
                await ctx.tick()
            ctx.set(self.dut.drop, {"valid": 1, **drop})
            await ctx.tick()
            ctx.set(self.dut.drop.valid, 0)

        return testbench

    @property
    def durations(self):
        """Cycles from each request to its answer."""
        return [self.answered[number] - asked for number, asked in enumerate(self.asked)]
