"""What a run of a program did, in figures and in words."""

from dataclasses import dataclass
from typing import Any

from ...model.kernel.swap.file import SwapFile
from .call_table import CallTable
from .program_run import ProgramEnd
from .program_world import ProgramWorld

__all__ = ["ProgramFigures"]


@dataclass(frozen=True, slots=True)
class ProgramFigures:
    """The figures of a run, taken before its process is ended.

    Members
    -------
    end
        How the program ended.
    figures
        Numbers by name: instructions, fills of the soft TLB, translations, cycles, faults, pages
        swapped in and out, the most pages that it had in memory.
    events
        What the hardware counted, by name.
    calls, missing
        System calls by name: all, and those that there are not.
    """

    end: ProgramEnd
    figures: dict[str, int]
    events: dict[str, int]
    calls: dict[str, int]
    missing: dict[str, int]

    @classmethod
    def of(cls, world: ProgramWorld, table: CallTable, swap: SwapFile | None,
           end: ProgramEnd) -> "ProgramFigures":
        """Return those of a program that has ended."""
        world.note_peak(world.process)
        total, fills = world.machine.total(), world.machine.cpu.counts
        figures = {
            "instructions": fills.instructions, "fills": fills.fills,
            "translations": total.accesses, "cycles": total.cycles,
            "minor_faults": total.minor, "major_faults": total.major,
            "invalidations": total.invalidations,
            "swapped_in": swap.counters.pages_in if swap is not None else 0,
            "swapped_out": swap.counters.pages_out if swap is not None else 0,
            "peak_resident_pages": world.peak_pages}
        return cls(end, figures, dict(total.events), dict(table.made.most_common()),
                   dict(table.missing.most_common()))

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a file of figures."""
        return {"status": self.end.status, "signal": self.end.signal, **self.figures,
                "events": self.events, "calls": self.calls, "missing_calls": self.missing}

    def lines(self) -> list[str]:
        """Return what a user reads, a line each."""
        told = [f"{name.replace('_', ' ')}: {value}" for name, value in self.figures.items()]
        told += [f"{name}: {value}" for name, value in self.events.items()]
        calls = ", ".join(f"{name} {count}" for name, count in self.calls.items())
        told.append(f"system calls: {calls}")
        if self.missing:
            names = ", ".join(f"{name} {count}" for name, count in self.missing.items())
            told.append(f"of these there are not (ENOSYS): {names}")
        return told
