"""The signals of an MMU in Amaranth's simulator, and the numbers that their payloads are."""

from collections.abc import Sequence
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
        self._reset = Input(self.domain.rst)
        ports = [getattr(mmu, name) for name in mmu.config.ports]
        self._offered = [*(Offer(port.req) for port in ports), Offer(mmu.invalidate)]
        self.taken = [*(port.rsp for port in ports), mmu.memory.req]
        self._ready = [Input(stream.ready) for stream in self.taken]
        self._response = Offer(mmu.memory.rsp)
        # Sampled as they are: the simulator is slow to put a value together.
        self.outputs = (
            mmu.events.as_value(),
            self._response.ready,
            *(offer.ready for offer in self._offered),
            *(part for stream in self.taken for part in (stream.valid, stream.payload.as_value())),
        )
        self._control = Record(mmu.control.shape())
        self._control_signal = mmu.control.as_value()
        self._answer = Record(ports[0].rsp.payload.shape())
        self._access = Record(mmu.memory.req.payload.shape())
        self._events = Record(mmu.events.shape())
        # Of each port, the bit of the event word that says that the request at hand needs a walk.
        bits = self._events.fields
        self.misses: list[int] = [1 << bits[f"{name}_miss"][0] for name in mmu.config.ports]

    def rest(self, ctx: Any) -> None:
        """Offer nothing."""
        self.put_reset(ctx, 0)
        self.withdraw(ctx)
        self.respond(ctx, None)

    # ---- what ``Pins`` says of these, a run needs

    def put_reset(self, ctx: Any, value: int) -> None:
        self._reset.put(ctx, value)

    def put_control(self, ctx: Any, values: dict[str, int]) -> None:
        ctx.set(self._control_signal, self._control.pack(values))

    def withdraw(self, ctx: Any) -> None:
        for offer in self._offered:
            offer.withdraw(ctx)

    def offer(self, ctx: Any, stream: int, values: dict[str, int]) -> None:
        self._offered[stream].offer(ctx, values)

    def respond(self, ctx: Any, response: dict[str, int] | None) -> None:
        if response is None:
            self._response.withdraw(ctx)
        else:
            self._response.offer(ctx, response)

    def put_ready(self, ctx: Any, values: Sequence[bool]) -> None:
        for ready, value in zip(self._ready, values, strict=True):
            ready.put(ctx, value)

    def unpack_answer(self, word: int) -> dict[str, int]:
        return self._answer.unpack(word)

    def unpack_access(self, word: int) -> dict[str, int]:
        return self._access.unpack(word)

    def unpack_events(self, word: int) -> dict[str, int]:
        return self._events.unpack(word)


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
