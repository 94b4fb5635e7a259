"""What page tables map as a page: registers, findings and ranges of each processor."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..picture import size_name
from .document import Document

__all__ = ["dump_page"]

MOST_ROWS = 1000
"""Of all tables of ranges together, so that a page stays below 300 kB."""

Figures = Mapping[str, Any]


def dump_page(figures: Figures) -> Document:
    """Return a page of the figures of ``pagewalk dump``."""
    page = Document(f"Mappings in {figures['file']}")
    page.paragraph(f"Physical memory in the format {figures['format']}.")
    _cut(page, "Physical memory in the file", ("from", "to", "size"), [
        (f"{one['start']:#x}", f"{one['end']:#x}", f"{one['end'] - one['start']:#x}")
        for one in figures["ranges"]], MOST_ROWS // 10)
    if "candidates" in figures:
        _cut(page, "Plausible values of CR3", ("CR3", "mode", "pages", "maps itself"), [
            (f"{one['cr3']:#x}", one["mode"], f"{one['pages']:,}",
             "yes" if one["maps_itself"] else "no") for one in figures["candidates"]], MOST_ROWS)
        return page
    cpus = figures["cpus"]
    for cpu in cpus:
        _processor(page, cpu, MOST_ROWS // len(cpus))
    if "tables" in figures:
        page.heading("Page tables")
        _cut(page, "Page tables", ("table", "frame", "translates from", "entries", "uses", "of"), [
            (one["table"], f"{one['pfn']:#x}", f"{one['first']:#x}", one["entries"], one["uses"],
             ", ".join(one["cpus"])) for one in figures["tables"]], MOST_ROWS // 2)
    return page


def _processor(page: Document, cpu: Figures, most: int) -> None:
    page.heading(cpu["name"])
    page.paragraph(f"{cpu['mode']} paging, {cpu['pages']:,} pages mapped.")
    page.table("Registers", ("register", "value"), [
        (name.upper(), f"{cpu[name]:#x}") for name in ("cr0", "cr3", "cr4", "efer")])
    if cpu["findings"]:
        page.table("Findings", ("finding", "count", "the first at"), [
            (one["kind"], f"{one['count']:,}",
             "unknown" if one["vaddr"] is None else f"{one['vaddr']:#x}")
            for one in cpu["findings"]])
    else:
        page.paragraph("Findings: none.")
    if "frame" in cpu:
        _cut(page, "What maps the frame", ("at", "page", "rights"), [
            (f"{one['vaddr']:#x}", size_name(one["page_bytes"]), one["rights"])
            for one in cpu["frame"]], most)
    _cut(page, "Ranges", ("from", "to", "page size", "pages", "rights", "first frame at", "region"),
         [(f"{one['start']:#x}", f"{one['end']:#x}", size_name(one["page_bytes"]),
           f"{one['pages']:,}", one["rights"], f"{one['paddr']:#x}", one["region"])
          for one in cpu["mappings"][:most + 1]], most, len(cpu["mappings"]))


def _cut(page: Document, caption: str, names: Sequence[str], rows: Sequence[Sequence[object]],
         most: int, total: int | None = None) -> None:
    """Add a table of at most so many rows, and say how many ``total`` has more."""
    page.table(caption, names, rows[:most])
    more = (len(rows) if total is None else total) - most
    if more > 0:
        page.paragraph(f"And {more:,} more, which --json has.")
