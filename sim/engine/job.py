"""A run of an engine in Python, cycle by cycle: what is offered when, and what answers what.

``harness.cc`` does the same for hardware that is compiled.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import AccessKind
from .answer import ANSWER, NOTHING, REFUSED, Answer, Loss, access_memory
from .base import BUS_ERROR, Run
from .command import COMMAND, THROUGH_PORT, Op
from .due import DueAccess, DueAccesses
from .ports import control_values, invalidate_fields, request_fields, response_fields
from .timed_memory import TimedMemory

__all__ = ["Job", "Pins"]

Fields = dict[str, int]


class Pins(Protocol):
    """The ports of an MMU as a run uses them.

    Inputs stay until they are set anew. Streams into it are numbered: the request ports in their
    order, then that of invalidations. ``ctx`` is what the simulator gives, if there is one.
    """

    @property
    def misses(self) -> Sequence[int]:
        """Of each port, the bit of the event word that says that a lookup has missed."""

    def put_reset(self, ctx: Any, value: int) -> None:
        """Set the reset."""

    def put_control(self, ctx: Any, values: Fields) -> None:
        """Set the registers that govern translation."""

    def withdraw(self, ctx: Any) -> None:
        """Offer nothing to any stream, but what memory responds, and cancel nothing."""

    def offer(self, ctx: Any, stream: int, values: Fields) -> None:
        """Offer a payload of these fields to a stream; the others are 0."""

    def cancel(self, ctx: Any, port: int, tag: int | None) -> None:
        """Cancel what waits at a port, or of that what has ``tag``, until all is withdrawn."""

    def respond(self, ctx: Any, response: Fields | None) -> None:
        """Offer a response of memory, or none."""

    def put_ready(self, ctx: Any, values: Sequence[bool]) -> None:
        """Set for each port whether its answer is taken, and last whether memory accepts."""

    def unpack_answer(self, word: Any) -> Fields:
        """Return the fields of the answer of a port."""

    def unpack_access(self, word: Any) -> Fields:
        """Return the fields of an access to memory."""

    def unpack_events(self, word: int) -> Fields:
        """Return the bits of an event word by name."""


class Job:
    """One run: the command on offer, the answers due, what of it all happens in a cycle.

    In each cycle of the clock ``drive`` sets the inputs, and ``observe`` takes in the outputs. The
    order in ``observe`` is that of ``harness.cc``: the MMU's access to memory, the answers, then
    the acceptance of the command on offer.
    """

    def __init__(
        self,
        config: Config,
        wires: Pins,
        timed: TimedMemory,
        first_cycle: int,
        memory: PhysicalMemory,
        commands: NDArray[np.void],
        *,
        stop_on_fault: bool,
        stop_on_unexpected: bool,
    ) -> None:
        self.wires, self.timed, self.memory = wires, timed, memory
        self.config = config
        self.stop_on_fault, self.stop_on_unexpected = stop_on_fault, stop_on_unexpected
        self.stopped = False
        self.commands: list[Fields] = []
        self.answers: list[Answer] = []
        self.due = DueAccesses(config)
        self.tag: int | None = None  # of the command on offer, if it goes through a port or cancels
        self.fields = request_fields(config), invalidate_fields(config)
        self.answer_fields = response_fields(config)
        self.pulses = config.invalidation == "pulse"
        self.refused = False  # whether the hardware says so of the command on offer
        self.event_words: Counter[int] = Counter()
        self.end = 0  # where the run ends: before the last command, if a fault stops it
        self.row = 0  # the command whose turn it is
        self.started = -1  # the command whose turn has begun,
        self.start = 0  # in this cycle
        self.cycle = 0
        self.first_cycle = first_cycle  # of this run, as ``timed`` counts
        self.progress = 0  # cycle of the last acceptance, answer or wait
        self.accepting, self.taking = True, [True for _ in self.config.ports]
        self.responding = False
        self.extend(commands)

    def extend(self, commands: NDArray[np.void]) -> None:
        """Add commands (N,) to a run that nothing has stopped; their turn comes after the others.
        """
        names = COMMAND.names or ()
        self.commands += [dict(zip(names, row, strict=True)) for row in commands.tolist()]
        self.answers += [NOTHING] * len(commands)
        self.end, self.progress = len(self.commands), self.cycle

    @property
    def done(self) -> bool:
        return self.row >= self.end and not self.due

    @property
    def idle_cycles(self) -> int:
        """The number of cycles without progress up to now."""
        return self.cycle - self.progress

    def drive(self, ctx: Any) -> None:
        """Set the inputs of the cycle that begins."""
        self._surround(ctx)
        if self.started == self.row:
            if self.pulses and self.commands[self.row]["op"] == Op.INVALIDATE:
                self.wires.withdraw(ctx)
            return
        self.wires.put_reset(ctx, 0)
        self.wires.withdraw(ctx)
        if self.row >= self.end or self._must_wait(self.commands[self.row]):
            return
        self.started, self.start, self.refused = self.row, self.cycle, False
        command = self.commands[self.row]
        if command["op"] in THROUGH_PORT:
            self._put_control(ctx, command)
            self.tag = self.due.choose_tag(command["port"], self.row)
            values = {name: command[field] for name, field in self.fields[0].items()}
            self.wires.offer(ctx, command["port"], {"tag": self.tag, **values})
        elif command["op"] == Op.INVALIDATE:
            self._put_control(ctx, command)
            values = {name: command[field] for name, field in self.fields[1].items()}
            self.wires.offer(ctx, len(self.config.ports), values)
        elif command["op"] == Op.RESET:
            self.wires.put_reset(ctx, 1)
        elif command["op"] == Op.CANCEL:
            which, port = command["new"], command["port"]
            self.tag = self.due.tag_of(port, which) if which else None
            if not which or self.tag is not None:
                self.wires.cancel(ctx, port, self.tag)

    def _surround(self, ctx: Any) -> None:
        """Give the memory response that is due, and say what is taken in this cycle."""
        now = self.first_cycle + self.cycle
        response = self.timed.response(now)
        self.responding = response is not None
        self.wires.respond(ctx, response)
        self.accepting, self.taking = self.timed.accepts(now), self.timed.answers_taken(now)
        self.wires.put_ready(ctx, [*self.taking, self.accepting])

    def _must_wait(self, command: dict[str, int]) -> bool:
        """Return whether other ports have to answer before it is the turn of ``command``."""
        if not self.stop_on_fault and command["op"] != Op.DATA:
            return False
        # Some ports accept a request behind one that faults, or answer in another order.
        behind = self.config.order == "tag" or (self.stop_on_fault and (
            self.config.hit_latency == 2 or self.config.has_miss_file))
        own = command["port"] if command["op"] in THROUGH_PORT and not behind else None
        return self.due.elsewhere(own)

    def _put_control(self, ctx: Any, command: dict[str, int]) -> None:
        self.wires.put_control(ctx, control_values(self.config, command))

    def observe(self, events: int, response_ready: int, *outputs: Any) -> None:
        """Take in the outputs of the cycle that ends, in the order of ``wires.outputs``."""
        self.event_words[events] += 1
        now = self.first_cycle + self.cycle
        streams = len(self.config.ports) + 1
        ready, taken = outputs[:streams], outputs[streams:3 * streams]
        *answers, (access_valid, access) = zip(taken[::2], taken[1::2], strict=True)
        if self.responding and response_ready:
            self.timed.taken(now)
        if access_valid and self.accepting:
            self.timed.access(self.memory, self.wires.unpack_access(access), now)
        fresh: list[tuple[int, dict[str, int]]] = []
        for port, (valid, answer) in enumerate(answers):
            # What is not due yet answers the request of this cycle, if there is no hit latency.
            if valid and self.taking[port]:
                response = self.wires.unpack_answer(answer)
                if self.due.answers(port, response["tag"]):
                    self._collect(port, response)
                else:
                    fresh.append((port, response))
        self.refused |= any(outputs[3 * streams:])
        over = None  # the command whose turn ends with this cycle
        if self.started == self.row and self._is_turn_over(self.commands[self.row], ready):
            over = self.commands[self.row]
            self._accept(over)
            self.row += 1
        for port, miss in enumerate(self.wires.misses):
            if events & miss:
                self.due.note_miss(port, self.cycle)
        if over and over["op"] == Op.CANCEL and (not over["new"] or self.tag is not None):
            self._lose(over["port"], Loss.BY_CANCEL, self.tag)
        for port, response in fresh:
            self._collect(port, response)
        if self.stopped and self.row < self.end:  # by what was unexpected: nothing more is begun
            self.end, self.started = self.row, -1
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
            # An operation that comes as a pulse is over when the hardware is not busy any more.
            return bool(ready[-1]) and self.cycle > self.start - (not self.pulses)
        if op == Op.BARRIER:
            return not self.due
        if op == Op.WAIT:
            self.progress = self.cycle
            return self.cycle - self.start + 1 >= command["new"]
        return True

    def _accept(self, command: dict[str, int]) -> None:
        """Note that the turn of ``command`` is over, and do it if it is not for a port."""
        self.progress = self.cycle
        op, answer = command["op"], NOTHING
        if op in THROUGH_PORT:
            assert self.tag is not None
            self.due.add(command["port"], DueAccess(self.row, self.cycle, self.tag))
            return
        if op == Op.INVALIDATE and self.refused:
            answer = REFUSED
        if op in (Op.EXCHANGE, Op.READ):
            answer = access_memory(
                self.memory, command["vaddr"], self.config.mode.entry_bytes,
                new=command["new"] if op == Op.EXCHANGE else None)
        elif op == Op.RESET:
            for port in range(len(self.config.ports)):
                self._lose(port, Loss.BY_RESET)
        self.answers[self.row] = answer._replace(accepted=self.cycle, answered=self.cycle)

    def _lose(self, port: int, how: Loss, tag: int | None = None) -> None:
        """Note that accesses under way, all or those with ``tag``, are lost with this cycle."""
        for one in self.due.lose(port, tag):
            self.answers[one.row] = Answer(
                accepted=one.accepted, answered=self.cycle, lost=how)

    def _collect(self, port: int, response: dict[str, int]) -> None:
        """Note an answer, unless it comes after the end of the run."""
        one = self.due.take(port, response["tag"])
        assert one is not None, f"Answer in cycle {self.cycle} is to no command that waits"
        self.progress = self.cycle
        row = one.row
        if row >= self.end:
            return
        answer = Answer(**{field: response[name] for name, field in self.answer_fields.items()})
        command = self.commands[row]
        if command["op"] == Op.DATA and not answer.fault:
            answer = access_memory(
                self.memory, answer.paddr, command["size"],
                new=command["new"] if command["kind"] == AccessKind.WRITE else None,
                translation=answer, vaddr=command["vaddr"])
        self.answers[row] = answer._replace(
            accepted=one.accepted, answered=self.cycle, hit=int(not one.missed))
        if self.stop_on_fault and answer.fault:
            self.end, self.stopped = row + 1, True
        elif self.stop_on_unexpected and answer.fault and not command["expect_fault"]:
            self.stopped = True

    def run(self) -> Run:
        """Return what the run has brought, when it is done."""
        errors = [(cycle - self.first_cycle, paddr) for cycle, paddr in self.timed.new_errors()]
        totals: Counter[str] = Counter()  # cycles in which each event bit was set
        for word, count in self.event_words.items():
            for name, bit in self.wires.unpack_events(word).items():
                totals[name] += bit * count
        return Run(np.array(self.answers[:self.end], ANSWER), self.cycle, dict(totals),
                   self.stopped, self.stop_on_fault, np.array(errors, BUS_ERROR))
