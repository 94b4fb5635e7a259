"""The workloads by name, each made from how many pages it uses and how many accesses it makes."""

from collections.abc import Callable
from functools import partial

from .calling import churn, forking, kmapping
from .memory_only import ORDERS, paged, sharing, stack
from .workload import Workload

__all__ = ["WORKLOADS", "make_workload"]

BURST = 16
SLICE_VISITS = 8


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


WORKLOADS: dict[str, Callable[[int, int, int], Workload]] = {
    **{order: partial(_paged, order) for order in ORDERS},
    "stack": _stack, "sharing": _sharing, "fork": _forking, "churn": _churn, "kmap": _kmapping,
}
"""What makes each: from about how many pages, and at least how many accesses, and a seed."""


def make_workload(name: str, *, pages: int, accesses: int, seed: int = 0) -> Workload:
    """Return a workload of about so many pages and accesses; ``name`` is one of ``WORKLOADS``."""
    return WORKLOADS[name](pages, accesses, seed)
