"""A whole MMU on the bench, requesters that use it in parallel, and pages that change."""

from functools import cache

from amaranth import ResetInserter, Signal
from amaranth.lib import data

from pagewalk.hdl.config import Config
from pagewalk.hdl.mmu import Mmu
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import X86_64, Cr4, Entry

from .bench import PageTableMemory, Trace, offers_hold, put, simulate, stream_trace, take
from .golden import access_fields, control_fields
from .tables import PERMISSIVE, Tables


class MmuBench:
    """An MMU with page-table memory, and what software does with it.

    ``reset`` is the MMU's, and nothing else is reset by it.
    """

    def __init__(self, tables, *, ports=("fetch", "data"), entries=4, l2_entries=0,
                 walkers=1, walk_stages=1, misses=1, order="request", parameters=None,
                 **memory_behaviour):
        self.tables = tables
        self.config = Config(mode=tables.mode, ports=ports, policy="lru", **{
            "entries": entries, "l2_entries": l2_entries, "walkers": walkers,
            "walk_stages": walk_stages, "misses": misses, "order": order, **(parameters or {})})
        self.mmu, self.reset = Mmu(self.config), Signal()
        self.ports = [getattr(self.mmu, name) for name in ports]
        self.memory = PageTableMemory(
            self.mmu.memory, tables.memory, tables.mode.entry_bytes, **memory_behaviour)
        self._control_word = cache(
            lambda control: self.mmu.control.shape().const(
                control_fields(self.config, control)).as_bits())
        self.events = Trace(**dict(named_bits(self.mmu.events)))
        self.pulsed = self.config.invalidation == "pulse"
        self.handshakes = stream_trace(
            **({} if self.pulsed else {"invalidate": self.mmu.invalidate}),
            **{f"{name}_req": port.req for name, port in zip(ports, self.ports, strict=True)},
            **{f"{name}_rsp": port.rsp for name, port in zip(ports, self.ports, strict=True)})

    def run(self, *testbenches, background=()):
        holds = [offers_hold(f"port {number}", port.rsp, self.reset)
                 for number, port in enumerate(self.ports)]
        simulate(ResetInserter(self.reset)(self.mmu), *testbenches, background=[
            self.memory.serve, self.events, self.handshakes, *holds,
            offers_hold("memory", self.mmu.memory.req, self.reset), *background])

    def control(self, ctx, control):
        ctx.set(self.mmu.control.as_value(), self._control_word(control))

    async def access(self, ctx, control, access, port=0):
        """Return the response, and the number of walks until then."""
        before = self.events.total("walk_start")
        self.control(ctx, control)
        await put(ctx, self.ports[port].req, access_fields(access))
        response = await take(ctx, self.ports[port].rsp)
        return response, self.events.total("walk_start") - before

    async def invalidate(self, ctx, control, op, **operands):
        self.control(ctx, control)
        operation = {"op": op.value, **operands}
        await (self.pulse(ctx, operation) if self.pulsed
               else put(ctx, self.mmu.invalidate, operation))

    async def pulse(self, ctx, operation):
        """Ask for an operation by a pulse, and wait until it is carried out."""
        ctx.set(self.mmu.invalidate, {**operation, "strobe": 1})
        busy = 1
        while busy:
            await ctx.tick()
            ctx.set(self.mmu.invalidate.strobe, 0)
            busy = ctx.get(self.mmu.invalidate_busy)


def named_bits(view, prefix=""):
    """Yield the name and signal of each single bit of a view."""
    for name, field in view.shape():
        if isinstance(field.shape, data.Layout):
            yield from named_bits(view[name], f"{prefix}{name}_")
        else:
            yield prefix + name, view[name]


class Requester:
    """Asks for ``accesses`` through one port; ``controls`` and ``results`` are as it went."""

    def __init__(self, port, accesses, pause):
        self.port = port
        self.accesses = accesses
        self.pause = pause
        self.controls = []
        self.results = []

    async def ask(self, ctx):
        for number, access in enumerate(self.accesses):
            for _ in range(self.pause()):
                await ctx.tick()
            await put(ctx, self.port.req, access_fields(access, number & 0xF))

    async def collect(self, ctx):
        for _ in self.accesses:
            for _ in range(self.pause()):
                await ctx.tick()
            self.results.append(await take(ctx, self.port.rsp))


def changing_control(bench, requesters, rng, controls):
    """Return a background testbench: any of ``controls`` in each cycle.

    Each requester is told the one in force when its request was accepted.
    """
    async def conduct(ctx):
        control = controls[0]
        bench.control(ctx, control)
        accepted = [one.port.req.valid & one.port.req.ready for one in requesters]
        async for _, _, *flags in ctx.tick().sample(*accepted):
            for requester, flag in zip(requesters, flags, strict=True):
                if flag:
                    requester.controls.append(control)
            control = controls[int(rng.integers(len(controls)))]
            bench.control(ctx, control)

    return conduct


class ChangingPages:
    """Pages whose physical address tells their number and version; odd ones are global.

    All are in one page table, which may be moved. ``oldest`` is the oldest version of each page
    that an answer may still have.
    """

    def __init__(self, first, count):
        self.first = first
        self.tables = Tables(X86_64)
        self.control = Control(self.tables.cr3 | 1, cr4=Cr4.PAE | Cr4.PGE | Cr4.PCIDE)
        self.versions, self.oldest = [0] * count, [0] * count
        for number in range(count):
            self.change(number)

    def vaddr(self, number):
        return self.first + 0x1000 * number

    def change(self, number):
        self.versions[number] += 1
        self._path = self.tables.map(
            self.vaddr(number), number << 24 | self.versions[number] << 12,
            PERMISSIVE | (number & 1) * Entry.G)

    def move_table(self):
        """Copy the page table and use the copy: what the walk cache holds is old from now on."""
        old, new = self._path[-1] & -0x1000, self.tables.new_table()
        for offset in range(0, 0x1000, 8):
            self.tables.write(new + offset, self.tables.read(old + offset))
        self.tables.write(self._path[-2], new | PERMISSIVE)

    def flushed(self, number, others, with_global):
        """Note that page ``number``, or all ``others`` too, are flushed; global ones may stay."""
        for page, version in enumerate(self.versions):
            if (others or page == number) and (with_global or not page & 1):
                self.oldest[page] = version

    def check(self, number, response):
        assert response["paddr"] >> 24 == number
        version = response["paddr"] >> 12 & 0xFFF
        assert self.oldest[number] <= version <= self.versions[number], f"page {number} is stale"
