"""A run of an engine in Python, cycle by cycle: what is offered when, and what answers what.

``harness.cc`` does the same for hardware that is compiled.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import AccessKind
from .answer import ANSWER, NOTHING, Answer, access_memory
from .base import BUS_ERROR, Run
from .command import COMMAND, THROUGH_PORT, Op
from .ports import INVALIDATE_FIELDS, REQUEST_FIELDS, RESPONSE_FIELDS, control_values
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
        """Offer nothing to any stream, but what memory responds."""

    def offer(self, ctx: Any, stream: int, values: Fields) -> None:
        """Offer a payload of these fields to a stream; the others are 0."""

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


@dataclass(eq=False, slots=True)
class _Due:
    """An access that waits for its answer: its command, when it was accepted, with which tag."""

    row: int
    accepted: int
    tag: int
    missed: bool = False  # whether its lookup found nothing


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
        names = COMMAND.names or ()
        self.commands = [dict(zip(names, row, strict=True)) for row in commands.tolist()]
        self.answers = [NOTHING] * len(commands)
        self.due: list[deque[_Due]] = [deque() for _ in self.config.ports]
        self.tag = 0  # of the command on offer, if it goes through a port
        self.last_tags = [0 for _ in self.config.ports]
        self.event_words: Counter[int] = Counter()
        self.end = len(commands)  # where the run ends: earlier, if a fault stops it
        self.row = 0  # the command whose turn it is
        self.started = -1  # the command whose turn has begun,
        self.start = 0  # in this cycle
        self.cycle = 0
        self.first_cycle = first_cycle  # of this run, as ``timed`` counts
        self.progress = 0  # cycle of the last acceptance, answer or wait
        self.accepting, self.taking = True, [True for _ in self.config.ports]
        self.responding = False

    @property
    def done(self) -> bool:
        return self.row >= self.end and not any(self.due)

    @property
    def idle_cycles(self) -> int:
        """The number of cycles without progress up to now."""
        return self.cycle - self.progress

    def drive(self, ctx: Any) -> None:
        """Set the inputs of the cycle that begins."""
        self._surround(ctx)
        if self.started == self.row:
            return
        self.wires.put_reset(ctx, 0)
        self.wires.withdraw(ctx)
        if self.row >= self.end or self._must_wait(self.commands[self.row]):
            return
        self.started, self.start = self.row, self.cycle
        command = self.commands[self.row]
        if command["op"] in THROUGH_PORT:
            self._put_control(ctx, command)
            self.tag = self._choose_tag(command["port"])
            values = {"tag": self.tag, **{name: command[name] for name in REQUEST_FIELDS}}
            self.wires.offer(ctx, command["port"], values)
        elif command["op"] == Op.INVALIDATE:
            self._put_control(ctx, command)
            values = {name: command[field] for name, field in INVALIDATE_FIELDS.items()}
            self.wires.offer(ctx, len(self.due), values)
        elif command["op"] == Op.RESET:
            self.wires.put_reset(ctx, 1)

    def _choose_tag(self, port: int) -> int:
        """Return the tag of a request: of those that wait for an answer none has the same."""
        mask = (1 << self.config.tag_bits) - 1
        if self.config.order == "request":
            return self.row & mask
        taken = {one.tag for one in self.due[port]}
        tag = self.last_tags[port] + 1 & mask
        while tag in taken:
            tag = tag + 1 & mask
        self.last_tags[port] = tag
        return tag

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
        return any(due for port, due in enumerate(self.due) if port != own)

    def _put_control(self, ctx: Any, command: dict[str, int]) -> None:
        self.wires.put_control(ctx, control_values(self.config, command))

    def observe(self, events: int, response_ready: int, *outputs: Any) -> None:
        """Take in the outputs of the cycle that ends, in the order of ``wires.outputs``."""
        self.event_words[events] += 1
        now = self.first_cycle + self.cycle
        ready, taken = outputs[:len(self.due) + 1], outputs[len(self.due) + 1:]
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
                if self._is_due(port, response):
                    self._collect(port, response)
                else:
                    fresh.append((port, response))
        if self.started == self.row and self._is_turn_over(self.commands[self.row], ready):
            self._accept(self.commands[self.row])
            self.row += 1
        self._note_misses(events)
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
            return bool(ready[-1])
        if op == Op.BARRIER:
            return not any(self.due)
        if op == Op.WAIT:
            self.progress = self.cycle
            return self.cycle - self.start + 1 >= command["new"]
        return True

    def _accept(self, command: dict[str, int]) -> None:
        """Note that the turn of ``command`` is over, and do it if it is not for a port."""
        self.progress = self.cycle
        op, answer = command["op"], NOTHING
        if op in THROUGH_PORT:
            self.due[command["port"]].append(_Due(self.row, self.cycle, self.tag))
            return
        if op in (Op.EXCHANGE, Op.READ):
            answer = access_memory(
                self.memory, command["vaddr"], self.config.mode.entry_bytes,
                new=command["new"] if op == Op.EXCHANGE else None)
        elif op == Op.RESET:
            self._lose()
        self.answers[self.row] = answer._replace(accepted=self.cycle, answered=self.cycle)

    def _lose(self) -> None:
        """Note that the accesses under way are lost with this cycle."""
        for due in self.due:
            for one in due:
                self.answers[one.row] = Answer(
                    accepted=one.accepted, answered=self.cycle, lost=1)
            due.clear()

    def _note_misses(self, events: int) -> None:
        """Note which accesses were looked up in this cycle and missed.

        Each is looked up once that is told, in the order of acceptance, and the next one is not
        accepted before: it is the last one that was accepted so long ago.
        """
        for due, miss in zip(self.due, self.wires.misses, strict=True):
            if events & miss:
                accepted = self.cycle - self.config.hit_latency
                for one in reversed(due):
                    if one.accepted <= accepted:
                        one.missed = True
                        break

    def _is_due(self, port: int, response: dict[str, int]) -> bool:
        """Return whether a response is to a request of an earlier cycle."""
        due = self.due[port]
        if self.config.order == "request":
            return bool(due)
        return any(one.tag == response["tag"] for one in due)

    def _collect(self, port: int, response: dict[str, int]) -> None:
        """Note an answer, unless it comes after the end of the run."""
        due = self.due[port]
        waiting = due if self.config.order == "tag" else list(due)[:1]
        found = [one for one in waiting if one.tag == response["tag"]]
        assert found, f"Answer in cycle {self.cycle} is to no command that waits"
        one, = found
        due.remove(one)
        self.progress = self.cycle
        row = one.row
        if row >= self.end:
            return
        answer = Answer(**{field: response[name] for name, field in RESPONSE_FIELDS.items()})
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
