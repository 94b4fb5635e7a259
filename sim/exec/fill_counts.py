"""How many questions an emulator's soft TLB has asked, and how many were answered."""

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["FillCounts"]


@dataclass(frozen=True, slots=True)
class FillCounts:
    """What happened so far.

    Members
    -------
    instructions
        Those begun, each repetition of a string instruction counted; those that a page fault
        ended, and that begin again, count once. Unless each access is translated, they are counted
        by the block of translated code: one that is left in the middle and not gone on with counts
        whole, and so does the test that ends repetitions.
    fills
        Questions of the soft TLB; those of each access, if each is translated.
    translations, faults
        Answers of the engine, and those among them that were faults.
    cycles, events
        Those of the hardware, as in ``Run``.
    """

    instructions: int = 0
    fills: int = 0
    translations: int = 0
    faults: int = 0
    cycles: int = 0
    events: Counter[str] = field(default_factory=Counter)
