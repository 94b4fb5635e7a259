"""The engine that runs the MMU in Amaranth's own simulator; needs no compiler."""

from collections import Counter, deque
from typing import Any

import numpy as np
from amaranth.sim import Simulator
from numpy.typing import NDArray

from ...hdl.config import Config
from ...hdl.flat import flat_fields
from ...hdl.mmu import Mmu
from ...hdl.shapes import MemoryOp
from ...model.physical.memory import BusError, PhysicalMemory
from ...model.x86 import AccessKind
from .answer import ANSWER, NOTHING, Answer, access_memory
from .base import EngineStalled, Run, stall_limit
from .command import COMMAND, THROUGH_PORT, Op, check_sizes
from .ports import INVALIDATE_FIELDS, REQUEST_FIELDS, RESPONSE_FIELDS, control_values

__all__ = ["AmaranthEngine"]


class AmaranthEngine:
    """Drives an ``Mmu`` cycle by cycle, at a few thousand cycles per second.

    It drives as ``harness.cc`` does, cycle for cycle: commands are offered one at a time in order,
    answers are taken at once, memory takes an access per cycle, does it at once and responds
    ``latency`` cycles later.

    Parameters
    ----------
    config : Config
        Parameters of the MMU.
    latency : int
        Cycles that page-table memory takes, at least 1.
    """

    def __init__(self, config: Config, latency: int = 1) -> None:
        self.config = config
        self.latency = latency
        self._wires = _Wires(Mmu(config))
        self._job: _Job | None = None
        self._simulator: Simulator | None = None  # made by the first run

    def run(
        self, memory: PhysicalMemory, commands: NDArray[np.void], *, stop_on_fault: bool = False
    ) -> Run:
        """Carry out ``commands``; see ``Engine.run``."""
        check_sizes(commands)
        if self._simulator is None:
            self._simulator = Simulator(self._wires.mmu)
            self._simulator.add_clock(1e-6)
            self._simulator.add_process(self._drive)
        self._job = job = _Job(
            self._wires, memory, commands, self.latency, stop_on_fault=stop_on_fault)
        while not job.done:
            self._simulator.advance()
            if job.stalled:
                # Requests that still wait must not meet the next run's.
                self._wires, self._simulator = _Wires(Mmu(self.config)), None
                raise EngineStalled(f"No progress for {stall_limit(self.latency)} cycles, "
                                    f"at command {job.row} of {len(commands)}")
        answers = np.array(job.answers[:job.end], ANSWER)
        return Run(answers, job.cycle, job.events(), job.stopped)

    async def _drive(self, ctx: Any) -> None:
        # A process, not a testbench: the inputs of a cycle follow from earlier cycles alone, and a
        # process lets the simulator settle once a cycle instead of after every input.
        for stream in self._wires.taken:
            ctx.set(stream.ready, 1)
        driven: _Job | None = None
        async for _, _, *outputs in ctx.tick().sample(*self._wires.outputs):
            if driven is not None:
                driven.observe(*outputs)
            driven = self._job if self._job is not None and not self._job.done else None
            if driven is not None:
                driven.drive(ctx)
            else:
                self._wires.rest(ctx)


class _Record:
    """Packs the fields of a layout into one number, and back; quick enough for every cycle."""

    def __init__(self, layout: Any) -> None:
        self.fields = {name: (low, (1 << width) - 1) for name, low, width in flat_fields(layout)}

    def pack(self, values: dict[str, int]) -> int:
        return sum((value & self.fields[name][1]) << self.fields[name][0]
                   for name, value in values.items())

    def unpack(self, word: int) -> dict[str, int]:
        return {name: word >> low & mask for name, (low, mask) in self.fields.items()}


class _Wires:
    """The ports of an MMU as signals, and their payloads as records."""

    def __init__(self, mmu: Mmu) -> None:
        self.mmu = mmu
        ports = [getattr(mmu, name) for name in mmu.config.ports]
        self.offered = [*(_Offer(port.req) for port in ports), _Offer(mmu.invalidate)]
        self.taken = [*(port.rsp for port in ports), mmu.memory.req]
        self.response = _Offer(mmu.memory.rsp)
        # Sampled as they are: the simulator is slow to put a value together.
        self.outputs = (
            mmu.events.as_value(),
            *(offer.ready for offer in self.offered),
            *(part for stream in self.taken for part in (stream.valid, stream.payload.as_value())),
        )
        self.control = _Record(mmu.control.shape())
        self.control_signal = mmu.control.as_value()
        self.answer = _Record(ports[0].rsp.payload.shape())
        self.access = _Record(mmu.memory.req.payload.shape())
        self.events = _Record(mmu.events.shape())

    def rest(self, ctx: Any) -> None:
        """Offer nothing."""
        for offer in (*self.offered, self.response):
            offer.withdraw(ctx)


class _Offer:
    """A stream into the MMU, whose inputs are only set when they change: setting costs time."""

    def __init__(self, stream: Any) -> None:
        self.valid, self.ready = stream.valid, stream.ready
        self.payload = stream.payload.as_value()
        self.record = _Record(stream.payload.shape())
        self.is_valid = False

    def offer(self, ctx: Any, values: dict[str, int]) -> None:
        ctx.set(self.payload, self.record.pack(values))
        if not self.is_valid:
            ctx.set(self.valid, 1)
            self.is_valid = True

    def withdraw(self, ctx: Any) -> None:
        if self.is_valid:
            ctx.set(self.valid, 0)
            self.is_valid = False


class _Job:
    """One run: the command on offer, the answers due, the memory responses under way.

    In each cycle of the clock ``drive`` sets the inputs, and ``observe`` takes in the outputs. The
    order in ``observe`` is that of ``harness.cc``: the MMU's access to memory, the answers, then
    the acceptance of the command on offer.
    """

    def __init__(
        self,
        wires: _Wires,
        memory: PhysicalMemory,
        commands: NDArray[np.void],
        latency: int,
        *,
        stop_on_fault: bool,
    ) -> None:
        self.wires = wires
        self.config: Config = wires.mmu.config
        self.memory = memory
        self.latency = latency
        self.stop_on_fault = stop_on_fault
        self.stopped = False
        names = COMMAND.names or ()
        self.commands = [dict(zip(names, row, strict=True)) for row in commands.tolist()]
        self.answers = [NOTHING] * len(commands)
        # By port, the command and the cycle in which it was accepted.
        self.due: list[deque[tuple[int, int]]] = [deque() for _ in self.config.ports]
        self.responses: deque[tuple[int, dict[str, int]]] = deque()
        self.event_words: Counter[int] = Counter()
        self.end = len(commands)  # where the run ends: after a fault, if that stops it
        self.row = 0  # the command whose turn it is
        self.started = -1  # the command whose turn has begun,
        self.start = 0  # in this cycle
        self.cycle = 0
        self.progress = 0  # cycle of the last acceptance, answer, memory access or wait

    @property
    def done(self) -> bool:
        return self.row >= self.end and not any(self.due)

    @property
    def stalled(self) -> bool:
        return self.cycle - self.progress > stall_limit(self.latency)

    def drive(self, ctx: Any) -> None:
        """Set the inputs of the cycle that begins."""
        if self.responses and self.responses[0][0] == self.cycle:
            self.wires.response.offer(ctx, self.responses.popleft()[1])
        else:
            self.wires.response.withdraw(ctx)
        if self.started == self.row:
            return
        for offer in self.wires.offered:
            offer.withdraw(ctx)
        if self.row >= self.end or self._must_wait(self.commands[self.row]):
            return
        self.started, self.start = self.row, self.cycle
        command = self.commands[self.row]
        if command["op"] in THROUGH_PORT:
            self._put_control(ctx, command)
            values = {"tag": self.row, **{name: command[name] for name in REQUEST_FIELDS}}
            self.wires.offered[command["port"]].offer(ctx, values)
        elif command["op"] == Op.INVALIDATE:
            self._put_control(ctx, command)
            values = {name: command[field] for name, field in INVALIDATE_FIELDS.items()}
            self.wires.offered[-1].offer(ctx, values)

    def _must_wait(self, command: dict[str, int]) -> bool:
        """Return whether other ports have to answer before it is the turn of ``command``."""
        if not self.stop_on_fault and command["op"] != Op.DATA:
            return False
        own = command["port"] if command["op"] in THROUGH_PORT else None
        return any(due for port, due in enumerate(self.due) if port != own)

    def _put_control(self, ctx: Any, command: dict[str, int]) -> None:
        control = control_values(self.config, command)
        ctx.set(self.wires.control_signal, self.wires.control.pack(control))

    def observe(self, events: int, *outputs: int) -> None:
        """Take in the outputs of the cycle that ends, in the order of ``wires.outputs``."""
        self.event_words[events] += 1
        ready, taken = outputs[:len(self.due) + 1], outputs[len(self.due) + 1:]
        *answers, (access_valid, access) = zip(taken[::2], taken[1::2], strict=True)
        if access_valid:
            self._serve(self.wires.access.unpack(access))
        for due, (valid, answer) in zip(self.due, answers, strict=True):
            if valid:
                self._collect(*due.popleft(), self.wires.answer.unpack(answer))
        if self.started == self.row and self._is_turn_over(self.commands[self.row], ready):
            self._accept(self.commands[self.row])
            self.row += 1
        self.cycle += 1

    def _is_turn_over(self, command: dict[str, int], ready: tuple[int, ...]) -> bool:
        """Return whether the turn of ``command`` ends with this cycle.

        ``ready`` says of each request port, and last of the invalidation port, whether it takes
        what is offered.
        """
        op = command["op"]
        if op in THROUGH_PORT:
            return bool(ready[command["port"]])
        if op == Op.INVALIDATE:
            return bool(ready[-1])
        if op == Op.WAIT:
            self.progress = self.cycle
            return self.cycle - self.start + 1 >= command["new"]
        return True

    def _accept(self, command: dict[str, int]) -> None:
        """Note that the turn of ``command`` is over, and do it if it is another processor's."""
        self.progress = self.cycle
        op, answer = command["op"], NOTHING
        if op in THROUGH_PORT:
            self.due[command["port"]].append((self.row, self.cycle))
            return
        if op in (Op.EXCHANGE, Op.READ):
            answer = access_memory(
                self.memory, command["vaddr"], self.config.mode.entry_bytes,
                new=command["new"] if op == Op.EXCHANGE else None)
        self.answers[self.row] = answer._replace(accepted=self.cycle, answered=self.cycle)

    def _collect(self, row: int, accepted: int, response: dict[str, int]) -> None:
        """Note the answer to command ``row``, unless it comes after the end of the run.

        ``accepted`` is the cycle in which the command was accepted.
        """
        assert response["tag"] == row & (1 << self.config.tag_bits) - 1
        self.progress = self.cycle
        if row >= self.end:
            return
        answer = Answer(**{field: response[name] for name, field in RESPONSE_FIELDS.items()})
        command = self.commands[row]
        if command["op"] == Op.DATA and not answer.fault:
            answer = access_memory(
                self.memory, answer.paddr, command["size"],
                new=command["new"] if command["kind"] == AccessKind.WRITE else None,
                translation=answer, vaddr=command["vaddr"])
        self.answers[row] = answer._replace(accepted=accepted, answered=self.cycle)
        if self.stop_on_fault and answer.fault:
            self.end, self.stopped = row + 1, True

    def _serve(self, access: dict[str, int]) -> None:
        """Do a page-table access, and keep the response until it is due."""
        self.progress = self.cycle
        size, address = self.config.mode.entry_bytes, access["address"]
        response = {"tag": access["tag"]}
        try:
            if MemoryOp(access["op"]) == MemoryOp.READ:
                response["data"] = self.memory.read(address, size)
            else:
                response["data"] = self.memory.compare_exchange(
                    address, size, access["expected"], access["desired"])
                response["exchanged"] = int(response["data"] == access["expected"])
        except BusError:
            response["error"] = 1
        self.responses.append((self.cycle + self.latency, response))

    def events(self) -> dict[str, int]:
        """Return the number of cycles in which each event bit was set."""
        totals: Counter[str] = Counter()
        for word, count in self.event_words.items():
            for name, bit in self.wires.events.unpack(word).items():
                totals[name] += bit * count
        return dict(totals)
