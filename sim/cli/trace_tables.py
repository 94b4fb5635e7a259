"""The tables that ``pagewalk trace`` shows."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from ..uncut import Uncut

__all__ = ["tlb_table", "walk_table"]


def tlb_table(found: Mapping[str, Any]) -> Uncut:
    """Return a table with a column for the TLB of each port, and the second level."""
    columns = {**found["ports"], **({"l2": found["l2"]} if found["l2"] else {})}
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    sizes = [size for size in next(iter(columns.values()))["hits_by_size"]
             if any(column["hits_by_size"][size] for column in columns.values())]

    def row(label: str, value: Any) -> None:
        table.add_row(label, *(value(column) for column in columns.values()))

    row("lookups", lambda one: _count(one["lookups"]))
    row("hits", lambda one: _count(one["hits"]))
    if len(sizes) > 1:
        for size in sizes:
            row(f"  on {size} pages", lambda one, size=size: _count(one["hits_by_size"][size]))
    row("misses", lambda one: _count(one["misses"]))
    row("miss rate", lambda one: _ratio(one["miss_rate"], ".4%"))
    if any(column["mpki"] is not None for column in columns.values()):
        row("misses per 1,000 instructions", lambda one: _ratio(one["mpki"], ",.4f"))
    row("page faults", lambda one: _count(one.get("faults")))
    return Uncut(table)


def walk_table(found: Mapping[str, Any]) -> Uncut:
    """Return a table of the trace, its pages and the walks."""
    trace, mapped = found["trace"], found["mapped"]
    rows = {
        "accesses": _count(trace["accesses"]),
        "instructions": _count(trace["instructions"]),
        "pages touched, of 4k": _count(trace["pages"]),
        "address spaces": _count(trace["spaces"]) if trace["spaces"] > 1 else "",
        **{f"pages mapped, of {size}": _count(count)
           for size, count in mapped["pages"].items() if count},
        "frames of page tables": _count(mapped["page_tables"]),
        "walks": _count(found["walks"]),
        "entries read per walk": _ratio(found["reads_per_walk"], ".3f"),
        **{f"  {level.upper()}s read": _count(count) for level, count in found["reads"].items()},
        **{f"walks that began below the {level.upper()}": _count(count)
           for level, count in found["walk_cache_hits"].items()},
        "flags set": _count(found["updates"]),
        "flushes": _count(found["flushes"]) if found["flushes"] else "",
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="right", no_wrap=True)
    for label, text in rows.items():
        if text:
            table.add_row(label, text)
    return Uncut(table)


def _count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _ratio(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
