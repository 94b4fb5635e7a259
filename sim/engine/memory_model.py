"""How page-table memory, and those who wait for answers, behave: latency, back-pressure, errors."""

import math
from dataclasses import dataclass

__all__ = ["MOST_LATENCY", "MOST_STALL", "PURPOSES", "MemoryModel", "draw"]

MOST_LATENCY = 10_000
"""The longest latency in cycles: slower than any memory, and a replay still comes to its end."""

MOST_STALL = 0.99
"""The highest chance of a stall in a cycle: with much more a run would come to no end."""

PURPOSES = ("request_stall", "latency", "error", "answer_stall")
"""What is drawn at random, each by its number here; each port has ``answer_stall`` for itself."""

WALK_ACCESSES = 10
"""The most accesses of a walk: at each of five levels, one to read and one to set flags."""

MASK, GOLDEN = (1 << 64) - 1, 0x9E37_79B9_7F4A_7C15
CHANCE_BITS = 53
"""The bits of a draw that are compared with a chance: as many as a float can tell apart."""


def draw(key: int, cycle: int) -> int:
    """Return 64 random bits for a cycle: SplitMix64 with ``key`` as its seed, at step ``cycle``.

    What a cycle brings follows from its number alone, whatever was drawn before it; so two engines
    have the same, though they ask in different order. ``timed_memory.h`` draws the same.
    """
    mixed = key + cycle * GOLDEN & MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58_476D_1CE4_E5B9 & MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB & MASK
    return mixed ^ mixed >> 31


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """The behaviour of what surrounds the hardware, cycle by cycle, at random from a seed.

    By default it is the simplest: memory takes an access in each cycle and responds in the next
    one, and answers are taken at once. It goes on from one run of an engine to the next. Responses
    of memory overtake each other if their latencies are so; but the 16th access after one is
    accepted only when that has its response.

    Every number is checked: ``TypeError`` for one of another type, ``ValueError`` for one out of
    range.

    Parameters
    ----------
    latency : int, or two
        Cycles from a page-table access to its response, or the lowest and the highest number of
        them, of which each access gets one, all alike. From 1 to ``MOST_LATENCY``. A response
        comes later if that before it has not been taken yet.
    request_stall : float
        Chance that memory accepts no access in a cycle, up to ``MOST_STALL``.
    answer_stall : float
        Chance that a port's answer is not taken in a cycle, up to ``MOST_STALL``.
    error_rate : float
        Chance that an access that memory accepts is answered by a bus error, and is not done.
    seed : int
        Of all that is drawn, of 64 bits.
    """

    latency: int | tuple[int, int] = 1
    request_stall: float = 0.0
    answer_stall: float = 0.0
    error_rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for latency in self.latencies:
            _check_whole("Memory latency", latency, 1, MOST_LATENCY)
        low, high = self.latencies
        if low > high:
            raise ValueError(f"Memory latencies must be the lowest and the highest, not {low} "
                             f"and {high}")
        _check_chance("request_stall", self.request_stall, MOST_STALL)
        _check_chance("answer_stall", self.answer_stall, MOST_STALL)
        _check_chance("error_rate", self.error_rate, 1)
        _check_whole("Seed", self.seed, 0, MASK)

    @classmethod
    def of(cls, latency: "int | MemoryModel") -> "MemoryModel":
        """Return the model that ``latency`` is, or the simplest one with that latency."""
        return latency if isinstance(latency, MemoryModel) else cls(latency)

    @property
    def latencies(self) -> tuple[int, int]:
        """The lowest and the highest latency."""
        latency = self.latency
        if not isinstance(latency, tuple):
            return latency, latency
        if len(latency) != 2:
            raise ValueError(f"Memory latencies must be two numbers, not {latency!r}")
        return latency

    @property
    def stall_limit(self) -> int:
        """The number of cycles without progress after which an engine gives up.

        Progress is a command that is accepted, or an answer: a walk that goes on and on is none. So
        there must be time for all accesses of a walk. Each of them, and the answer, may be stalled
        for so long as happens once in 10**17 times.
        """
        request, answer = (math.ceil(40 / -math.log(chance)) if chance else 0
                           for chance in (self.request_stall, self.answer_stall))
        return 100 + WALK_ACCESSES * (self.latencies[1] + request) + answer

    def key(self, purpose: int) -> int:
        """Return the key by which to ``draw`` for a number in ``PURPOSES``, or further ports."""
        return draw(draw(self.seed, 0), purpose)

    @staticmethod
    def threshold(chance: float) -> int:
        """Return what the upper ``CHANCE_BITS`` of a draw are below with that ``chance``."""
        return round(chance * (1 << CHANCE_BITS))


def _check_whole(what: str, value: object, low: int, high: int) -> None:
    """Raise ``TypeError`` unless a value is an int, ``ValueError`` unless it is in the range."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an integer, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{what} must be from {low} to {high}, not {value}")


def _check_chance(name: str, value: object, most: float) -> None:
    """Raise ``TypeError`` unless a value is a number, ``ValueError`` unless it is a chance."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"Parameter {name} must be a number, not {value!r}")
    if not 0 <= value <= most:
        raise ValueError(f"Parameter {name} must be from 0 to {most}, not {value}")
