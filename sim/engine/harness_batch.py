"""What Python hands to the compiled harness: the structures of a run, and how one can end.

Each has the members of its namesake in C++, in their order.
"""

import ctypes
import enum

__all__ = ["Batch", "FrameArrays", "RunStatus", "TimedModel"]


class RunStatus(enum.IntEnum):
    """How a run ended; harness.cc has the same names."""

    DONE = 0
    """Every command is done, or the run stopped at a fault."""
    STALLED = 1
    """The hardware made no progress for ``stall_limit`` cycles."""
    UNASKED = 2
    """The hardware gave an answer to no command that waits for one."""


class FrameArrays(ctypes.Structure):
    """A physical memory; ``Frames`` in timed_memory.h has the same members."""

    _fields_ = (
        ("bytes", ctypes.c_void_p),
        ("pfns", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("zero_below", ctypes.c_uint64),
    )


class TimedModel(ctypes.Structure):
    """A memory model; ``Model`` in timed_memory.h has the same members."""

    _fields_ = (
        ("low_latency", ctypes.c_uint64),
        ("high_latency", ctypes.c_uint64),
        ("request_stall", ctypes.c_uint64),
        ("answer_stall", ctypes.c_uint64),
        ("error_rate", ctypes.c_uint64),
        ("keys", ctypes.c_void_p),
    )


class Batch(ctypes.Structure):
    """Arguments and results of one run; ``Batch`` in harness.cc has the same members."""

    _fields_ = (
        ("commands", ctypes.c_void_p),
        ("answers", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("frames", FrameArrays),
        ("model", TimedModel),
        ("first_cycle", ctypes.c_uint64),
        ("stall_limit", ctypes.c_uint64),
        ("stop_on_fault", ctypes.c_uint64),
        ("stop_on_unexpected", ctypes.c_uint64),
        ("stopped", ctypes.c_uint64),
        ("events", ctypes.c_void_p),
        ("cycle", ctypes.c_uint64),
        ("row", ctypes.c_uint64),
        ("errors", ctypes.c_void_p),
        ("error_count", ctypes.c_uint64),
    )
