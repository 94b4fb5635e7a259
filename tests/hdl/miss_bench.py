"""A request port that keeps misses aside, on the bench, with golden walks that end in any order."""

from pagewalk.hdl.miss_port import MissPort

from .bench import offers_hold, plain, simulate
from .golden import GoldenWalker, access_fields, control_fields
from .port_bench import PortBench, scramble

TAG_BITS = 9


class ManyWalks(GoldenWalker):
    """Walks for many requests at once; ``pick(count)`` says which of those under way comes next.

    A walk takes ``delay()`` cycles at least; ``spoil()`` marks those under way as stale.
    """

    def __init__(self, config, port, memory, delay, pick, ready):
        super().__init__(config, port, memory, delay)
        self.pick, self.ready = pick, ready
        self.under_way = []
        self.most = 0

    def spoil(self):
        for one in self.under_way:
            one["stale"] = True

    async def serve(self, ctx):
        req, rsp = self.port.req, self.port.rsp
        cycle = 0
        ctx.set(req.ready, self.ready())
        samples = ctx.tick().sample(req.valid & req.ready, req.payload)
        async for _, _, asked, payload in samples:
            cycle += 1
            if asked:
                request = plain(payload)
                assert request["miss"] not in [one["request"]["miss"] for one in self.under_way]
                assert request["miss"] < self.config.misses
                self.under_way.append(
                    {"request": request, "due": cycle - 1 + self.delay(), "stale": self.stale})
            self.most = max(self.most, len(self.under_way))
            due = [one for one in self.under_way if one["due"] <= cycle]
            ctx.set(rsp.valid, bool(due))
            if due:
                one = due[self.pick(len(due))]
                self.under_way.remove(one)
                response = self._walked(one["request"])
                ctx.set(rsp.payload, response if "fault" in response
                        else response | {"stale": one["stale"]})
            ctx.set(req.ready, self.ready())


class MissBench(PortBench):
    """A ``MissPort`` of number ``PORT``, walks in any order, and requests that may be cancelled."""

    kind = MissPort

    def __init__(self, tables, *, delay=lambda: 1, pick=lambda _count: 0, ready=lambda: 1,
                 misses=4, tag_bits=TAG_BITS, **parameters):
        super().__init__(tables, delay=delay, misses=misses, tag_bits=tag_bits, **parameters)
        self.walker = ManyWalks(self.config, self.dut.walk, tables.memory, delay, pick, ready)
        self.walks = self.walker.walks
        self.accepted, self.answered = {}, {}  # the cycle of each tag; responses by tag, too
        self.responses, self.order = {}, []
        self.cancelled, self.cancels = {}, 0  # the cycle in which a tag was, and how many were
        self.cycle = 0

    def run(self, *testbenches):
        dut = self.dut
        cancel = [dut.requests.cancel.valid] if self.config.cancel else []
        simulate(dut, *testbenches, background=[
            self.trace, self.faults, self.events, self.watch, self.walker.serve,
            self.drop_after_faults, offers_hold("response", dut.requests.rsp, *cancel),
            offers_hold("walk", dut.walk.req)])

    async def watch(self, ctx):
        """Note what is accepted, answered and cancelled, and that each is answered once."""
        req, rsp = self.dut.requests.req, self.dut.requests.rsp
        signals = [req.valid & req.ready, req.payload.tag, rsp.valid & rsp.ready, rsp.payload]
        if self.config.cancel:
            signals.append(self.dut.requests.cancel)
        async for _, _, asked, tag, answered, response, *cancel in ctx.tick().sample(*signals):
            # With no hit latency, the answer in the cycle of an acceptance is that of the request.
            at_once = asked and self.config.hit_latency == 0
            if answered and not at_once:
                self._answer(plain(response))
            if cancel and cancel[0].valid:
                for number, cycle in self.accepted.items():
                    if cycle < self.cycle and number not in self.responses and (
                            cancel[0].all or number == cancel[0].tag):
                        self.cancels += number not in self.cancelled
                        self.cancelled.setdefault(number, self.cycle)
            if asked:
                self._accept(tag)
            if answered and at_once:
                self._answer(plain(response))
            self.cycle += 1

    def _answer(self, response):
        number = response["tag"]
        assert number in self.accepted, f"answer to {number}, which was not asked"
        assert number not in self.responses, f"{number} is answered twice"
        assert number not in self.cancelled, f"{number} is answered, but was cancelled"
        self.responses[number] = response
        self.answered[number] = self.cycle
        self.order.append(number)

    def _accept(self, tag):
        assert tag not in self.accepted or tag in self.responses or tag in self.cancelled
        for past in (self.responses, self.cancelled, self.answered):
            past.pop(tag, None)
        self.accepted[tag] = self.cycle

    async def request(self, ctx, tag, access, control):
        """Offer a request until it is accepted."""
        req = self.dut.requests.req
        ctx.set(self.dut.control, control_fields(self.config, control))
        ctx.set(req.payload, access_fields(access, tag))
        ctx.set(req.valid, 1)
        ready = 0
        while not ready:
            _, _, ready = await ctx.tick().sample(req.ready)
        ctx.set(req.valid, 0)

    async def until_idle(self, ctx):
        while not ctx.get(self.dut.idle):
            await ctx.tick()
        await ctx.tick()

    def ask(self, requests, *, gap=lambda: 0, ready=lambda: 1, noise=lambda _bits: 0, also=()):
        """Make requests, pairs of ``Access`` and ``Control`` whose numbers are the tags.

        Return the responses in the order of the requests, as far as they are not cancelled.
        """
        dut = self.dut

        async def ask(ctx):
            for number, (access, control) in enumerate(requests):
                for _ in range(gap()):
                    scramble(ctx, noise, dut.control, dut.requests.req.payload)
                    await ctx.tick()
                await self.request(ctx, number, access, control)
                scramble(ctx, noise, dut.control, dut.requests.req.payload)
            await self.until_idle(ctx)

        async def collect(ctx):
            while len(self.accepted) < len(requests) or not ctx.get(dut.idle):
                ctx.set(dut.requests.rsp.ready, ready())
                await ctx.tick()
            ctx.set(dut.requests.rsp.ready, 0)

        self.run(ask, collect, *also)
        assert set(self.responses).isdisjoint(self.cancelled)
        assert set(self.responses) | set(self.cancelled) == set(range(len(requests)))
        return [self.responses.get(number) for number in range(len(requests))]
