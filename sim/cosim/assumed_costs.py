"""What the kernel's work and a disk are taken to cost, which no run measures."""

from dataclasses import dataclass

from ...model.kernel.swap.disk import HARD_DISK, DiskCounters

__all__ = ["USUAL_COSTS", "AssumedCosts"]


@dataclass(frozen=True, slots=True)
class AssumedCosts:
    """Costs that nothing here measures. Only the cycles of the MMU are measured.

    All else costs nothing: the data accesses themselves, system calls and the kernel's other work.

    Members
    -------
    fault_cycles : int
        The kernel's own work on a page fault, in cycles; by default a microsecond of them.
    seek_ns, page_ns : int
        A disk's time for a seek, and for a page besides; by default those of ``HARD_DISK``.
    clock_mhz : int
        Cycles in a microsecond.
    """

    fault_cycles: int = 1000
    seek_ns: int = HARD_DISK.seek_ns
    page_ns: int = HARD_DISK.transfer_ns
    clock_mhz: int = 1000

    def of_faults(self, faults: int) -> int:
        """Return the cycles of so many page faults."""
        return faults * self.fault_cycles

    def of_disk(self, disk: DiskCounters) -> float:
        """Return the cycles of all that a disk has done."""
        pages = disk.pages_in + disk.pages_out
        return (disk.seeks * self.seek_ns + pages * self.page_ns) * self.clock_mhz / 1000

    def __str__(self) -> str:
        """Say what is assumed, in a sentence."""
        return (f"{self.fault_cycles:,} cycles for a page fault; {self.seek_ns:,} ns for a seek of "
                f"the disk and {self.page_ns:,} for a page; {self.clock_mhz:,} MHz; nothing for "
                "all else")


USUAL_COSTS = AssumedCosts()
"""Those that are assumed unless others are given."""
