"""The engine that is a model of the MMU's timing: no hardware, and yet its cycles and events."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.mmu.control import Access
from ...model.mmu.timing.control_view import view_of
from ...model.mmu.timing.cycle import Asked, CycleInputs, MemoryReply, Operation, PortAnswer
from ...model.mmu.timing.event_names import event_names
from ...model.mmu.timing.mmu_model import MmuModel
from ...model.mmu.timing.timed_geometry import TimedGeometry
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import AccessKind, InvalidateOp, Purpose
from .answer import PAGE_RIGHTS
from .base import EngineStalled, Run, check_stops, stall_limit
from .command import FLAGS
from .intake import Intake
from .job import Job
from .memory_model import MemoryModel
from .ports import CONTROL_FIELDS
from .timed_memory import TimedMemory

__all__ = ["TimingEngine", "timed_geometry"]

MASK = (1 << 64) - 1
KINDS, OPERATIONS = tuple(AccessKind), tuple(InvalidateOp)


def timed_geometry(config: Config) -> TimedGeometry:
    """Return what the model of the timing needs of ``config``.

    Raise ``UnknownTiming`` for a configuration that it does not know.
    """
    defaults = Config()
    values, usual = ({field.name: getattr(one, field.name) for field in fields(Config)}
                     for one in (config, defaults))
    return TimedGeometry.of(values, usual)


class TimingEngine:
    """Plays a ``MmuModel`` as ``AmaranthEngine`` drives an ``Mmu``, with the same outcome.

    Parameters
    ----------
    config : Config
        Parameters of the MMU. Raise ``UnknownTiming`` if the timing of one is not modelled.
    latency : int or MemoryModel
        Cycles that page-table memory takes, or all that there is to say of its behaviour.
    """

    def __init__(self, config: Config, latency: int | MemoryModel = 1) -> None:
        self.config = config
        self._geometry = timed_geometry(config)
        self.memory_model = MemoryModel.of(latency)
        self._intake = Intake(config)
        self._power_up()

    def _power_up(self) -> None:
        self._pins = ModelPins(self._geometry)
        self._timed = TimedMemory(
            self.memory_model, self.config.mode.entry_bytes, len(self.config.ports),
            plain_writes=self.config.ad == "write")
        self._cycle = 0  # cycles of all runs so far

    def run(
        self,
        memory: PhysicalMemory,
        commands: NDArray[np.void],
        *,
        stop_on_fault: bool = False,
        stop_on_unexpected: bool = False,
    ) -> Run:
        """Carry out ``commands``; see ``Engine.run``."""
        check_stops(stop_on_fault, stop_on_unexpected)
        commands = self._intake.take(commands)
        job = Job(
            self.config, self._pins, self._timed, self._cycle, memory, commands,
            stop_on_fault=stop_on_fault, stop_on_unexpected=stop_on_unexpected)
        limit = stall_limit(self.config, self.memory_model)
        self._pins.rest()
        while not job.done:
            job.drive(None)
            job.observe(*self._pins.play())
            if job.idle_cycles > limit:
                self._power_up()
                raise EngineStalled(f"No progress for {limit} cycles, "
                                    f"at command {job.row} of {len(commands)}")
        run = job.run()
        self._cycle += job.cycle
        self._intake.keep(commands, run.done)
        return run


class ModelPins:
    """The ports of a ``MmuModel``, as ``Pins`` has them; payloads are tuples."""

    def __init__(self, geometry: TimedGeometry) -> None:
        self._geometry = geometry
        self._model = MmuModel(geometry)
        count = len(geometry.ports)
        registers = dict.fromkeys(CONTROL_FIELDS, 0)
        self._inputs = CycleInputs(
            view_of(geometry.mode, geometry.physical_bits, registers), [None] * count,
            [True] * count)
        self._names = event_names(geometry)
        names, mode = PortAnswer._fields, geometry.mode
        absent = set() if geometry.rights else set(PAGE_RIGHTS)
        absent |= set() if mode.has_execute_disable else {"execute_disable"}
        absent |= set() if mode.has_protection_keys else {"key"}
        self._answer_fields = {name: place for place, name in enumerate(names)
                               if name not in absent}
        self.misses: list[int] = [1 << self._names.index(f"{port}_miss")
                                  for port in geometry.ports]

    def play(self) -> tuple[Any, ...]:
        """Play a cycle; return events and outputs, in the order of ``Wires.outputs``."""
        outputs = self._model.cycle(self._inputs)
        streams: list[Any] = []
        for payload in (*outputs.answers, outputs.access):
            streams += payload is not None, payload
        refused = [outputs.refused] if self._geometry.checks else []
        return outputs.events, 1, *outputs.ready, outputs.operation_ready, *streams, *refused

    def rest(self) -> None:
        """Let a cycle pass in which nothing is offered, as the hardware does before each run."""
        self.put_reset(None, 0)
        self.withdraw(None)
        self.respond(None, None)
        takes = [True for _ in self._geometry.ports]
        self.put_ready(None, [*takes, False])  # a walk may outlast the run that began it
        self.play()

    def put_reset(self, _ctx: Any, value: int) -> None:
        self._inputs.reset = bool(value)

    def put_control(self, _ctx: Any, values: dict[str, int]) -> None:
        geometry = self._geometry
        self._inputs.view = view_of(geometry.mode, geometry.physical_bits, values)

    def withdraw(self, _ctx: Any) -> None:
        self._inputs.operation = None
        self._inputs.cancels.clear()
        self._inputs.requests = [None] * len(self._geometry.ports)

    def offer(self, _ctx: Any, stream: int, values: dict[str, int]) -> None:
        if stream == len(self._geometry.ports):
            names = ("vaddr", "pcid", "old", "new")
            operation = Operation(OPERATIONS[values["op"]], *(values[name] for name in names))
            if self._geometry.checks:
                operation = operation._replace(
                    kind=values["type"] << 2 | operation.op & 3,
                    descriptor=values["reserved"] << 12 & MASK | operation.pcid)
            self._inputs.operation = operation
            return
        access = Access(values["vaddr"], KINDS[values["kind"]],
                        *(bool(values[name]) for name in FLAGS),
                        purpose=Purpose(values.get("purpose", Purpose.ACCESS)))
        tag = values["tag"] & (1 << self._geometry.tag_bits) - 1
        self._inputs.requests[stream] = Asked(self._inputs.view, access, tag)

    def cancel(self, _ctx: Any, port: int, tag: int | None) -> None:
        self._inputs.cancels[port] = tag,

    def respond(self, _ctx: Any, response: dict[str, int] | None) -> None:
        self._inputs.reply = None if response is None else MemoryReply(**response)

    def put_ready(self, _ctx: Any, values: Sequence[bool]) -> None:
        *self._inputs.takes, self._inputs.memory_takes = values

    def unpack_answer(self, word: Any) -> dict[str, int]:
        return {name: word[place] for name, place in self._answer_fields.items()}

    def unpack_access(self, word: Any) -> dict[str, int]:
        fields_of: dict[str, int] = word._asdict()
        return fields_of

    def unpack_events(self, word: int) -> dict[str, int]:
        return {name: word >> number & 1 for number, name in enumerate(self._names)}
