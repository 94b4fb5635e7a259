"""A kernel that tells of each page fault that it has handled."""

from collections.abc import Callable

from ...model.address_space.tables.software_entry import EntryKind
from ...model.kernel.kernel import Kernel
from ...model.kernel.page_fault import FaultResult
from ...model.kernel.process import Process
from ...model.x86 import PAGE_BYTES
from .fault_text import FaultReport, mapping_text

__all__ = ["FollowedKernel"]


class FollowedKernel(Kernel):
    """A ``Kernel`` whose page faults somebody looks at.

    Members
    -------
    on_fault
        Is called after each fault of a process, with a report of it; at first with no effect.
    """

    on_fault: Callable[[FaultReport], None] = staticmethod(lambda _: None)

    def handle_page_fault(self, address: int, error_code: int, *, ac: bool = False,
                          fixup: bool = False) -> FaultResult:
        """Deal with a fault as ``Kernel`` does, and tell of it."""
        process = self.current
        assert process is not None, "a program runs"
        mapping, out, mapped = mapping_text(process, address), self._swapped_out, process.space.rss
        was_zeros = self._is_zeros(process, address)
        result = super().handle_page_fault(address, error_code, ac=ac, fixup=fixup)
        more = huge = 0
        if result.signal is None:
            mapping = mapping_text(process, address) or mapping  # a stack may have grown
            huge = _huge_bytes(process, address)
            more = process.space.rss - mapped - 1
        self.on_fault(FaultReport(process, address, error_code, mapping, result,
                                  self._swapped_out - out, more, huge, was_zeros))
        return result

    def _is_zeros(self, process: Process, address: int) -> bool:
        leaf = process.space.tables.lookup(address)
        return (leaf is not None and process.space.kind(leaf.entry) is EntryKind.PRESENT
                and self.state.format.pfn(leaf.entry) in (
                    self.state.zero_pfn, self.state.thp.zero_pfn))

    @property
    def _swapped_out(self) -> int:
        """How many pages were written to swap so far."""
        return sum(area.device.counters.pages_out for area in self.state.swap.info
                   if area is not None)


def _huge_bytes(process: Process, address: int) -> int:
    leaf = process.space.tables.lookup(address)
    size = 0 if leaf is None else leaf.level.page_bytes
    return size if size > PAGE_BYTES else 0
