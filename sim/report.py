"""What a replay found and what it cost, as tables and walks for people to read."""

import sys
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..model.x86 import PagingMode, Vector
from .cosim.workload_result import WorkloadResult
from .image import Image
from .picture import size_name, walk_picture
from .result import Mismatch, Result
from .vectors import NO_PADDR, NO_VECTOR

__all__ = [
    "image_summary",
    "image_table",
    "make_console",
    "mismatch_report",
    "result_table",
    "walk_picture",
    "workload_table",
]

WIDTH = 100
OUTCOMES = ("present", "write", "user", "fetch")
"""Fields of a mismatch whose values are 0 or 1: whether there was a fault."""


class _Console(Console):
    """A console that leaves it to its caller what to do when nobody reads on."""

    def on_broken_pipe(self) -> None:
        """Raise the ``BrokenPipeError`` that is being handled, where rich would exit."""
        raise


def make_console(*, stderr: bool = False) -> Console:
    """Return a console: colours on a terminal, plain text when piped or under NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH
    return _Console(stderr=stderr, width=width, highlight=False, markup=False)


def result_table(results: Mapping[str, Result]) -> Table:
    """Return a table with a column for each of the results, by name.

    A row is left out if no result has anything for it, as those of the hardware if there was
    none. Agreements count the items, hits and misses the accesses made to them.
    """
    columns = [_rows(result) for result in results.values()]
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right", no_wrap=True)
    for name in sorted({name for column in columns for name in column}, key=_place):
        table.add_row(name, *(column.get(name, "") for column in columns))
    return table


def workload_table(runs: Mapping[str, WorkloadResult]) -> Table:
    """Return a table with a column for each run of a workload on a machine, by name.

    A program that is made to swap pays for the disk: the last row is the average time of an access
    with all of its faults, in cycles of 1 ns.
    """
    columns = [_workload_rows(run) for run in runs.values()]
    table = Table(box=None, pad_edge=False)
    table.add_column("memory of the machine")
    for name in runs:
        table.add_column(name, justify="right", no_wrap=True)
    for row in columns[0]:
        table.add_row(row, *(column[row] for column in columns))
    return table


def _workload_rows(run: WorkloadResult) -> dict[str, str]:
    counts, events, disk = run.counts, run.counts.events, run.disk
    hits = sum(count for name, count in events.items() if name.startswith("data_hit_"))
    reads = sum(count for name, count in events.items() if name.startswith("walk_read_"))
    return {
        "loads and stores": _count(counts.accesses),
        "wrong values": _count(run.wrong),
        "frames and slots leaked": _count(run.leaked),
        "minor faults": _count(counts.minor),
        "major faults": _count(counts.major),
        "pages swapped out": _count(disk.pages_out),
        "pages swapped in": _count(disk.pages_in),
        "invalidations": _count(counts.invalidations),
        "TLB hits": _share(hits, events["data_lookup"]),
        "walks": _count(events["walk_start"]),
        "page-table reads": _count(reads),
        "cycles of the MMU": _count(counts.cycles),
        "milliseconds of the disk": f"{disk.time_ns / 1e6:,.1f}",
        "cycles per access": f"{run.access_cycles:,.1f}",
    }


def mismatch_report(mode: PagingMode, mismatches: Iterable[Mismatch]) -> Group:
    """Return each mismatch: what was expected and what came, and the golden walk as a picture.

    Mismatches of one access that follow each other share its picture.
    """
    parts: list[RenderableType] = []
    for (_, control, walk), group in groupby(
            mismatches, key=lambda one: (one.place, one.control, one.walk)):
        parts += [Text(_headline(mode, mismatch), style="bold red") for mismatch in group]
        if control is not None and walk is not None:
            parts.append(Text("The golden model walks:\n"))
            parts.append(walk_picture(mode, control, walk))
    return Group(*parts)


def image_summary(image: Image) -> dict[str, Any]:
    """Return what is in an image as what ``json`` can write: each view, its probes by page size."""
    views = {}
    for view in image.views:
        by_size = {size_name(level.page_bytes): level.page_bytes for level in image.mode.pages}
        views[view.name] = {
            "cr3": view.control.cr3,
            "frames": len(view.pfns),
            "probes": len(view.probes),
            **{name: int(np.count_nonzero(view.probes.size == size))
               for name, size in by_size.items()},
            "unmapped": int(np.count_nonzero(~view.probes.mapped)),
        }
    return {"mode": image.mode.name, "views": views}


def image_table(image: Image) -> Table:
    """Return a table of the views of an image: frames of the cap, probes by page size."""
    summary = image_summary(image)
    table = Table(box=None, pad_edge=False)
    table.add_column(f"view ({summary['mode']})", no_wrap=True)
    for name in next(iter(summary["views"].values())):
        table.add_column(name.upper() if name == "cr3" else name, justify="right", no_wrap=True)
    for name, figures in summary["views"].items():
        table.add_row(name, *(f"{value:#x}" if key == "cr3" else _count(value)
                              for key, value in figures.items()))
    return table


SIZES = ("4K", "2M", "4M", "1G")
LEVELS = ("PML4E", "PDPTE", "PDE", "PTE")
ORDER = ("probes", "vectors", "agreements", "mismatches", "  in ", "accesses",
         "hits", *(f"  {size} pages" for size in SIZES), "misses", "walk-cache hits",
         "page-table reads", *(f"  {level}" for level in LEVELS), "A/D updates",
         "cycles", "cycles per translation", "seconds")


def _place(name: str) -> tuple[int, str]:
    """Return where the row ``name`` stands in the table."""
    known = ORDER.index("  in ") if name.startswith("  in ") else ORDER.index(name)
    return known, name


def _rows(result: Result) -> dict[str, str]:
    """Return the rows of one result by name."""
    rows = {
        result.items: _count(result.total),
        "agreements": _count(result.total - result.mismatched_items),
        "mismatches": _count(result.mismatches),
        **{f"  in {field}": _count(count) for field, count in result.mismatches_by_field.items()},
        "accesses": _count(result.accesses),
        "seconds": f"{result.seconds:.1f}",
    }
    if result.cycles:
        rows |= _hardware_rows(result)
        rows["cycles"] = _count(result.cycles)
        rows["cycles per translation"] = f"{result.cycles / max(result.accesses, 1):.2f}"
    return rows


def _hardware_rows(result: Result) -> dict[str, str]:
    """Return the rows that come from the counted events of the hardware."""
    events = result.events

    def over_ports(event: str) -> int:
        return sum(count for name, count in events.items() if name.endswith(event))

    hits = {size_name(level.page_bytes): over_ports(f"_hit_{size_name(level.page_bytes).lower()}")
            for level in result.mode.pages}
    reads = {level.name: events[f"walk_read_{level.name.lower()}"] for level in result.mode.levels}
    walk_hits = sum(count for name, count in events.items() if name.startswith("walk_hit_"))
    return {
        "hits": _share(sum(hits.values()), over_ports("_lookup")),
        **{f"  {size} pages": _count(count) for size, count in hits.items()},
        "misses": _count(over_ports("_miss")),
        "walk-cache hits": _share(walk_hits, events["walk_start"]),
        "page-table reads": _count(sum(reads.values())),
        **{f"  {level}": _count(count) for level, count in reads.items()},
        "A/D updates": _count(events["walk_update"]),
    }


def _share(part: int, whole: int) -> str:
    return f"{_count(part)} ({100 * part / max(whole, 1):.1f} %)"


def _count(value: int) -> str:
    return f"{value:,}"


def _headline(mode: PagingMode, mismatch: Mismatch) -> str:
    expected, got = (_value(mode, mismatch.field, value)
                     for value in (mismatch.expected, mismatch.got))
    if mismatch.walk is None:
        return (f"Mismatch in {mismatch.place}: the page tables at {mismatch.paddr:#x} should hold "
                f"{expected} afterwards, but hold {got}")
    return (f"Mismatch in {mismatch.place}, field {mismatch.field}: "
            f"expected {expected}, got {got}")


def _value(mode: PagingMode, field: str, value: int) -> str:
    """Return a field's value as people write it."""
    field = field.removeprefix("model_")
    if field in (*OUTCOMES, "fault"):
        return "a fault" if value else "no fault"
    if (field, value) in (("vector", NO_VECTOR), ("pa", NO_PADDR)):
        return "none"
    if field == "page_size":
        return size_name(value)
    if field == "page" and value < len(mode.pages):
        return size_name(mode.pages[value].page_bytes)
    if field == "vector" and value in [*Vector]:
        return f"#{Vector(value).name}"
    return str(value) if field == "memory_type" else f"{value:#x}"
