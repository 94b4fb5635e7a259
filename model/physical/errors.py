"""What can go wrong with physical pages: every misuse of an allocator is an error with a type."""

__all__ = [
    "AllocationFailure",
    "BadMigrateType",
    "BadOrder",
    "BrokenInvariant",
    "DoubleFree",
    "ForeignPage",
    "MisalignedBlock",
    "OrderMismatch",
    "PageError",
]


class PageError(Exception):
    """The base of all errors of the page allocators."""


class AllocationFailure(PageError):
    """No free block is large enough, though there may be free pages.

    Parameters
    ----------
    order, zone
        What was asked for, and the name of the zone that has no such block.
    buddyinfo
        The zone's free blocks of each order, as a line of ``/proc/buddyinfo`` shows them.
    """

    def __init__(self, order: int, zone: str, buddyinfo: str) -> None:
        super().__init__(f"No free block of order {order} in zone {zone}: {buddyinfo}")
        self.order = order
        self.zone = zone
        self.buddyinfo = buddyinfo


class BadOrder(PageError, ValueError):
    """An order that no block has, or that this list does not take."""

    def __init__(self, order: int, expected: str) -> None:
        super().__init__(f"Order must be {expected}, not {order!r}")
        self.order = order


class BadMigrateType(PageError, ValueError):
    """A migrate type that nothing is allocated from."""

    def __init__(self, migratetype: int) -> None:
        super().__init__(f"Migrate type must be one that pages are allocated as, "
                         f"not {migratetype!r}")
        self.migratetype = migratetype


class ForeignPage(PageError):
    """A page that is not the allocator's: a hole, reserved, or of another zone."""

    def __init__(self, pfn: int, why: str) -> None:
        super().__init__(f"Page {pfn:#x} is not to be freed here: {why}")
        self.pfn = pfn


class MisalignedBlock(PageError):
    """A page that no block of its order can begin with."""

    def __init__(self, pfn: int, order: int) -> None:
        super().__init__(f"No block of order {order} begins at page {pfn:#x}")
        self.pfn = pfn
        self.order = order


class DoubleFree(PageError):
    """A page that is free already, in the buddy allocator or on a per-CPU list."""

    def __init__(self, pfn: int) -> None:
        super().__init__(f"Page {pfn:#x} is free already")
        self.pfn = pfn


class OrderMismatch(PageError):
    """An allocated block that is freed with another order than it was allocated with."""

    def __init__(self, pfn: int, order: int, actual: str) -> None:
        super().__init__(f"Page {pfn:#x} is freed with order {order}, but {actual}")
        self.pfn = pfn
        self.order = order


class BrokenInvariant(PageError):
    """A structure that contradicts itself; only a defect of the model leads here."""
