"""A program's calls that wait for files with other signals blocked meanwhile. [fs/select.c]"""

from functools import partial

from .call_context import Call, CallContext
from .signal_family import set_mask_for_call

__all__ = ["MASKED_CALLS", "POLL_CALLS"]


def _ppoll(context: CallContext, address: int, count: int, timeout: int, mask: int, size: int,
           *_: int, wide: bool = False) -> int:
    set_mask_for_call(context, mask, size)
    return context.calls.ppoll(address, count, timeout, wide=wide)


def _pselect6(context: CallContext, count: int, reads: int, writes: int, others: int,
              timeout: int, masked: int, *, wide: bool = False) -> int:
    if masked:
        mask, size = context.words(context.load(masked, 2 * context.word_bytes))
        set_mask_for_call(context, mask, size)
    return context.calls.pselect6(count, (reads, writes, others), timeout, wide=wide)


def _select(context: CallContext, count: int, reads: int, writes: int, others: int,
            timeout: int, *_: int) -> int:
    """Wait for files, for seconds and microseconds; what is left of them is not stored."""
    limit = None
    if timeout:
        seconds, rest = context.words(context.load(timeout, 2 * context.word_bytes))
        limit = seconds * 10 ** 9 + rest * 1000
    return context.calls.select(count, (reads, writes, others), limit)


MASKED_CALLS = frozenset({"ppoll", "pselect6", "ppoll_time64", "pselect6_time64"})
"""Calls after which the signals are blocked again that were before them."""

POLL_CALLS: dict[str, Call] = {
    "ppoll": _ppoll, "pselect6": _pselect6, "select": _select, "_newselect": _select,
    "ppoll_time64": partial(_ppoll, wide=True), "pselect6_time64": partial(_pselect6, wide=True),
}
"""Each gets the context and all six arguments."""
