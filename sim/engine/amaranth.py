"""The engine that runs the MMU in Amaranth's own simulator; needs no compiler."""

from collections import Counter, deque
from typing import Any

import numpy as np
from amaranth.sim import Simulator
from numpy.typing import NDArray

from ...hdl.config import Config
from ...hdl.flat import flat_fields
from ...hdl.mmu import Mmu
from ...hdl.shapes import MemoryOp, events_layout
from ...model.physical.memory import BusError, PhysicalMemory
from .base import ANSWER, COMMAND, OP_ACCESS, EngineStalled, Run, stall_limit
from .ports import INVALIDATE_FIELDS, REQUEST_FIELDS, RESPONSE_FIELDS, control_values

__all__ = ["AmaranthEngine"]


class AmaranthEngine:
    """Drives an ``Mmu`` cycle by cycle, at a few thousand cycles per second.

    The drive is the one of ``harness.cc``, cycle for cycle: commands are offered one at a time in
    order, answers are taken at once, memory takes an access per cycle, does it at once and
    responds ``latency`` cycles later.
    """

    def __init__(self, config: Config, latency: int = 1) -> None:
        self.config = config
        self.latency = latency
        self._mmu = Mmu(config)
        self._job: _Job | None = None
        self._simulator = Simulator(self._mmu)
        self._simulator.add_clock(1e-6)
        self._simulator.add_testbench(self._drive)

    def run(self, memory: PhysicalMemory, commands: NDArray[np.void]) -> Run:
        """Carry out ``commands``; see ``Engine.run``."""
        self._job = job = _Job(self._mmu, memory, commands, self.latency)
        while not job.done:
            self._simulator.advance()
        self._job = None
        return Run(job.answers, job.cycle, job.events())

    async def _drive(self, ctx: Any) -> None:
        while True:
            if self._job is not None and not self._job.done:
                self._job.step(ctx)
            await ctx.tick()


class _Job:
    """One run: the command on offer, the answers due, the memory responses under way."""

    def __init__(
        self, mmu: Mmu, memory: PhysicalMemory, commands: NDArray[np.void], latency: int
    ) -> None:
        self.mmu = mmu
        self.memory = memory
        self.commands = commands
        self.latency = latency
        self.answers = np.zeros(len(commands), ANSWER)
        self.ports = [getattr(mmu, name) for name in mmu.config.ports]
        self.due: list[deque[int]] = [deque() for _ in self.ports]
        self.responses: deque[tuple[int, dict[str, int]]] = deque()
        self.event_words: Counter[int] = Counter()
        self.row = 0
        self.offer: Any = None  # the stream that offers command ``row``
        self.cycle = 0
        self.progress = 0  # cycle of the last answer, acceptance or memory access

    @property
    def done(self) -> bool:
        return self.row == len(self.commands) and not any(self.due)

    def step(self, ctx: Any) -> None:
        """Play one cycle: set all inputs, then look at the outputs they lead to."""
        self._respond(ctx)
        if self.offer is None:
            self._offer(ctx)
        accepted = self.offer is not None and ctx.get(self.offer.ready)
        self._serve(ctx)
        self._collect(ctx)
        self.event_words[ctx.get(self.mmu.events.as_value())] += 1
        if accepted:
            self._accept()
        if self.cycle - self.progress > stall_limit(self.latency):
            raise EngineStalled(f"No progress since cycle {self.progress}, at command {self.row}")
        self.cycle += 1

    def _offer(self, ctx: Any) -> None:
        """Offer the next command on its port, if there is one."""
        for stream in (*(port.req for port in self.ports), self.mmu.invalidate):
            ctx.set(stream.valid, 0)
        if self.row == len(self.commands):
            return
        command = dict(zip(COMMAND.names or (), self.commands[self.row].item(), strict=True))
        ctx.set(self.mmu.control, control_values(self.mmu.config, command))
        if command["op"] == OP_ACCESS:
            self.offer = self.ports[command["port"]].req
            tag = self.row & (1 << self.mmu.config.tag_bits) - 1
            payload = {"tag": tag, **{name: command[name] for name in REQUEST_FIELDS}}
        else:
            self.offer = self.mmu.invalidate
            payload = {name: command[field] for name, field in INVALIDATE_FIELDS.items()}
        ctx.set(self.offer.payload, payload)
        ctx.set(self.offer.valid, 1)

    def _accept(self) -> None:
        """Note that the command on offer was accepted in this cycle."""
        answer = self.answers[self.row]
        answer["accepted"] = self.progress = self.cycle
        if self.commands[self.row]["op"] == OP_ACCESS:
            self.due[self.commands[self.row]["port"]].append(self.row)
        else:
            answer["answered"] = self.cycle
        self.row += 1
        self.offer = None

    def _collect(self, ctx: Any) -> None:
        """Take the answers given in this cycle."""
        for port, due in zip(self.ports, self.due, strict=True):
            ctx.set(port.rsp.ready, 1)
            if not ctx.get(port.rsp.valid):
                continue
            response = ctx.get(port.rsp.payload)
            row = due.popleft()
            assert response.tag == row & (1 << self.mmu.config.tag_bits) - 1
            answer = self.answers[row]
            answer["answered"] = self.progress = self.cycle
            for name, field in RESPONSE_FIELDS.items():
                answer[field] = response[name]

    def _respond(self, ctx: Any) -> None:
        """Give the memory response that is due in this cycle."""
        rsp = self.mmu.memory.rsp
        due = bool(self.responses) and self.responses[0][0] == self.cycle
        ctx.set(rsp.valid, due)
        if due:
            ctx.set(rsp.payload, self.responses.popleft()[1])

    def _serve(self, ctx: Any) -> None:
        """Do the page-table access offered in this cycle."""
        ctx.set(self.mmu.memory.req.ready, 1)
        if not ctx.get(self.mmu.memory.req.valid):
            return
        self.progress = self.cycle
        access = ctx.get(self.mmu.memory.req.payload)
        size = self.mmu.config.mode.entry_bytes
        response = {"tag": access.tag}
        try:
            if access.op == MemoryOp.READ:
                response["data"] = self.memory.read(access.address, size)
            else:
                response["data"] = self.memory.compare_exchange(
                    access.address, size, access.expected, access.desired)
                response["exchanged"] = int(response["data"] == access.expected)
        except BusError:
            response["error"] = 1
        self.responses.append((self.cycle + self.latency, response))

    def events(self) -> dict[str, int]:
        """Return the cycles in which each event bit was set."""
        return {
            name: sum(count for word, count in self.event_words.items() if word >> bit & 1)
            for name, bit, _ in flat_fields(events_layout(self.mmu.config))
        }
