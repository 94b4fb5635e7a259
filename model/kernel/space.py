"""An address space, as reclaim and caches see it: they know its pages, but not its process."""

from typing import Protocol

from ..address_space.vma import File

__all__ = ["Space"]


class Space(Protocol):
    """The user page tables of one address space, as others see them."""

    def test_clear_young(self, vaddr: int) -> bool:
        """Clear the accessed bit of an address; return whether it was set."""
        ...

    def is_locked(self, vaddr: int) -> bool:
        """Return whether the mapping of an address is locked in memory."""
        ...

    def clean_page(self, vaddr: int) -> bool:
        """Make the entry of a page clean and read-only; return whether it was dirty."""
        ...

    def unmap_page(self, vaddr: int, pfn: int) -> bool:
        """Take a page away, and say whether it could be; anonymous, it leaves its swap entry."""
        ...

    def unmap_huge(self, file: File, index: int, pfn: int) -> None:
        """Take a huge page of a file away from mappings that have no reserve of their own."""
        ...
