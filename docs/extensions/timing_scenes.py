"""Small scenes on a real MMU in Amaranth's simulator, recorded cycle by cycle.

Only the outer ports of ``Mmu`` are used. The diagrams of the timing reference are drawn from these
recordings, so that they show what the hardware does and nothing else.
"""

from collections import deque
from dataclasses import dataclass, field

from amaranth.lib import data
from amaranth.sim import Simulator

from pagewalk.hdl.config import Config
from pagewalk.hdl.mmu import Mmu
from pagewalk.hdl.shapes import InvalidateOp, MemoryOp
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, PagingMode

__all__ = ["SCENES", "Recording", "Scene", "record"]

USED = Entry.P | Entry.RW | Entry.US | Entry.A | Entry.D
"""An entry that permits everything and needs no update."""

CODE, DATA, NEXT, THIRD = 0x0040_0000, 0x5000, 0x6000, 0x7000
"""Linear addresses; the last three have their entries side by side in one page table."""

CYCLE_LIMIT = 200


@dataclass(frozen=True)
class Scene:
    """What is offered to an MMU, and when.

    ``pages`` gives the flags of the leaf of each mapped page, ``upper`` those of all entries above.
    ``config`` is what the hardware has beside what all scenes have. ``before`` is done first, one
    after the other, and is not shown. Then ``script`` offers to each stream its ``(cycle,
    payload)`` in order, none earlier than in its cycle.
    """

    script: dict[str, list[tuple[int, dict]]]
    before: list[tuple[str, dict]] = field(default_factory=list)
    mode: PagingMode = IA32
    pages: dict[int, int] = field(default_factory=lambda: {DATA: USED, NEXT: USED})
    upper: int = USED
    latency: int = 1
    ports: tuple[str, ...] = ("data",)
    config: dict = field(default_factory=dict)


def access(vaddr, kind=AccessKind.READ, tag=0, **more):
    """Return the payload of a user's request."""
    return {"vaddr": vaddr, "kind": kind.value, "user": 1, "tag": tag, **more}


READ = access(DATA)
READ_NEXT = access(NEXT)
WRITE = access(DATA, AccessKind.WRITE)
INVLPG = {"op": InvalidateOp.INVLPG.value, "vaddr": DATA}

SCENES = {
    "hit": Scene(
        before=[("data.req", READ), ("data.req", READ_NEXT)],
        script={"data.req": [(1, READ), (1, READ_NEXT), (1, READ)]}),
    "miss": Scene(mode=X86_64, script={"data.req": [(1, READ)]}),
    "registered": Scene(mode=X86_64, script={"data.req": [(1, READ)]},
                        config={"memory_response": "registered"}),
    "walk-cache": Scene(mode=X86_64, before=[("data.req", READ)],
                        script={"data.req": [(1, READ_NEXT)]}),
    "latency": Scene(latency=3, script={"data.req": [(1, READ)]}),
    "hit-under-miss": Scene(
        latency=3, before=[("data.req", READ)], config={"misses": 3, "order": "tag"},
        pages={DATA: USED, NEXT: USED, THIRD: USED},
        script={"data.req": [(1, access(NEXT, tag=1)), (1, access(DATA, tag=2)),
                             (1, access(THIRD, tag=3)), (1, access(DATA, tag=4))]}),
    "crossing": Scene(
        before=[("data.req", READ), ("data.req", READ_NEXT)], config={"access_bytes": 8},
        script={"data.req": [(1, access(DATA | 0xFFC, size=4)), (1, access(DATA | 0xFFC, size=8)),
                             (1, READ)]}),
    "update": Scene(pages={DATA: Entry.P | Entry.RW | Entry.US}, upper=USED & ~Entry.A,
                    script={"data.req": [(1, WRITE)]}),
    "ports": Scene(
        ports=("fetch", "data"), latency=2, pages={CODE: USED, DATA: USED},
        before=[("fetch.req", access(CODE, AccessKind.FETCH))],
        script={"data.req": [(1, READ)],
                "fetch.req": [(2, access(CODE, AccessKind.FETCH))] * 3}),
    "fault": Scene(
        before=[("data.req", READ_NEXT)], pages={DATA: USED & ~Entry.RW, NEXT: USED},
        script={"data.req": [(1, WRITE), (1, READ_NEXT)]}),
    "invalidation": Scene(
        before=[("data.req", READ)],
        script={"invalidate": [(2, INVLPG)], "data.req": [(1, READ), (2, READ)]}),
    "invalidation-pulse": Scene(
        before=[("data.req", READ)], config={"invalidation": "pulse"},
        script={"invalidate": [(2, INVLPG)], "data.req": [(1, READ), (2, READ)]}),
}


@dataclass
class Recording:
    """The values of all signals in each cycle: ``rows[cycle][name]``, payloads as dicts."""

    scene: Scene
    levels: dict[int, str]
    rows: list[dict] = field(default_factory=list)

    def transfers(self, stream):
        """Return the cycles in which ``stream`` has valid and ready."""
        return [cycle for cycle, row in enumerate(self.rows)
                if row[f"{stream}.valid"] and row[f"{stream}.ready"]]

    def cycles(self, name):
        """Return the cycles in which a bit is set."""
        return [cycle for cycle, row in enumerate(self.rows) if row[name]]

    def accesses(self, port):
        """Return the cycles in which each request of a port was accepted and answered."""
        def by_tag(stream):
            cycles = self.transfers(f"{port}.{stream}")
            tags = [self.rows[cycle][f"{port}.{stream}.payload"]["tag"] for cycle in cycles]
            numbers = [tags[:place].count(tag) for place, tag in enumerate(tags)]
            return dict(zip(zip(tags, numbers, strict=True), cycles, strict=True))

        accepted, answered = by_tag("req"), by_tag("rsp")
        assert accepted.keys() == answered.keys()
        return [(cycle, answered[one]) for one, cycle in accepted.items()]

    def events(self, name):
        """Return the cycles in which an event happens."""
        return [cycle for cycle, row in enumerate(self.rows) if row[f"events.{name}"]]


def record(scene):
    """Return what the ports of an MMU do in a scene, from the cycle before its script."""
    memory, levels = page_tables(scene)
    mmu = Mmu(Config(mode=scene.mode, ports=scene.ports, entries=4, walk_cache=2, policy="lru",
                     **scene.config))
    bench = _Bench(mmu, scene, memory, levels)
    simulator = Simulator(mmu)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench.run)
    simulator.run()
    return bench.recording


def page_tables(scene):
    """Return the memory of a scene's page tables, and the level of each entry by its address."""
    memory, size, levels = PhysicalMemory(), scene.mode.entry_bytes, {}
    memory.add([1])
    for number, (vaddr, flags) in enumerate(scene.pages.items()):
        table = 1 << 12
        for level in scene.mode.levels:
            address = table + (vaddr >> level.shift & (1 << level.index_bits) - 1) * size
            levels[address] = level.name
            if level is scene.mode.levels[-1]:
                memory.write(address, size, (0x7A + number) << 12 | flags)
            elif not memory.read(address, size):
                memory.add([len(memory) + 1])
                memory.write(address, size, len(memory) << 12 | scene.upper)
            table = memory.read(address, size) & 0xFFFF_F000
    return memory, levels


class _Bench:
    """Plays a scene: all inputs of a cycle are set, then all ports are sampled at its end."""

    def __init__(self, mmu, scene, memory, levels):
        self.mmu, self.scene, self.memory = mmu, scene, memory
        self.recording = Recording(scene, levels)
        self.inputs = {"memory.rsp": mmu.memory.rsp}
        self.pulsed = mmu.config.invalidation == "pulse"
        if not self.pulsed:
            self.inputs["invalidate"] = mmu.invalidate
        self.outputs = {"memory.req": mmu.memory.req}
        for port in scene.ports:
            self.inputs[f"{port}.req"] = getattr(mmu, port).req
            self.outputs[f"{port}.rsp"] = getattr(mmu, port).rsp
        self.due = 0  # answers and acceptances that are still to come
        self.responses = deque()

    async def run(self, ctx):
        """Set the registers, do what comes before the scene, then record the scene."""
        ctx.set(self.mmu.control, {"pg": 1, "wp": 1, "root": 1, "pse": 1, "pge": 1})
        for stream in self.outputs.values():
            ctx.set(stream.ready, 1)
        for stream, payload in self.scene.before:
            await self.play(ctx, {stream: [(0, payload)]})
        self.recording.rows.clear()
        self.responses.clear()
        await self.play(ctx, self.scene.script)

    async def play(self, ctx, script):
        """Offer what ``script`` says, until all is answered and a quiet cycle has passed."""
        waiting = {stream: deque(offers) for stream, offers in script.items()}
        expected = sum(map(len, script.values()))
        for cycle in range(CYCLE_LIMIT):
            if self.responses and self.responses[0][0] == cycle:
                self.offer(ctx, "memory.rsp", self.responses.popleft()[1])
            else:
                self.offer(ctx, "memory.rsp", None)
            for stream, offers in waiting.items():
                ready = offers and offers[0][0] <= cycle
                self.offer(ctx, stream, offers[0][1] if ready else None)
            row = await self.sample(ctx)
            self.recording.rows.append(row)
            for stream, offers in waiting.items():
                if self.is_taken(row, stream):
                    offers.popleft()
                    expected -= stream == "invalidate"
            expected -= sum(row[f"{port}.rsp.valid"] for port in self.scene.ports)
            if row["memory.req.valid"]:
                self.responses.append(
                    (cycle + self.scene.latency, self.serve(row["memory.req.payload"])))
            if not expected:
                break
        else:
            raise AssertionError(f"The scene is not over after {CYCLE_LIMIT} cycles")
        for stream in waiting:
            self.offer(ctx, stream, None)
        for _ in range(2):
            self.recording.rows.append(await self.sample(ctx))

    def offer(self, ctx, name, payload):
        """Offer ``payload`` to a stream, or nothing; a pulse lasts one cycle."""
        if name == "invalidate" and self.pulsed:
            ctx.set(self.mmu.invalidate, {**(payload or {}), "strobe": payload is not None})
            return
        stream = self.inputs[name]
        ctx.set(stream.valid, payload is not None)
        ctx.set(stream.payload, payload or {})

    def is_taken(self, row, name):
        """Return whether what was offered is taken in the cycle of ``row``."""
        if name == "invalidate" and self.pulsed:
            return row["invalidate.strobe"]
        return row[f"{name}.valid"] and row[f"{name}.ready"]

    def serve(self, request):
        """Do an access to page-table memory and return the response."""
        size, address = self.scene.mode.entry_bytes, request["address"]
        if request["op"] == MemoryOp.READ.value:
            return {"tag": request["tag"], "data": self.memory.read(address, size)}
        old = self.memory.compare_exchange(
            address, size, request["expected"], request["desired"])
        return {"tag": request["tag"], "data": old, "exchanged": old == request["expected"]}

    async def sample(self, ctx):
        """Let a cycle pass and return the values that all signals had at its end."""
        streams = self.inputs | self.outputs
        signals = {"events": self.mmu.events}
        if self.pulsed:
            signals |= {"invalidate.strobe": self.mmu.invalidate.strobe,
                        "invalidate.payload": self.mmu.invalidate,
                        "invalidate_busy": self.mmu.invalidate_busy}
        for name, stream in streams.items():
            signals |= {f"{name}.{part}": getattr(stream, part)
                        for part in ("valid", "ready", "payload")}
        _, _, *values = await ctx.tick().sample(*signals.values())
        row = {name: plain(value) for name, value in zip(signals, values, strict=True)}
        return row | {f"events.{name}": bit for name, bit in flatten(row.pop("events"))}


def plain(value):
    """Return a sampled value as ints, a struct as a dict of its fields."""
    if isinstance(value, data.Const):
        return {name: plain(value[name]) for name in value.shape().members}
    return getattr(value, "value", value)


def flatten(fields, prefix=""):
    """Yield the dotted name and the value of each leaf of nested dicts."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
