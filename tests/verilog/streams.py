"""The streams of the MMU: their signals, what they carry in a cycle, and the law they obey."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from cocotb.handle import HierarchyObject

from pagewalk.model.mmu.walk import Control

REQUEST = ("vaddr", "kind", "user", "implicit", "ac", "stack", "tag")
ANSWER = ("tag", "paddr", "page", "memory_type", "fault", "vector", "error_code", "vaddr")
INVALIDATE = ("op", "vaddr", "pcid", "old", "new")
MEMORY_REQUEST = ("tag", "op", "address", "expected", "desired")
MEMORY_RESPONSE = ("tag", "data", "exchanged", "error")
READ, COMPARE_EXCHANGE = 0, 1  # ``op`` of a memory request


@dataclass(frozen=True, slots=True)
class Beat:
    """A stream in one cycle; what goes into the MMU has its payload only in a transfer."""

    valid: bool
    ready: bool
    payload: Mapping[str, int] = field(default_factory=dict)

    @property
    def transfer(self) -> bool:
        return self.valid and self.ready


@dataclass(frozen=True, slots=True)
class Cycle:
    """All that the ports show in one cycle, as it ends."""

    number: int
    control: Control
    beats: Mapping[str, Beat]
    events: tuple[str, ...]


class Stream:
    """The signals of one stream; ``outward`` if the MMU makes the offers."""

    def __init__(
        self, dut: HierarchyObject, name: str, fields: Iterable[str], *, outward: bool
    ) -> None:
        self.name = name
        self.outward = outward
        self.valid = getattr(dut, f"{name}_valid")
        self.ready = getattr(dut, f"{name}_ready")
        self.payload = {field: getattr(dut, f"{name}_{field}") for field in fields}

    def clear(self) -> None:
        """Drive what goes into the MMU to 0."""
        inputs = [self.ready] if self.outward else [self.valid, *self.payload.values()]
        for signal in inputs:
            signal.value = 0

    def offer(self, payload: Mapping[str, int]) -> None:
        """Offer ``payload`` from this cycle on."""
        for name, value in payload.items():
            self.payload[name].value = value
        self.valid.value = 1

    def withdraw(self, rng: Random) -> None:
        """Offer nothing from this cycle on; the payload is arbitrary then."""
        self.valid.value = 0
        for signal in self.payload.values():
            signal.value = rng.getrandbits(len(signal))


class Monitor:
    """Reads a stream once a cycle; what the MMU offers must stay until it is accepted."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._open: Mapping[str, int] | None = None  # payload of an offer not accepted so far

    def sample(self) -> Beat:
        """Return the beat of the cycle that ends now; a bit that is X raises ``ValueError``."""
        stream = self._stream
        valid, ready = bool(stream.valid.value), bool(stream.ready.value)
        payload = {}
        if valid and (ready or stream.outward):  # reading signals is what a cycle's time goes to
            payload = {name: int(signal.value) for name, signal in stream.payload.items()}
        if stream.outward:
            self._check(valid, payload)
            self._open = payload if valid and not ready else None
        return Beat(valid, ready, payload)

    def _check(self, valid: bool, payload: Mapping[str, int]) -> None:
        if self._open is None:
            return
        name = self._stream.name
        assert valid, f"{name}: valid fell before the offer was accepted"
        assert payload == self._open, (
            f"{name}: the payload of an offer changed from {self._open} to {payload}")


class EventMonitor:
    """Reads the bits of the ``events`` port."""

    def __init__(self, dut: HierarchyObject, names: Iterable[str]) -> None:
        self._signals = {name: getattr(dut, f"events_{name}") for name in names}

    def sample(self) -> tuple[str, ...]:
        """Return the events of the cycle that ends now."""
        return tuple(name for name, signal in self._signals.items() if int(signal.value))
