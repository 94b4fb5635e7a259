"""The MMU in Amaranth's simulator, a cycle at a time, with requests that may come at any time."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TextIO

import numpy as np
from amaranth import Value
from amaranth.sim import Simulator

from ...hdl.config import Config
from ...hdl.mmu import Mmu
from ...hdl.shapes import MemoryOp
from ...model.physical.memory import PhysicalMemory
from ..engine.answer import Answer
from ..engine.base import stall_limit
from ..engine.command import COMMAND, Op
from ..engine.job import Job
from ..engine.memory_model import MemoryModel
from ..engine.timed_memory import TimedMemory
from ..engine.waveform import recorded, telling_failures
from ..engine.wires import Wires
from .component_tree import ComponentTree
from .held_entries import HeldEntries, HeldPage, HeldTable
from .step_requests import StepRequest
from .walk_state import TableAccess, WalkState, WalkStates

__all__ = ["CycleState", "PortState", "StepSession"]

LONG = 1e6  # seconds of simulated time, in which there are more cycles than anybody waits for

QUIET_EVENTS = ("stall",)
"""Events that say that nothing happens: each cycle of waiting has them."""


@dataclass(frozen=True, slots=True)
class PortState:
    """What is at a request port in a cycle.

    ``offered`` is the row of the request on offer, ``accepted`` whether it is taken; ``waiting``
    are the rows of those that wait for an answer, the oldest first. ``answer`` has the fields of a
    response that is offered, and ``taken`` says whether it is taken.
    """

    name: str
    offered: int | None
    accepted: bool
    waiting: tuple[int, ...]
    answer: dict[str, int] | None
    taken: bool


@dataclass(frozen=True, slots=True)
class CycleState:
    """Everything that is shown of a cycle.

    ``events`` are the names of the bits that are set, as in the MMU's ``events``. ``access`` is
    the access to page tables that is offered, ``accessed`` whether memory takes it, ``response``
    the data of a response, None without one. ``invalidating`` is the row of an operation on offer
    or under way, ``pending`` whether it has to wait. ``l2`` is None where there is no second level.
    """

    cycle: int
    ports: tuple[PortState, ...]
    invalidating: int | None
    pending: bool
    events: tuple[str, ...]
    access: TableAccess | None
    accessed: bool
    response: int | None
    tlbs: dict[str, list[HeldPage]]
    l2: list[HeldPage] | None
    tables: list[HeldTable]
    walks: list[WalkState]


class StepSession:
    """An MMU on which requests are carried out, as by an engine, and that stops in each cycle.

    The first step begins cycle 0. A request that is added is offered from the next cycle on, when
    those before it have had their turn. Cycles are counted as an engine counts those of one run of
    all requests, as long as none is added late.

    Parameters
    ----------
    config : Config
        Parameters of the MMU.
    memory : PhysicalMemory
        The page tables, which get accessed and dirty flags.
    latency : int or MemoryModel
        Cycles that page-table memory takes, or its behaviour.
    """

    def __init__(self, config: Config, memory: PhysicalMemory,
                 latency: int | MemoryModel = 1) -> None:
        self.config, self.memory = config, memory
        model = MemoryModel.of(latency)
        self.longest_wait = stall_limit(config, model)
        self.texts: list[str] = []  # of the requests so far, by row
        self._wires = Wires(Mmu(config))
        timed = TimedMemory(model, config.mode.entry_bytes, len(config.ports),
                            plain_writes=config.ad == "write")
        self._job = Job(config, self._wires, timed, 0, memory, np.zeros(0, COMMAND),
                        stop_on_fault=False, stop_on_unexpected=False)
        top = ComponentTree.of(self._wires.top)
        self._held = HeldEntries(config, top.inner("mmu"))
        self._walks = WalkStates(config, top.inner("mmu"))
        self._context: Any = None  # by which the simulator is asked for values
        self._edges = 0  # of the clock
        self._fragment = top.fragment

    @cached_property
    def _simulator(self) -> Simulator:
        """What simulates; it warns if it is made and never runs."""
        simulator = Simulator(self._fragment)
        simulator.add_clock(1e-6)
        simulator.add_process(self._drive)
        simulator.add_testbench(self._wait, background=True)
        return simulator

    def write_vcd(self, file: TextIO) -> AbstractContextManager[None]:
        """Write waveforms to ``file`` in the block, as ``recorded`` does; before the first cycle.
        """
        return recorded(self._simulator, file)

    def add(self, request: StepRequest) -> None:
        """Have a request carried out after those that there are."""
        self.texts.append(request.text)
        self._job.extend(request.commands)

    async def _drive(self, ctx: Any) -> None:
        async for _, _, *outputs in ctx.tick().sample(*self._wires.outputs):
            if self._edges:
                self._job.observe(*outputs)
            self._job.drive(ctx)
            self._edges += 1

    async def _wait(self, ctx: Any) -> None:
        self._context = ctx  # which gives values as long as this has not returned
        await ctx.delay(LONG)

    @property
    def cycle(self) -> int:
        """The number of the present cycle, -1 before the first step."""
        return self._edges - 1

    @property
    def done(self) -> bool:
        """Whether all requests are done and answered."""
        return self._job.done

    @property
    def stalled(self) -> bool:
        """Whether there was no progress for so long that there will be none."""
        return not self.done and self._job.idle_cycles > self.longest_wait

    @property
    def answers(self) -> list[Answer | None]:
        """The answer to each request, None to one that had none by the end of the cycle before.
        """
        waiting = {row for port in range(len(self.config.ports))
                   for row in self._job.due.waiting(port)}
        return [None if row >= self._job.row or row in waiting else answer
                for row, answer in enumerate(self._job.answers)]

    def step(self) -> None:
        """Go on to the next cycle; raise ``WaveformFailed`` as ``write_vcd`` says."""
        if self._edges:
            self._note_memory()
        wanted = self._edges + 1
        while self._edges < wanted:
            with telling_failures():
                self._simulator.advance()

    def step_to_event(self, wanted: str | None = None) -> bool:
        """Go on to the next cycle in which an event happens; return whether there was one.

        It is the event called ``wanted``, or else any but a stall, or an answer. Where nothing
        happens any more, it ends when all is done, or after as many cycles as nothing may take.
        """
        for _ in range(self.longest_wait):
            self.step()
            if self._tells() if wanted is None else wanted in self.events:
                return True
        return False

    def _tells(self) -> bool:
        return any(not name.endswith(QUIET_EVENTS) for name in self.events) or any(
            self._get(stream.valid) for stream in self._wires.taken[:-1])

    @property
    def event_names(self) -> tuple[str, ...]:
        """The names of all events of the hardware."""
        return tuple(self._wires.unpack_events(0))

    @property
    def events(self) -> tuple[str, ...]:
        """The names of the events of the present cycle."""
        word = self._get(self._wires.mmu.events.as_value())
        return tuple(name for name, bit in self._wires.unpack_events(word).items() if bit)

    def state(self) -> CycleState:
        """Return what there is in the present cycle; there must have been a step."""
        memory, job = self._wires.mmu.memory, self._job
        on_offer = job.commands[job.row] if job.started == job.row < job.end else None
        invalidates = on_offer is not None and on_offer["op"] == Op.INVALIDATE
        return CycleState(
            self.cycle,
            tuple(self._port(number) for number in range(len(self.config.ports))),
            job.row if invalidates else None,
            invalidates and self._pending(),
            self.events,
            self._access() if self._get(memory.req.valid) else None,
            bool(self._get(memory.req.valid) and self._get(memory.req.ready)),
            self._get(memory.rsp.payload.data) if self._get(memory.rsp.valid) else None,
            {port: self._held.pages(port, self._get) for port in self.config.ports},
            self._held.l2_pages(self._get) if self.config.l2_entries else None,
            self._held.tables(self._get),
            self._walks.read(self._get))

    def _port(self, number: int) -> PortState:
        name = self.config.ports[number]
        port = getattr(self._wires.mmu, name)
        offers, answers = self._get(port.req.valid), self._get(port.rsp.valid)
        answer = self._get(port.rsp.payload.as_value())
        return PortState(
            name, self._job.row if offers else None,
            bool(offers and self._get(port.req.ready)), self._job.due.waiting(number),
            self._wires.unpack_answer(answer) if answers else None,
            bool(answers and self._get(port.rsp.ready)))

    def _pending(self) -> bool:
        mmu = self._wires.mmu
        if self.config.invalidation == "pulse":
            return bool(self._get(mmu.invalidate_busy))
        return not self._get(mmu.invalidate.ready)

    def _access(self) -> TableAccess:
        request = self._wires.mmu.memory.req.payload
        return TableAccess(MemoryOp(self._get(request.op)), self._get(request.address))

    def _note_memory(self) -> None:
        """Note what page-table memory takes and gives in the present cycle."""
        memory = self._wires.mmu.memory
        if self._get(memory.rsp.valid) and self._get(memory.rsp.ready):
            self._walks.note_response(self._get(memory.rsp.payload.tag))
        if self._get(memory.req.valid) and self._get(memory.req.ready):
            self._walks.note_access(self._get(memory.req.payload.tag), self._access())

    def _get(self, signal: Any) -> int:
        value: int = self._context.get(Value.cast(signal))
        return value
