"""What the kernel's dynamic areas ask of the kernel's page tables, and the rights they map with."""

from typing import Protocol

from ...x86 import Entry, PagingMode

__all__ = ["KernelPageTableOps", "page_kernel"]


class KernelPageTableOps(Protocol):
    """The kernel's half of the page tables, and the TLBs that cache it."""

    def set_page(self, vaddr: int, pfn: int, flags: int) -> None:
        """Map one 4-Kbyte page with the entry bits ``flags``."""

    def clear_page(self, vaddr: int) -> None:
        """Unmap one 4-Kbyte page. A TLB may still hold its translation until it is flushed."""

    def map_range(self, vaddr: int, pfn: int, byte_count: int, page_bytes: int,
                  flags: int) -> None:
        """Map ``byte_count`` bytes with pages of ``page_bytes``; all is aligned to that.

        ``flags`` are those of a 4-Kbyte page; PS is set by the callee.
        """

    def flush_range(self, start: int, end: int) -> None:
        """Invalidate what TLBs know of ``start`` up to ``end``. [flush_tlb_kernel_range]"""


def page_kernel(mode: PagingMode) -> int:
    """Return the entry bits of kernel data, PAGE_KERNEL. [pgtable_types.h]

    A and D are set from the start, so that the hardware need not write them.
    """
    flags = Entry.P | Entry.RW | Entry.A | Entry.D | Entry.G
    return flags | Entry.XD if mode.has_execute_disable else flags
