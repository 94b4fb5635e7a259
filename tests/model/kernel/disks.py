"""Swap devices that hold nothing, for tests of the slots alone."""

from types import SimpleNamespace

from pagewalk.model.kernel.swap.slots import SwapInfo


class NoDisk:
    """What ``SwapInfo`` asks of a device of ``pages`` pages."""

    def __init__(self, pages, badpages=(), name="nothing", partition=False):
        self.pages = pages
        self.path = self.name = name
        self.partition = partition
        self.header = SimpleNamespace(badpages=badpages)

    def __len__(self):
        return self.pages


def swap_info(pages, badpages=(), maximum_pages=2**32 - 1, **options):
    return SwapInfo(0, NoDisk(pages, badpages), maximum_pages, **options)


def one(info, reclaim=None):
    """Take one slot of an area; with ``reclaim``, swap is full."""
    full = {} if reclaim is None else {"swap_full": lambda: True, "reclaim": reclaim}
    return next(iter(info.scan_swap_map_slots(1, **full)), None)
