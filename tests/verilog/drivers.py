"""What drives the MMU's inputs: a requester on each port, page-table memory, and software.

The ``step`` of a driver looks at the cycle that has ended and sets inputs for the next one.
"""

from dataclasses import dataclass
from random import Random

from cocotb.handle import HierarchyObject
from page_tables import SOFTWARE_BITS, Tables
from stimulus import AccessSource, Operation, Software
from streams import READ, Cycle, Stream

from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import Entry
from pagewalk.sim.engine.ports import CONTROL_FIELDS


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the MMU's surroundings are: probabilities per cycle, and the longest latency.

    There are ``requests`` of each port, and each may be followed by an invalidating operation, with
    the probability ``operation``.
    """

    name: str
    requests: int
    request: float
    take_answer: float
    take_access: float
    latency: int
    operation: float


class Requester:
    """Offers random accesses to a port and takes the answers."""

    def __init__(
        self, req: Stream, rsp: Stream, source: AccessSource, pace: Pace, rng: Random
    ) -> None:
        self._req, self._rsp = req, rsp
        self._source, self._pace, self._rng = source, pace, rng
        self.left = pace.requests  # not yet accepted

    def step(self, cycle: Cycle) -> None:
        beat = cycle.beats[self._req.name]
        self.left -= beat.transfer
        if beat.transfer:
            self._req.withdraw(self._rng)
        is_free = beat.transfer or not beat.valid
        if is_free and self.left and self._rng.random() < self._pace.request:
            self._offer(cycle.control)
        self._rsp.ready.value = self._rng.random() < self._pace.take_answer

    def _offer(self, control: Control) -> None:
        access = self._source.next(control)
        self._req.offer({
            "vaddr": access.vaddr, "kind": access.kind, "user": access.user,
            "implicit": access.implicit, "ac": access.ac, "stack": access.stack,
            "tag": -self.left & 0xF,
        })


class Memory:
    """Page-table memory: one access at a time, done when accepted, answered some cycles later.

    Now and then another processor changes an entry just before it would be exchanged, or nothing
    answers at an address, or a response comes late, to an access of before the reset.
    """

    RACES = 0.3  # of the exchanges
    ERRORS = 0.003  # of the accesses
    LATE = 0.03  # responses a cycle

    def __init__(
        self, req: Stream, rsp: Stream, tables: Tables, pace: Pace, rng: Random
    ) -> None:
        self._req, self._rsp = req, rsp
        self._tables, self._pace, self._rng = tables, pace, rng
        self._due: tuple[int, dict[str, int]] | None = None
        self._tag = 0  # of the access under way, if there is one

    @property
    def is_busy(self) -> bool:
        """Whether an access is under way."""
        return self._due is not None

    def step(self, cycle: Cycle) -> None:
        if cycle.beats[self._rsp.name].valid:
            self._rsp.withdraw(self._rng)
        request = cycle.beats[self._req.name]
        if request.transfer:
            assert self._due is None, "the walker asked twice"
            latency = self._rng.randint(1, self._pace.latency)
            self._due = cycle.number + latency, self._access(dict(request.payload))
        if self._due is not None and self._due[0] == cycle.number + 1:
            self._rsp.offer(self._due[1])
            self._due = None
        elif self._rng.random() < self.LATE:
            self._rsp.offer(self._late())
        self._req.ready.value = self._rng.random() < self._pace.take_access

    def _late(self) -> dict[str, int]:
        """Return a response with any tag but that of the access under way."""
        data = self._rng.getrandbits(8 * self._tables.mode.entry_bytes)
        return {"tag": (self._tag + self._rng.randint(1, 15)) & 0xF, "data": data | Entry.P,
                "exchanged": self._rng.getrandbits(1), "error": self._rng.random() < 0.1}

    def _access(self, request: dict[str, int]) -> dict[str, int]:
        """Carry out an access and return the response."""
        self._tag = request["tag"]
        memory, size = self._tables.memory, self._tables.mode.entry_bytes
        address, exchanged = request["address"], 0
        response = {"tag": request["tag"], "data": 0, "exchanged": 0, "error": 0}
        if self._rng.random() < self.ERRORS:
            return response | {"error": 1}
        try:
            if request["op"] == READ:
                value = memory.read(address, size)
            else:
                if self._rng.random() < self.RACES:
                    self._race(address)
                value = memory.compare_exchange(
                    address, size, request["expected"], request["desired"])
                exchanged = int(value == request["expected"])
        except BusError:
            return response | {"error": 1}
        return response | {"data": value, "exchanged": exchanged}

    def _race(self, address: int) -> None:
        """Let another processor walk, or let software keep a note, in this entry."""
        value = self._tables.memory.read(address, self._tables.mode.entry_bytes)
        changed = self._rng.choice((value | Entry.A, value ^ self._rng.choice(SOFTWARE_BITS)))
        self._tables.write(address, changed)


class SoftwareDriver:
    """Drives ``control`` and ``invalidate``, and changes page tables.

    Registers that a MOV changes change in the cycle after the operation was accepted.
    """

    QUIET_CHANGES = 0.05  # of registers, a cycle
    UNTOLD_CHANGES = 0.02  # of page tables, a cycle

    def __init__(
        self, dut: HierarchyObject, stream: Stream, software: Software, pace: Pace, rng: Random
    ) -> None:
        self._signals = {name: getattr(dut, f"control_{name}") for name in CONTROL_FIELDS}
        self._stream = stream
        self._software, self._pace, self._rng = software, pace, rng
        self._operation: Operation | None = None
        self.active = True
        self.drive(software.start)

    @property
    def busy(self) -> bool:
        """Whether an operation is offered."""
        return self._operation is not None

    def drive(self, control: Control) -> None:
        """Set the registers from this cycle on."""
        self.control = control
        for name, (register, low) in CONTROL_FIELDS.items():
            signal = self._signals[name]
            signal.value = getattr(control, register) >> low & (1 << len(signal)) - 1

    def step(self, cycle: Cycle, requests: int, *, memory_is_busy: bool) -> None:
        """Go on after a cycle in which the ports accepted so many requests.

        What an access to page-table memory meets is settled while that is not busy.
        """
        if cycle.beats[self._stream.name].transfer:
            assert self._operation is not None
            self._stream.withdraw(self._rng)
            self._software.apply(self._operation)
            self.drive(self._operation.control)
            self._operation = None
        elif self._operation is None and self._rng.random() < self.QUIET_CHANGES:
            self.drive(self._software.quiet_change(self.control))
        if not memory_is_busy and self._rng.random() < self.UNTOLD_CHANGES:
            self._software.change_untold(self.control)
        if not self.active or self._operation is not None:
            return
        if self._rng.random() < requests * self._pace.operation:
            self._operation = self._software.operation(self.control)
            self._stream.offer(self._operation.fields)
