"""How a page fault can be resolved. [vm_fault_t]"""

from enum import Enum

__all__ = ["BusFault", "FaultCause", "NotPromised"]


class FaultCause(Enum):
    """How a page fault was resolved."""

    ZERO_PAGE = "zero page"
    DEMAND_ZERO = "demand zero"
    FILE = "file"
    COPY_ON_WRITE = "copy on write"
    REUSE = "last owner"
    SHARED_WRITE = "first write to shared page"
    SWAP_IN = "swap-in"
    SPURIOUS = "spurious"


class BusFault(Exception):
    """A page that a mapping does not have, past the end of a file for example. [VM_FAULT_SIGBUS]"""


class NotPromised(BusFault):
    """A page of shared memory that is not promised yet, and cannot be. [ENOSPC]"""
