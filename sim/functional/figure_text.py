"""Figures of a trace as texts for other tools: a line of CSV, and the stats.txt of gem5."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from .trace_figures import flattened

__all__ = ["figures_csv", "figures_stats"]

NAME_WIDTH, VALUE_WIDTH = 44, 20

COMMENTS = {
    "lookups": "requests that were looked up (Count)",
    "hits": "lookups that hit (Count)",
    "misses": "lookups that missed (Count)",
    "miss_rate": "misses / lookups (Ratio)",
    "mpki": "misses per 1,000 instructions (Rate)",
    "walk_mpki": "walks per 1,000 instructions (Rate)",
    "faults": "page faults (Count)",
    "walks": "page-table walks (Count)",
    "reads_per_walk": "page-table entries read per walk (Rate)",
    "updates": "entries whose accessed or dirty flag was set (Count)",
    "flushes": "switches of the address space that dropped all (Count)",
    "accesses": "accesses of the trace (Count)",
    "instructions": "instructions of the trace (Count)",
    "page_tables": "frames of page tables (Count)",
    "bytes": "bytes of the pages that are mapped (Byte)",
}
GROUPS = {
    "hits_by_size": "hits on pages of this size (Count)",
    "reads": "page-table entries of this level that were read (Count)",
    "walk_cache_hits": "walks that began below this level (Count)",
    "pages": "pages of this size that are mapped (Count)",
    "trace": "of the trace (Count)",
}


def figures_csv(found: Mapping[str, Any]) -> str:
    """Return figures as a line of names and a line of values."""
    text, flat = io.StringIO(), flattened(found)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(flat)
    writer.writerow(flat.values())
    return text.getvalue()


def figures_stats(found: Mapping[str, Any]) -> str:
    """Return figures as gem5 prints statistics: ``name value # comment`` in each line."""
    lines = ["", "---------- Begin Simulation Statistics ----------"]
    for name, value in flattened(found).items():
        if isinstance(value, str):
            continue
        shown = f"{value:.6f}" if isinstance(value, float) else f"{value}"
        *groups, last = name.split(".")
        comment = COMMENTS.get(last) or next(
            (GROUPS[one] for one in reversed(groups) if one in GROUPS), "(Count)")
        lines.append(f"{name:<{NAME_WIDTH}} {shown:>{VALUE_WIDTH}} # {comment}")
    return "\n".join([*lines, "", "---------- End Simulation Statistics   ----------", ""])
