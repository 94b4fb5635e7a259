"""What a workload found, what it cost, and what that would be with the costs that are assumed."""

from dataclasses import asdict, dataclass
from typing import Any

from ...model.kernel.swap.disk import DiskCounters
from .assumed_costs import USUAL_COSTS, AssumedCosts
from .machine import Counts

__all__ = ["WorkloadResult"]


@dataclass(frozen=True, slots=True)
class WorkloadResult:
    """A run of a workload on a machine.

    ``wrong`` counts values that differ from what was expected and accesses that should have been
    refused; ``leaked`` the frames and slots of swap that are not free when all processes have
    ended. ``disk`` is what the swap file has done. ``counts.cycles`` are those of the MMU, and
    measured; ``costs`` are assumed.
    """

    memory_bytes: int
    counts: Counts
    disk: DiskCounters
    wrong: int
    leaked: int
    seconds: float
    costs: AssumedCosts = USUAL_COSTS

    @property
    def agreed(self) -> bool:
        """Whether every value was right, and everything was given back."""
        return not self.wrong and not self.leaked

    @property
    def mmu_cycles_per_access(self) -> float:
        """The cycles of the MMU for an access, all measured; 0 without hardware."""
        return self.counts.cycles / max(self.counts.accesses, 1)

    @property
    def fault_cycles(self) -> int:
        """The cycles that are assumed for the kernel's work on all faults."""
        return self.costs.of_faults(self.counts.minor + self.counts.major)

    @property
    def disk_cycles(self) -> float:
        """The cycles that are assumed for the disk."""
        return self.costs.of_disk(self.disk)

    @property
    def access_cycles(self) -> float:
        """The effective access time in cycles: measured those of the MMU, assumed the others."""
        fault_cycles = self.costs.fault_cycles
        return (self.counts.access_time(fault_cycles, fault_cycles)
                + self.disk_cycles / max(self.counts.accesses, 1))

    def as_json(self) -> dict[str, Any]:
        """Return the run as what ``json`` can write; what is assumed stands in ``assumed``."""
        counts, disk = self.counts, self.disk
        return {
            "memory_bytes": self.memory_bytes, "accesses": counts.accesses, "wrong": self.wrong,
            "leaked": self.leaked, "minor_faults": counts.minor, "major_faults": counts.major,
            "pages_in": disk.pages_in, "pages_out": disk.pages_out, "disk_seeks": disk.seeks,
            "switches": counts.switches, "invalidations": counts.invalidations,
            "cycles": counts.cycles,
            "mmu_cycles_per_access": round(self.mmu_cycles_per_access, 2),
            "assumed": {
                "costs": asdict(self.costs), "fault_cycles": self.fault_cycles,
                "disk_cycles": round(self.disk_cycles),
                "access_cycles": round(self.access_cycles, 2),
            },
            "seconds": round(self.seconds, 3), "events": dict(counts.events),
        }
