"""A walker on the bench with page-table memory, and what it should say and do there."""

from pagewalk.hdl.walker import Walker
from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, Cr4

from .bench import PageTableMemory, Trace, offers_hold, put, simulate, take
from .golden import access_fields, control_fields, translation_fields
from .tables import bits, random_access, random_control, random_vaddr

VADDR = 0x1234_5678


def apart(mode, number):
    """Return an address that shares with ``VADDR`` the entries above the level ``number``."""
    return VADDR ^ 1 << mode.levels[number].shift


def control_of(tables, **registers):
    """Return registers with which everything is switched on that a mode has."""
    cr4 = Cr4.PGE | (Cr4.PSE if tables.mode is IA32 else Cr4.PAE)
    return Control(**{"cr3": tables.cr3, "cr4": cr4, **registers})


def read_of(tables, vaddr=VADDR, **registers):
    """Return a request to ``WalkerBench.walk``: a supervisor's read."""
    return 0, Access(vaddr), control_of(tables, **registers)


def reads(bench):
    """Return the address of each entry that was read."""
    return [access[1] for access in bench.memory.log if access[0] == "read"]


class WalkerBench:
    """A walker with page-table memory; ``walk`` takes one walk after another."""

    def __init__(self, config, memory, *, pause=lambda: 0, **memory_behaviour):
        self.config = config
        self.dut = Walker(config)
        self.memory = PageTableMemory(
            self.dut.memory, memory, config.mode.entry_bytes, **memory_behaviour)
        self.pause = pause
        signals = {"asked": self.dut.walk.req.valid, "answer": self.dut.walk.rsp.valid,
                   "taken": self.dut.walk.rsp.ready, "access": self.dut.memory.req.valid}
        signals |= {f"event_{name}": self.dut.events[name]
                    for name, _ in self.dut.events.shape()}
        self.trace = Trace(**signals)

    def walk(self, requests, *, background=()):
        """Return the result of each request, a triple of port, ``Access`` and ``Control``.

        Among them may be dicts: what to drop then from the walk cache. The ``background``
        testbenches go along.
        """
        results = []
        dut = self.dut

        async def testbench(ctx):
            for request in requests:
                if isinstance(request, dict):
                    ctx.set(dut.drop, {"valid": 1, **request})
                    await ctx.tick()
                    ctx.set(dut.drop.valid, 0)
                    continue
                port, access, control = request
                await put(ctx, dut.walk.req, {
                    "port": port, "access": access_fields(access),
                    "control": control_fields(self.config, control)})
                ctx.set(dut.walk.req.payload, {})  # the walker has to remember
                for _ in range(self.pause()):
                    await ctx.tick()
                results.append(await take(ctx, dut.walk.rsp))

        holds = [offers_hold("walk", dut.walk.rsp), offers_hold("memory", dut.memory.req)]
        simulate(dut, testbench,
                 background=[self.memory.serve, self.trace, *holds, *background])
        return results

    def drop_in(self, cycle, **drop):
        """Return a background testbench that drops entries of the walk cache in one cycle."""
        async def testbench(ctx):
            for _ in range(cycle):
                await ctx.tick()
            ctx.set(self.dut.drop, {"valid": 1, **drop})
            await ctx.tick()
            ctx.set(self.dut.drop.valid, 0)

        return testbench


def expected_result(config, walked, control, port=0):
    """Return the result of a golden walk, without what means nothing on a fault."""
    if walked.fault:
        return {"port": port, "fault": 1, "vector": walked.fault.vector.value,
                "error_code": walked.fault.error_code}
    return {"port": port, "fault": 0, "translation": translation_fields(config, walked, control)}


def expected_accesses(steps):
    """Return the accesses that steps of a golden walk make; one with a bus error is extra."""
    accesses = []
    for step in steps:
        accesses.append(("read", step.paddr))
        if step.updated != step.entry:
            accesses.append(("exchange", step.paddr, step.entry, step.updated))
    return accesses


def assert_result(result, expected, about):
    assert {name: result[name] for name in expected} == expected, about


def random_requests(rng, mode, cr3, count):
    return [(bits(rng, 1), random_access(rng, random_vaddr(rng, mode)),
             random_control(rng, mode, cr3)) for _ in range(count)]


def random_memory(rng, busy):
    """Return how memory behaves: slow and often not ready if ``busy``."""
    if not busy:
        return {}
    return {"latency": lambda: int(rng.integers(1, 6)), "ready": lambda: rng.random() < 0.5,
            "pause": lambda: int(rng.integers(0, 3))}
