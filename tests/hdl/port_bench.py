"""A request port on the bench, with a walker made of the golden walk."""

from pagewalk.hdl.config import Config
from pagewalk.hdl.port import RequestPort
from pagewalk.model.x86 import X86_64

from .bench import Trace, offers_hold, plain, put, simulate, stream_trace, take
from .golden import GoldenWalker, access_fields, control_fields
from .tables import PERMISSIVE, Tables

VADDR = 0x1234_5678
PORT = 1


class PortBench:
    """A request port of number ``PORT`` and a golden walker; ``walks`` is what it walked.

    ``delay()`` is asked for the cycles that a part of a walk takes, or the drop after a page fault;
    ``page_faults`` has the page number and PCID of each.
    """

    kind = RequestPort

    def __init__(self, tables, *, entries=4, policy="fifo", delay=lambda: 1, **parameters):
        self.config = Config(mode=tables.mode, entries=entries, policy=policy, **parameters)
        self.dut = dut = self.kind(self.config, PORT)
        self.walker = GoldenWalker(self.config, dut.walk, tables.memory, delay)
        self.walks = self.walker.walks
        self.delay = delay
        self.page_faults = []
        self.trace = stream_trace(req=dut.requests.req, rsp=dut.requests.rsp,
                                  walk_req=dut.walk.req, walk_rsp=dut.walk.rsp)
        self.faults = Trace(told=dut.page_fault.valid, taken=dut.fault_taken)
        self.events = Trace(**{name: dut.events[name] for name, _ in dut.events.shape()})

    def run(self, *testbenches):
        dut = self.dut
        simulate(dut, *testbenches, background=[
            self.trace, self.faults, self.events, self.walker.serve, self.drop_after_faults,
            offers_hold("response", dut.requests.rsp), offers_hold("walk", dut.walk.req)])

    async def drop_after_faults(self, ctx):
        """Drop what each page fault could use, once the port is done with its reset."""
        dut = self.dut
        await self.wait_while_busy(ctx)
        while True:
            told = 0
            while not told:
                _, _, told = await ctx.tick().sample(dut.page_fault.valid)
            for _ in range(self.delay() - 1):
                await ctx.tick()
            fault = plain(ctx.get(dut.page_fault))
            self.page_faults.append((fault["vpn"], fault["pcid"]))
            ctx.set(dut.fault_taken, 1)
            ctx.set(dut.pause, 1)
            await self.drop(ctx, fault | {"by_address": 1, "by_pcid": 1, "globals": 1})

    async def drop(self, ctx, conditions):
        """Drop entries, and wait until that is done."""
        dut = self.dut
        ctx.set(dut.drop, {"valid": 1, **conditions})
        ctx.set(dut.pause, 1)
        await ctx.tick()
        ctx.set(dut.drop.valid, 0)
        ctx.set(dut.fault_taken, 0)
        await self.wait_while_busy(ctx)

    async def wait_while_busy(self, ctx):
        """Let the port accept no requests while it is at work on a drop, or a reset."""
        ctx.set(self.dut.pause, 1)
        while ctx.get(self.dut.busy):
            await ctx.tick()
        ctx.set(self.dut.pause, 0)

    def answers(self, requests, *, pause=lambda: 0, noise=lambda _bits: 0):
        """Return the response to each pair of ``Access`` and ``Control``; tags count them.

        ``pause()`` is asked for cycles in which nothing is offered, or taken; ``noise(bits)`` for
        what the inputs are where they should not matter.
        """
        results, dut = [], self.dut

        async def ask(ctx):
            for number, (access, control) in enumerate(requests):
                for _ in range(pause()):
                    scramble(ctx, noise, dut.control, dut.requests.req.payload)
                    await ctx.tick()
                ctx.set(dut.control, control_fields(self.config, control))
                await put(ctx, dut.requests.req, access_fields(access, number & 0xF))
                scramble(ctx, noise, dut.control, dut.requests.req.payload)

        async def collect(ctx):
            for _ in requests:
                for _ in range(pause()):
                    await ctx.tick()
                results.append(await take(ctx, dut.requests.rsp))

        self.run(ask, collect)
        return results


def scramble(ctx, noise, *views):
    for view in views:
        value = view.as_value()
        ctx.set(value, noise(len(value)))


def one_page(mode=X86_64, flags=PERMISSIVE):
    tables = Tables(mode)
    tables.map(VADDR, 0x7000, flags)
    return tables
