"""The workloads by name, each made from how many pages it uses and how many accesses it makes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ...model.x86 import PAGE_BYTES
from .calling import churn, forking, kmapping
from .huge_pages import huge
from .memory_only import ORDERS, paged, sharing, stack
from .workload import HUGE_BYTES, Workload

__all__ = ["WORKLOADS", "Recipe", "make_workload"]

BURST = 16
SLICE_VISITS = 8


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a workload is made, and on what machine it shows what it is for.

    Parameters
    ----------
    make : callable
        Makes it from about how many pages, at least how many accesses, and a seed.
    memory : int
        Mbytes of the machine, if nothing else is asked for.
    overcommit : float
        How many times the free pages of the machine it uses, if nothing else is asked for.
    """

    make: Callable[[int, int, int], Workload]
    memory: int = 4
    overcommit: float = 4


def _paged(order: str, pages: int, accesses: int, seed: int) -> Workload:
    return paged(order, pages=pages, visits=-(-accesses // BURST), burst=BURST, seed=seed)


def _stack(pages: int, accesses: int, seed: int) -> Workload:
    return stack(pages=pages, calls=-(-accesses // 8), seed=seed)


def _sharing(pages: int, accesses: int, seed: int) -> Workload:
    slices = -(-accesses // (2 * SLICE_VISITS * BURST))
    return sharing(pages=-(-pages // 3), slices=slices, slice_visits=SLICE_VISITS, burst=BURST,
                   seed=seed)


def _forking(pages: int, accesses: int, seed: int) -> Workload:
    return forking(pages=pages, rounds=-(-accesses // BURST), burst=BURST, seed=seed)


def _churn(pages: int, accesses: int, seed: int) -> Workload:
    return churn(pages=pages, rounds=-(-accesses // BURST), burst=BURST, seed=seed)


def _kmapping(pages: int, accesses: int, seed: int) -> Workload:
    return kmapping(pages=pages, visits=-(-accesses // BURST), burst=BURST // 2, seed=seed)


def _huge(pages: int, accesses: int, seed: int) -> Workload:
    blocks = max(pages * PAGE_BYTES // HUGE_BYTES - 1, 1)  # and one that is shared
    return huge(blocks=blocks, rounds=-(-accesses // (2 * BURST)), burst=BURST, seed=seed)


WORKLOADS: dict[str, Recipe] = {
    **{order: Recipe(partial(_paged, order)) for order in ORDERS},
    "stack": Recipe(_stack),
    "sharing": Recipe(_sharing),
    "fork": Recipe(_forking),
    "churn": Recipe(_churn),
    "kmap": Recipe(_kmapping),
    # Huge pages are never swapped: all that its processes can have is set aside beforehand.
    "huge": Recipe(_huge, memory=64, overcommit=0.25),
}
"""The workloads by name."""


def make_workload(name: str, *, pages: int, accesses: int, seed: int = 0) -> Workload:
    """Return a workload of about so many pages and accesses; ``name`` is one of ``WORKLOADS``."""
    return WORKLOADS[name].make(pages, accesses, seed)
