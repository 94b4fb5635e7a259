"""The kernel's half of the page tables, as its dynamic areas use it."""

from ..address_space.kernel_half.kernel_page_tables import KernelPageTables
from ..x86 import PAGE_SHIFT
from .tlb_flush import TlbState

__all__ = ["KernelSpace"]


class KernelSpace:
    """Maps kernel addresses: the ``KernelPageTableOps`` of the kernel's half.

    Parameters
    ----------
    tables, tlb
        The tables, and the TLB that is to be told.
    """

    def __init__(self, tables: KernelPageTables, tlb: TlbState) -> None:
        self.tables = tables
        self.tlb = tlb

    def set_page(self, vaddr: int, pfn: int, flags: int) -> None:
        """Map one 4-Kbyte page with the entry bits ``flags``; raise ``TableInTheWay``."""
        self.tables.map(vaddr, pfn, flags)

    def clear_page(self, vaddr: int) -> None:
        """Unmap one 4-Kbyte page; tables stay."""
        paddr = self.tables.find(vaddr)
        if paddr is not None:
            self.tables.exchange(paddr, 0)

    def map_range(self, vaddr: int, pfn: int, byte_count: int, page_bytes: int,
                  flags: int) -> None:
        """Map ``byte_count`` bytes with pages of ``page_bytes``; raise ``TableInTheWay``."""
        for offset in range(0, byte_count, page_bytes):
            self.tables.map(vaddr + offset, pfn + (offset >> PAGE_SHIFT), flags, page_bytes)

    def flush_range(self, start: int, end: int) -> None:
        """Owe the TLB the invalidation of a range."""
        self.tlb.flush_kernel_range(start, end)
