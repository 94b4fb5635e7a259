"""The signals of an MMU in Amaranth's simulator, and the numbers that their payloads are."""

from collections.abc import Sequence
from typing import Any

from amaranth import ClockDomain, Module

from ...hdl.flat import flat_fields
from ...hdl.mmu import Mmu

__all__ = ["Record", "Wires"]


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
        requests = [port.req for port in ports]
        self._offered = [Offer(stream.valid, stream.payload) for stream in requests]
        pulses = mmu.config.invalidation == "pulse"
        into = mmu.invalidate
        self._offered.append(
            Offer(into.strobe, into) if pulses else Offer(into.valid, into.payload))
        self._cancels = [Offer(port.cancel.valid, port.cancel) for port in ports
                         if mmu.config.cancel]
        self.taken = [*(port.rsp for port in ports), mmu.memory.req]
        self._ready = [Input(stream.ready) for stream in self.taken]
        self._response = Offer(mmu.memory.rsp.valid, mmu.memory.rsp.payload)
        # Sampled as they are: the simulator is slow to put a value together.
        self.outputs = (
            mmu.events.as_value(),
            mmu.memory.rsp.ready,
            *(stream.ready for stream in requests),
            ~mmu.invalidate_busy if pulses else into.ready,
            *(part for stream in self.taken for part in (stream.valid, stream.payload.as_value())),
            *([mmu.invalidate_refused] if mmu.config.checks else []),
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
        """Offer nothing, and take no access to memory: a walk may outlast the run that began it."""
        self.put_reset(ctx, 0)
        self.withdraw(ctx)
        self.respond(ctx, None)
        self.put_ready(ctx, [*(True for _ in self._ready[1:]), False])

    # ---- what ``Pins`` says of these, a run needs

    def put_reset(self, ctx: Any, value: int) -> None:
        self._reset.put(ctx, value)

    def put_control(self, ctx: Any, values: dict[str, int]) -> None:
        ctx.set(self._control_signal, self._control.pack(values))

    def withdraw(self, ctx: Any) -> None:
        for offer in (*self._offered, *self._cancels):
            offer.withdraw(ctx)

    def offer(self, ctx: Any, stream: int, values: dict[str, int]) -> None:
        self._offered[stream].offer(ctx, values)

    def cancel(self, ctx: Any, port: int, tag: int | None) -> None:
        self._cancels[port].offer(ctx, {"valid": 1, "all": tag is None, "tag": tag or 0})

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
    """What goes into the MMU while it is valid, such as a stream."""

    def __init__(self, valid: Any, payload: Any) -> None:
        self._valid = Input(valid)
        self._payload = payload.as_value()
        self._record = Record(payload.shape())

    def offer(self, ctx: Any, values: dict[str, int]) -> None:
        """Offer a payload of these fields; the others are 0."""
        ctx.set(self._payload, self._record.pack(values))
        self._valid.put(ctx, 1)

    def withdraw(self, ctx: Any) -> None:
        """Offer nothing."""
        self._valid.put(ctx, 0)
