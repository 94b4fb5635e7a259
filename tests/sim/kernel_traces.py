"""Traces and free lists to replay: those of real kernels, and such as tests make up.

The real ones are cut from traces of whole boots of Debian's Linux 6.1: the comments at the top and
the lines from one mark to the other, ``sed -n '/^#/p; /SNAP_BEFORE_END$/,/SNAP_AFTER$/p'``.
"""

import gzip
from functools import cache
from pathlib import Path

import numpy as np

from pagewalk.sim.buddy.free_lists import read_free_lists
from pagewalk.sim.buddy.ftrace import read_trace

DATA = Path(__file__).parents[1] / "data"
BOOTS = ("amd64-D", "i686-A")
HIGH_FRACTION = {"amd64-D": 2000, "i686-A": 0}  # vm.percpu_pagelist_high_fraction


def trace_file(boot):
    return DATA / f"{boot}.trace-buddy.txt.gz"


def free_lists_file(boot):
    return DATA / f"{boot}.freelists.npz"


def recorded(boot):
    """Return the events and the free lists of a boot, to be changed at will."""
    return list(_events(boot)), read_free_lists(free_lists_file(boot))


@cache
def _events(boot):
    return read_trace(trace_file(boot))


def line(event, details):
    """Return a line of ftrace."""
    return f"   my churn-1-1541    [000] d..3.    60.482939: {event}: {details}"


def page_line(event, pfn, **fields):
    """Return the line of an event about a page."""
    more = "".join(f" {name}={value}" for name, value in fields.items())
    return line(event, f"page=00000000c0ffee00 pfn={pfn:#x}{more}")


MARKS = [line("tracing_mark_write", mark) for mark in ("SNAP_BEFORE_END", "SNAP_AFTER")]


def write_trace(path, lines, *, marks=MARKS):
    """Write ``lines`` between the marks; return the path."""
    text = "\n".join(["# tracer: nop", "#", *marks[:1], *lines, *marks[1:]]) + "\n"
    path.write_bytes(gzip.compress(text.encode()))
    return path


ZONES = ["(0, 0, 'DMA', 1, 4095, 3998, 3840, 190, 237, 284, 331)",
         "(0, 1, 'Normal', 4096, 4196, 4196, 4196, 10, 20, 30, 40)"]


def free_list_arrays(free=(), pcp=(), after_free=None, after_pcp=None, zones=ZONES, types=()):
    """Return the arrays of a file of free lists, of two zones whose pageblocks are movable.

    ``free`` and ``pcp`` are rows before, and after if nothing else is given; ``types`` are
    (pageblock, type) of pageblocks that are not movable.
    """
    pageblocks = np.array([(512 * block, 9) for block in range(17)])  # 9: movable, and a skip bit
    for block, kind in types:
        pageblocks[block, 1] = kind
    after_free = free if after_free is None else after_free
    after_pcp = pcp if after_pcp is None else after_pcp
    return {
        "before_zone": np.array(zones), "after_zone": np.array(zones),
        "before_pageblock": pageblocks, "after_pageblock": pageblocks.copy(),
        "before_free": np.array(free, np.int64).reshape(-1, 6),
        "after_free": np.array(after_free, np.int64).reshape(-1, 6),
        "before_pcp": np.array(pcp, np.int64).reshape(-1, 5),
        "after_pcp": np.array(after_pcp, np.int64).reshape(-1, 5),
    }


def write_free_lists(path, arrays):
    """Write the arrays; return the path."""
    np.savez_compressed(path, **arrays)
    return path
