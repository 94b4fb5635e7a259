"""A walk as a page: the fields of the address, every level, the outcome, what caches may keep."""

from collections.abc import Mapping
from html import escape
from typing import Any

from ...model.x86 import PagingMode
from ..picture import size_name
from .document import Document, Words

__all__ = ["walk_page"]

BIT_WIDTH, FIELD_HEIGHT = 18, 46

Figures = Mapping[str, Any]


def walk_page(mode: PagingMode, figures: Figures, changes: str = "") -> Document:
    """Return a page of the figures that ``walk_figures`` makes of a walk in ``mode``.

    With ``after`` among them there is a second walk, after the ``changes``.
    """
    page = Document(f"Walk of linear address {figures['vaddr']:#x}")
    after = figures.get("after")
    if after is not None:
        page.heading("Before")
    _walk(page, mode, figures, 2 + (after is not None))
    if after is not None:
        page.heading(f"After {changes}")
        _walk(page, mode, after, 3)
    return page


def _walk(page: Document, mode: PagingMode, figures: Figures, level: int) -> None:
    who = "user" if figures["user"] else "supervisor"
    page.paragraph(f"A {figures['kind']} by the {who}, with {mode.name} paging.")
    _outcome(page, figures)
    page.heading("The address", level)
    _fields(page, mode, figures)
    page.heading("The levels", level)
    page.table("Entries that were read, the root's first",
               ("level", "index", "at", "entry", "flags", "set by the walk", "leads to"),
               [_entry(one) for one in figures["levels"]])
    page.heading("What a processor may keep", level)
    _kept(page, figures)
    page.table("Registers", ("register", "value"), [
        (name.upper(), f"{value:#x}") for name, value in figures["registers"].items()])


def _outcome(page: Document, figures: Figures) -> None:
    if figures["fault"] is None:
        size = figures["page_bytes"]
        of = f", in a page of {size_name(size)}" if size is not None else ", as paging is off"
        page.paragraph(f"Physical address {figures['paddr']:#x}{of}", "outcome")
        return
    page.paragraph(f"#{figures['fault']}, error code {figures['error_code']:#x}"
                   + (f", CR2 {figures['cr2']:#x}" if figures["cr2"] is not None else ""),
                   "outcome fault")
    if figures["error_bits"]:
        page.table("The error code bit by bit", ("bit", "value", "meaning"), [
            (bit["name"], bit["value"], Words(bit["words"])) for bit in figures["error_bits"]])


def _fields(page: Document, mode: PagingMode, figures: Figures) -> None:
    """Add a picture of the fields of the address, and the same as a table."""
    vaddr, levels = figures["vaddr"], mode.levels
    reached = len(figures["levels"])
    if reached and figures["levels"][-1]["leaf"]:
        levels = levels[:reached]
    fields = [(level.name, level.shift + level.index_bits - 1, level.shift) for level in levels]
    if mode.vaddr_bits > mode.translated_bits:
        fields.insert(0, ("sign extension", mode.vaddr_bits - 1, mode.translated_bits))
    fields.append(("offset", levels[-1].shift - 1, 0))
    rows = [(name, f"{high}:{low}", vaddr >> low & (1 << high - low + 1) - 1)
            for name, high, low in fields]
    drawing, left = [], 1
    for (name, bits, value), (_, high, low) in zip(rows, fields, strict=True):
        width = BIT_WIDTH * (high - low + 1)
        middle = left + width // 2
        drawing.append(
            f'<rect x="{left}" y="1" width="{width}" height="{FIELD_HEIGHT}"/>'
            f'<text x="{middle}" y="20" text-anchor="middle">{escape(name)}</text>'
            f'<text x="{middle}" y="38" text-anchor="middle">{bits}: {value:#x}</text>')
        left += width
    page.picture("The fields of the address, from its highest bit to bit 0",
                 left + 1, FIELD_HEIGHT + 2, "".join(drawing))
    page.table("The fields of the address", ("field", "bits", "value"),
               [(name, bits, f"{value:#x}") for name, bits, value in rows])


def _entry(one: Figures) -> tuple[object, ...]:
    changed = one["updated"] != one["entry"]
    return (one["name"], one["index"], f"{one['paddr']:#x}", f"{one['entry']:#x}",
            " ".join(one["flags"]) or "not present",
            f"now {one['updated']:#x}" if changed else "nothing",
            "nothing" if one["points_to"] is None else
            f"{'page' if one['leaf'] else 'table'} at {one['points_to']:#x}")


def _kept(page: Document, figures: Figures) -> None:
    tlb = figures["tlb"]
    if tlb is None:
        page.paragraph("Nothing.")
        return
    page.table("TLB", ("page", "size", "at", "rights", "dirty", "PCID", "PAT entry", "key"), [
        (f"{tlb['vaddr']:#x}", size_name(tlb["page_bytes"]), f"{tlb['paddr']:#x}", tlb["rights"],
         "yes" if tlb["dirty"] else "no", "all (global)" if tlb["global"] else tlb["pcid"],
         tlb["memory_type"], tlb["key"])])
    page.table("Paging-structure caches", ("level", "addresses", "table at", "rights"), [
        (one["level"], f"{one['vaddr']:#x} to {one['vaddr'] + one['bytes'] - 1:#x}",
         f"{one['table']:#x}", one["rights"]) for one in figures["structure_caches"]])
