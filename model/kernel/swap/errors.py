"""What can go wrong with swap: each an error with a type, that names the file and the slot."""

__all__ = ["BadSwapEntry", "BadSwapHeader", "SwapDeviceBusy", "SwapError", "SwapFileShrunk",
           "SwapFileTooSmall", "SwapIoError", "TooManySwapDevices"]


class SwapError(Exception):
    """The base of all errors of swap."""


class BadSwapHeader(SwapError):
    """The first page of a swap area is not what ``mkswap`` writes. [read_swap_header]

    Parameters
    ----------
    path, field
        The file, and the field of ``union swap_header``.
    expected, found
        What the field must be, and what it is.
    """

    def __init__(self, path: str, field: str, expected: str, found: object) -> None:
        super().__init__(f"{path}: {field} of the swap header must be {expected}, not {found}")
        self.path = path
        self.field = field


class SwapFileTooSmall(SwapError):
    """A file with fewer whole pages than its header promises. [read_swap_header]"""

    def __init__(self, path: str, pages: int, expected: int) -> None:
        super().__init__(f"{path}: the swap file must have {expected} pages, not {pages}")
        self.path = path
        self.pages = pages
        self.expected = expected


class SwapDeviceBusy(SwapError):
    """A swap area that is in use already, or still in use. [EBUSY]"""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class TooManySwapDevices(SwapError):
    """More swap areas than a swap entry has types for. [alloc_swap_info]"""

    def __init__(self, path: str, maximum: int) -> None:
        super().__init__(f"{path}: there are {maximum} swap areas already")
        self.path = path


class SwapIoError(SwapError):
    """A page that could not be read or written; neither the slot's owner nor memory has changed.

    Parameters
    ----------
    path, slot, pfn
        The file, the page of the file, and the page frame that it was to be copied to or from.
    action
        "read" or "write".
    reason
        What went wrong.
    """

    def __init__(self, path: str, slot: int, pfn: int, action: str, reason: str) -> None:
        super().__init__(f"{path}: cannot {action} slot {slot} for page {pfn:#x}: {reason}")
        self.path = path
        self.slot = slot
        self.pfn = pfn
        self.action = action
        self.reason = reason


class SwapFileShrunk(SwapIoError):
    """A slot past the end of a file that was long enough when it was opened."""


class BadSwapEntry(SwapError):
    """A swap entry that stands for nothing: no such device, no such slot, or a free slot.

    [_swap_info_get, which prints a line and goes on]
    """

    def __init__(self, swap_type: int, offset: int, why: str) -> None:
        super().__init__(f"Swap entry of type {swap_type}, offset {offset:#x}: {why}")
        self.type = swap_type
        self.offset = offset
