"""What a replay found and what it cost, as tables and walks for people to read."""

import os
import sys
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..model.x86 import LA57, PagingMode, Vector
from .cosim.workload_result import WorkloadResult
from .image import Image
from .picture import size_name, walk_picture
from .result import Mismatch, Result
from .uncut import Uncut
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
    """A console that raises ``BrokenPipeError`` when the reader of its output is gone."""

    def on_broken_pipe(self) -> None:
        """Raise the ``BrokenPipeError`` that is being handled, where rich would exit."""
        raise


class _WholeConsole(_Console):
    """One that also shows everything whole, however narrow the terminal is."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts without wrapping them, and tables without cutting their columns."""
        whole = (Uncut(one) if isinstance(one, (Table, Group)) else one for one in objects)
        super().print(*whole, **{"soft_wrap": True} | options)


def make_console(*, stderr: bool = False, live: bool = False) -> Console:
    """Return a console: colours on a terminal, plain text when piped or under NO_COLOR.

    Under NO_COLOR a terminal is written to as if it were none: no escape sequence of any kind.
    Nothing is wrapped or cut, unless the console is ``live``, for progress bars.
    """
    stream = sys.stderr if stderr else sys.stdout
    on_terminal = stream is not None and stream.isatty()
    kind = _Console if live else _WholeConsole
    return kind(stderr=stderr, width=None if on_terminal else WIDTH, highlight=False, markup=False,
                force_terminal=False if os.environ.get("NO_COLOR") else None)


def result_table(results: Mapping[str, Result]) -> Uncut:
    """Return a table with a column for each of the results, by name.

    A row is left out if no result has anything for it, as those of the hardware if there was
    none. Agreements count the items, hits and misses the accesses made to them.
    """
    columns = [_rows(result) for result in results.values()]
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted({row for column in columns for row in column}, key=_place):
        table.add_row(_label(row), *(column.get(row, "") for column in columns))
    return Uncut(table)


def workload_table(runs: Mapping[str, WorkloadResult]) -> Uncut:
    """Return a table with a column for each run of a workload on a machine, by name.

    The cycles of the MMU are measured; rows whose name begins with "assumed" are not, and go into
    the last. Those of the hardware are left out if there was none.
    """
    columns = [_workload_rows(run) for run in runs.values()]
    table = Table(box=None, pad_edge=False)
    table.add_column("memory of the machine")
    for name in runs:
        table.add_column(name, justify="right", no_wrap=True)
    for key, label in WORKLOAD_LABELS.items():
        if any(key in column for column in columns):
            table.add_row(label, *(column.get(key, "") for column in columns))
    return Uncut(table)


WORKLOAD_LABELS = {
    "accesses": "loads and stores",
    "wrong": "wrong values",
    "leaked": "frames and slots leaked",
    "minor_faults": "minor faults",
    "major_faults": "major faults",
    "pages_out": "pages swapped out",
    "pages_in": "pages swapped in",
    "invalidations": "invalidations",
    "hits": "TLB hits",
    "walks": "walks",
    "reads": "page-table reads",
    "cycles": "cycles of the MMU",
    "mmu_cycles": "MMU cycles per access",
    "fault_cycles": "assumed cycles of faults",
    "disk_cycles": "assumed cycles of the disk",
    "access_cycles": "cycles per access with these",
}
"""The rows of a workload's table in their order: by key, what is shown in front of the figure."""


def _workload_rows(run: WorkloadResult) -> dict[str, str]:
    """Return the figures of one run by the keys of ``WORKLOAD_LABELS``."""
    counts, disk = run.counts, run.disk
    return {
        "accesses": _count(counts.accesses),
        "wrong": _count(run.wrong),
        "leaked": _count(run.leaked),
        "minor_faults": _count(counts.minor),
        "major_faults": _count(counts.major),
        "pages_out": _count(disk.pages_out),
        "pages_in": _count(disk.pages_in),
        "invalidations": _count(counts.invalidations),
        **(_mmu_rows(run) if counts.cycles else {}),
        "fault_cycles": _count(run.fault_cycles),
        "disk_cycles": _count(round(run.disk_cycles)),
        "access_cycles": f"{run.access_cycles:,.1f}",
    }


def _mmu_rows(run: WorkloadResult) -> dict[str, str]:
    """Return what the hardware measured of a run."""
    events = run.counts.events
    hits = sum(count for name, count in events.items() if name.startswith("data_hit_"))
    reads = sum(count for name, count in events.items() if name.startswith("walk_read_"))
    return {
        "hits": _share(hits, events["data_lookup"]),
        "walks": _count(events["walk_start"]),
        "reads": _count(reads),
        "cycles": _count(run.counts.cycles),
        "mmu_cycles": f"{run.mmu_cycles_per_access:,.2f}",
    }


def mismatch_report(mode: PagingMode, mismatches: Iterable[Mismatch]) -> Uncut:
    """Return each mismatch: what was expected and what came, and the golden walk as a picture.

    Mismatches of one access that follow each other share its picture.
    """
    parts: list[RenderableType] = []
    for (_, control, walk), group in groupby(
            mismatches, key=lambda one: (one.place, one.control, one.walk)):
        parts += [Text(_headline(mode, mismatch), style="bold red") for mismatch in group]
        if control is not None and walk is not None:
            parts.append(Text("The golden model walks:\n"))
            parts += [walk_picture(mode, control, walk), Text()]
    return Uncut(Group(*parts))


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


def image_table(image: Image) -> Uncut:
    """Return a table of the views of an image: frames of the cap, probes by page size."""
    summary = image_summary(image)
    table = Table(box=None, pad_edge=False)
    table.add_column(f"view ({summary['mode']})", no_wrap=True)
    for name in next(iter(summary["views"].values())):
        table.add_column(name.upper() if name == "cr3" else name, justify="right", no_wrap=True)
    for name, figures in summary["views"].items():
        table.add_row(name, *(f"{value:#x}" if key == "cr3" else _count(value)
                              for key, value in figures.items()))
    return Uncut(table)


LABELS = {
    "items": "{}",
    "agreements": "agreements",
    "mismatches": "mismatches",
    "mismatches_in": "  in {}",
    "accesses": "accesses",
    "hits": "hits",
    "hits_of_size": "  {} pages",
    "misses": "misses",
    "walk_cache_hits": "walk-cache hits",
    "reads": "page-table reads",
    "reads_of_level": "  {}",
    "updates": "A/D updates",
    "cycles": "cycles",
    "cycles_per_translation": "cycles per translation",
    "seconds": "seconds",
}
"""The rows of a result's table in their order: by key, what is shown in front of the figure.

Where it has a gap there is a row for each item, field, page size or level that a result tells of.
"""

Row = tuple[str, str | int]  # a key of LABELS, and what fills its gap: text, or a size in bytes

LEVELS = [level.name for level in LA57.levels]
"""The levels in the order of their rows; those of the other modes are among them."""


def _place(row: Row) -> tuple[int, str | int]:
    """Return where a row stands in the table: page sizes ascend, levels go down from the root."""
    key, detail = row
    if key == "reads_of_level":
        detail = LEVELS.index(str(detail))
    return [*LABELS].index(key), detail


def _label(row: Row) -> str:
    """Return what is shown in front of the figures of a row."""
    key, detail = row
    return LABELS[key].format(size_name(detail) if isinstance(detail, int) else detail)


def _rows(result: Result) -> dict[Row, str]:
    """Return the figures of one result by row."""
    rows: dict[Row, str] = {
        ("items", result.items): _count(result.total),
        ("agreements", ""): _count(result.total - result.mismatched_items),
        ("mismatches", ""): _count(result.mismatches),
        **{("mismatches_in", field): _count(count)
           for field, count in result.mismatches_by_field.items()},
        ("accesses", ""): _count(result.accesses),
        ("seconds", ""): f"{result.seconds:.1f}",
    }
    if result.cycles:
        rows |= _hardware_rows(result)
        rows["cycles", ""] = _count(result.cycles)
        rows["cycles_per_translation", ""] = f"{result.cycles / max(result.accesses, 1):.2f}"
    return rows


def _hardware_rows(result: Result) -> dict[Row, str]:
    """Return the figures that come from the counted events of the hardware, by row."""
    events = result.events

    def over_ports(event: str) -> int:
        return sum(count for name, count in events.items() if name.endswith(event))

    sizes = [level.page_bytes for level in result.mode.pages]
    hits = {size: over_ports(f"_hit_{size_name(size).lower()}") for size in sizes}
    reads = {level.name: events[f"walk_read_{level.name.lower()}"] for level in result.mode.levels}
    walk_hits = sum(count for name, count in events.items() if name.startswith("walk_hit_"))
    return {
        ("hits", ""): _share(sum(hits.values()), over_ports("_lookup")),
        **{("hits_of_size", size): _count(count) for size, count in hits.items()},
        ("misses", ""): _count(over_ports("_miss")),
        ("walk_cache_hits", ""): _share(walk_hits, events["walk_start"]),
        ("reads", ""): _count(sum(reads.values())),
        **{("reads_of_level", level): _count(count) for level, count in reads.items()},
        ("updates", ""): _count(events["walk_update"]),
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
