"""What a workload found and what it cost."""

from dataclasses import dataclass
from typing import Any

from ...model.kernel.swap.disk import DiskCounters
from .machine import Counts

__all__ = ["FAULT_CYCLES", "WorkloadResult"]

FAULT_CYCLES = 1000
"""What the kernel's own work on any fault is taken to cost: about a microsecond at 1 GHz."""


@dataclass(frozen=True, slots=True)
class WorkloadResult:
    """A run of a workload on a machine.

    ``wrong`` counts values that differ from what was expected and accesses that should have been
    refused; ``leaked`` the frames and slots of swap that are not free when all processes have
    ended. ``disk`` is what the swap file has done.
    """

    memory_bytes: int
    counts: Counts
    disk: DiskCounters
    wrong: int
    leaked: int
    seconds: float

    @property
    def agreed(self) -> bool:
        """Whether every value was right, and everything was given back."""
        return not self.wrong and not self.leaked

    @property
    def access_cycles(self) -> float:
        """The effective access time in cycles of 1 ns: MMU, handling of faults, and disk."""
        return (self.counts.access_time(FAULT_CYCLES, FAULT_CYCLES)
                + self.disk.time_ns / max(self.counts.accesses, 1))

    def as_json(self) -> dict[str, Any]:
        """Return the run as what ``json`` can write."""
        counts, disk = self.counts, self.disk
        return {
            "memory_bytes": self.memory_bytes, "accesses": counts.accesses, "wrong": self.wrong,
            "leaked": self.leaked, "minor_faults": counts.minor, "major_faults": counts.major,
            "pages_in": disk.pages_in, "pages_out": disk.pages_out, "disk_ns": disk.time_ns,
            "switches": counts.switches, "invalidations": counts.invalidations,
            "cycles": counts.cycles, "access_cycles": round(self.access_cycles, 2),
            "seconds": round(self.seconds, 3), "events": dict(counts.events),
        }
