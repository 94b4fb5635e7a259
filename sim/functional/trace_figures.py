"""The figures of a trace on TLBs, and what must hold between them."""

from collections.abc import Mapping
from typing import Any

from ...hdl.config import Config
from ...hdl.shapes import page_name
from .trace_run import TraceRun

__all__ = ["broken_identities", "figures", "flattened", "identities"]


def figures(run: TraceRun) -> dict[str, Any]:
    """Return all figures of a run by name, those of each port, the second level and the walks."""
    config, counts, totals = run.config, run.counts, run.trace.totals
    thousands = totals.instructions / 1000 if totals.instructions else None
    ports = {port: _level(config, counts, port, thousands) for port in config.ports}
    for port, found in ports.items():
        found["faults"] = counts[f"{port}_fault"]
    levels = [level.name.lower() for level in config.mode.levels]
    reads = {level: counts[f"walk_read_{level}"] for level in levels}
    walks = counts["walk_start"]
    return {
        "trace": {
            "format": run.trace.format, "accesses": totals.accesses,
            "translations": totals.translations, "runs": totals.runs, "skipped": totals.skipped,
            "instructions": totals.instructions, **totals.by_kind, "spaces": run.spaces,
            "pages": run.touched},
        "accesses": totals.accesses,
        "ports": ports,
        "l2": _level(config, counts, "l2", thousands) if config.l2_entries else None,
        "walks": walks,
        "walk_mpki": walks / thousands if thousands else None,
        "reads": reads,
        "reads_per_walk": sum(reads.values()) / walks if walks else None,
        "walk_cache_hits": {level: counts[f"walk_hit_{level}"] for level in levels[:-1]},
        "updates": counts["walk_update"],
        "faults": counts["walk_fault"],
        "flushes": counts["flush"],
        "mapped": _mapped(run),
    }


def _level(config: Config, counts: Mapping[str, int], name: str,
           thousands: float | None) -> dict[str, Any]:
    """Return lookups, hits and misses of one TLB."""
    hits = {page_name(page): counts[f"{name}_hit_{page_name(page)}"] for page in config.mode.pages}
    lookups, misses = counts[f"{name}_lookup"], counts[f"{name}_miss"]
    return {"lookups": lookups, "hits": sum(hits.values()), "misses": misses, "hits_by_size": hits,
            "miss_rate": misses / lookups if lookups else None,
            "mpki": misses / thousands if thousands else None}


def _mapped(run: TraceRun) -> dict[str, Any]:
    """Return what the pages of the trace take: pages by size, bytes, frames of page tables."""
    pages, sizes = run.pages.pages, run.config.mode.pages
    by_size = {page_name(size): sum(page.size == number for page in pages)
               for number, size in enumerate(sizes)}
    return {"pages": by_size, "bytes": sum(sizes[page.size].page_bytes for page in pages),
            "page_tables": run.pages.supply.tables}


def identities(run: TraceRun) -> dict[str, tuple[int, int]]:
    """Return two figures for each rule that says that they are equal, by the rule."""
    config, counts = run.config, run.counts

    def of(name: str) -> int:
        return sum(counts[f"{name}_hit_{page_name(page)}"] for page in config.mode.pages)

    levels = [level.name.lower() for level in config.mode.levels]
    misses = sum(counts[f"{port}_miss"] for port in config.ports)
    faults = sum(counts[f"{port}_fault"] for port in config.ports)
    walks, last = counts["walk_start"], "l2" if config.l2_entries else ""
    rules = {f"{name} hits + misses = lookups": (of(name) + counts[f"{name}_miss"],
                                                 counts[f"{name}_lookup"])
             for name in (*config.ports, *[last] * bool(last))}
    if last:
        rules["misses of the ports = l2 lookups"] = misses, counts["l2_lookup"]
    return {
        **rules,
        "accesses by page + faults = lookups of the ports": (
            run.played + faults, sum(counts[f"{port}_lookup"] for port in config.ports)),
        "misses of the last TLB = walks": (counts["l2_miss"] if last else misses, walks),
        "walks begun = walks ended": (walks, counts["walk_end"]),
        "walks without a walk-cache hit = reads of the root's entries": (
            walks - sum(counts[f"walk_hit_{level}"] for level in levels[:-1]),
            counts[f"walk_read_{levels[0]}"]),
        "faults of the ports = faults of walks": (faults, counts["walk_fault"]),
    }


def broken_identities(run: TraceRun) -> list[str]:
    """Return what does not hold between the figures of a run; it should be nothing."""
    return [f"{rule}: {one} and {other}" for rule, (one, other) in identities(run).items()
            if one != other]


def flattened(found: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return figures with the names of what they stand in before theirs, None left out."""
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat
