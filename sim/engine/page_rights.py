"""What the page of a golden walk permits, as an answer says it."""

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.mmu.batch import Walks
from ...model.mmu.walk import Walk
from ...model.x86 import Cr4, Entry, lowest_bit

__all__ = ["batch_page_rights", "page_rights"]


def page_rights(walk: Walk) -> dict[str, int]:
    """Return the fields ``PAGE_RIGHTS`` of the answer that a walk without fault leads to."""
    rights = walk.rights
    return {"writable": int(rights.writable), "user": int(rights.user_page),
            "execute_disable": int(rights.execute_disable), "key": rights.key,
            "dirty": int(walk.dirty), "global_page": int(walk.global_page)}


def batch_page_rights(
    config: Config, walks: Walks, cr4: NDArray[np.unsignedinteger]
) -> dict[str, NDArray[np.unsignedinteger]]:
    """Return the same of many walks (N,), under ``cr4`` (N,); nothing if there are no steps.

    On a fault all are 0, and without paging a page permits everything.
    """
    steps = walks.steps
    if steps is None:
        return {}
    mode, count = config.mode, steps.count
    made = np.arange(steps.entry.shape[1]) < count[:, None]
    of_all = np.bitwise_and.reduce(np.where(made, steps.entry, ~np.uint64(0)), axis=1)
    of_any = np.bitwise_or.reduce(np.where(made, steps.entry, np.uint64(0)), axis=1)
    rows = np.arange(len(count))
    last = np.where(count > 0, steps.updated[rows, np.maximum(count, 1) - 1], np.uint64(Entry.D))
    found = {
        "writable": of_all & Entry.RW != 0, "user": of_all & Entry.US != 0,
        "execute_disable": (of_any & Entry.XD != 0) & mode.has_execute_disable,
        "key": ((last & Entry.KEY) >> np.uint64(lowest_bit(Entry.KEY))) * mode.has_protection_keys,
        "dirty": last & Entry.D != 0, "global_page": (last & Entry.G != 0) & (cr4 & Cr4.PGE != 0)}
    return {name: np.where(walks.fault, 0, value).astype(np.uint8)
            for name, value in found.items()}
