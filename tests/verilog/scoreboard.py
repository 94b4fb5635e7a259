"""Compares what the MMU showed with what the reference expects, and counts."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from streams import Beat

from pagewalk.model.physical.memory import PhysicalMemory

HISTORY = 12  # what happened last, for the message of a failure


class Mismatch(AssertionError):
    """The MMU did not do what the reference expects."""


class Scoreboard:
    """Counts comparisons and events; raises ``Mismatch`` at the first difference."""

    def __init__(self) -> None:
        self.compared: Counter[str] = Counter()
        self.expected_events: Counter[str] = Counter()
        self.observed_events: Counter[str] = Counter()
        self._history: deque[str] = deque(maxlen=HISTORY)
        self.cycle = 0

    def note(self, text: str) -> None:
        """Keep a line of history."""
        self._history.append(f"{self.cycle:7}  {text}")

    def equal(self, what: str, expected: Any, actual: Any, why: object = "") -> None:
        """Compare two values that ``what`` names; ``why`` says what the expectation rests on."""
        self.compared[what] += 1
        if expected != actual:
            history = "\n".join(self._history)
            raise Mismatch(
                f"cycle {self.cycle}: {what} is {_show(actual)}, expected {_show(expected)}"
                f"{f' ({why})' if why else ''}\nbefore that:\n{history}")

    def offer(self, name: str, expected: Mapping[str, int] | None, beat: Beat, why: object) -> None:
        """Compare an offer of the MMU: that there is one now, or none, and what it carries."""
        self.equal(f"{name}_valid", expected is not None, beat.valid, why)
        for field, value in (expected or {}).items():
            self.equal(f"{name}_{field}", value, beat.payload[field], why)

    def event(self, name: str) -> None:
        """Expect one more cycle with this event."""
        self.expected_events[name] += 1

    def finish(self, memory: PhysicalMemory, shadow: PhysicalMemory, ports: list[str]) -> None:
        """Compare the events of the whole run, and what page-table memory holds after it."""
        for name in sorted(self.expected_events | self.observed_events):
            self.equal(f"events_{name}", self.expected_events[name], self.observed_events[name])
        count = self.observed_events
        for port in ports:
            hits = sum(n for name, n in count.items() if name.startswith(f"{port}_hit_"))
            self.equal(f"hits and misses of {port}", count[f"{port}_lookup"],
                       hits + count[f"{port}_miss"])
        pfns, rows = memory.index()
        shadow_pfns, shadow_rows = shadow.index()
        self.equal("frames", shadow_pfns.tolist(), pfns.tolist())
        for pfn, row, shadow_row in zip(pfns, rows, shadow_rows, strict=True):
            self.equal(f"frame {pfn:#x}", shadow.frames[shadow_row].tolist(),
                       memory.frames[row].tolist())


def _show(value: Any) -> str:
    return hex(value) if isinstance(value, int) and not isinstance(value, bool) else repr(value)
