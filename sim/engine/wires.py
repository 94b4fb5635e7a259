"""The signals of an MMU in Amaranth's simulator, and the numbers that their payloads are."""

from typing import Any

from amaranth import ClockDomain, Module

from ...hdl.flat import flat_fields
from ...hdl.mmu import Mmu

__all__ = ["Wires"]


class Record:
    """Packs the fields of a layout into one number, and back; quick enough for every cycle."""

    def __init__(self, layout: Any) -> None:
        self.fields = {name: (low, (1 << width) - 1) for name, low, width in flat_fields(layout)}

    def pack(self, values: dict[str, int]) -> int:
        return sum((value & self.fields[name][1]) << self.fields[name][0]
                   for name, value in values.items())

    def unpack(self, word: int) -> dict[str, int]:
        return {name: word >> low & mask for name, (low, mask) in self.fields.items()}


class Wires:
    """The ports and the reset of an MMU as signals, and their payloads as records."""

    def __init__(self, mmu: Mmu) -> None:
        self.mmu = mmu
        self.domain = ClockDomain("sync")
        self.top = Module()
        self.top.domains.sync = self.domain
        self.top.submodules.mmu = mmu
        self.reset = Input(self.domain.rst)
        ports = [getattr(mmu, name) for name in mmu.config.ports]
        self.offered = [*(Offer(port.req) for port in ports), Offer(mmu.invalidate)]
        self.taken = [*(port.rsp for port in ports), mmu.memory.req]
        self.ready = [Input(stream.ready) for stream in self.taken]
        self.response = Offer(mmu.memory.rsp)
        # Sampled as they are: the simulator is slow to put a value together.
        self.outputs = (
            mmu.events.as_value(),
            self.response.ready,
            *(offer.ready for offer in self.offered),
            *(part for stream in self.taken for part in (stream.valid, stream.payload.as_value())),
        )
        self.control = Record(mmu.control.shape())
        self.control_signal = mmu.control.as_value()
        self.answer = Record(ports[0].rsp.payload.shape())
        self.access = Record(mmu.memory.req.payload.shape())
        self.events = Record(mmu.events.shape())
        # Of each port, the bit of the event word that says that the request at hand needs a walk.
        self.misses = [1 << self.events.fields[f"{name}_miss"][0] for name in mmu.config.ports]

    def rest(self, ctx: Any) -> None:
        """Offer nothing."""
        self.reset.put(ctx, 0)
        for offer in (*self.offered, self.response):
            offer.withdraw(ctx)


class Input:
    """A bit that goes into the MMU, which is only set when it changes: setting costs time."""

    def __init__(self, signal: Any) -> None:
        self._signal, self._value = signal, 0

    def put(self, ctx: Any, value: int) -> None:
        """Set the bit."""
        if value != self._value:
            ctx.set(self._signal, value)
            self._value = value


class Offer:
    """A stream into the MMU."""

    def __init__(self, stream: Any) -> None:
        self.ready = stream.ready
        self._valid = Input(stream.valid)
        self._payload = stream.payload.as_value()
        self._record = Record(stream.payload.shape())

    def offer(self, ctx: Any, values: dict[str, int]) -> None:
        """Offer a payload of these fields; the others are 0."""
        ctx.set(self._payload, self._record.pack(values))
        self._valid.put(ctx, 1)

    def withdraw(self, ctx: Any) -> None:
        """Offer nothing."""
        self._valid.put(ctx, 0)
