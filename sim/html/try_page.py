"""The interactive page: page tables, an access and registers that can be changed in a browser.

``translate.js`` walks, ``try_page.js`` shows; both are in the page, which needs no network.
"""

import json
from collections import deque
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any

from ...model.mmu.control import REGISTER_WIDTHS
from ...model.mmu.entry_format import EntryFormat
from ...model.mmu.walk import Access, Control
from ...model.physical.memory import BusError, PhysicalMemory
from ...model.x86 import PAGE_BYTES, PAGE_SHIFT, Cr0, Entry, PagingMode
from .machine_facts import machine_facts
from .page_style import STYLE

__all__ = ["try_page"]

MOST_LETTERS = 200_000
"""Of the entries in a page, all of which is to stay below 300 kB."""

Entries = list[tuple[str, str]]


def try_page(mode: PagingMode, control: Control, access: Access, memory: PhysicalMemory,
             paddr_bits: int, note: str) -> str:
    """Return a page of the tables below CR3, those on the way of the access before all others.

    It has as many as there is room for. ``note`` stands at its foot.
    """
    frames, entries = _tables(mode, control, access, memory, min(paddr_bits, mode.max_paddr_bits))
    flags = ("user", "implicit", "ac", "stack")
    data = {
        "machine": machine_facts(mode, paddr_bits),
        "registers": {name: str(getattr(control, name)) for name in REGISTER_WIDTHS},
        "access": {"vaddr": str(access.vaddr), "kind": access.kind.name.lower(),
                   **{name: getattr(access, name) for name in flags}},
        "frames": frames, "entries": entries}
    sources = files(__package__)
    script = "".join(_text(sources / name).replace('"use strict";\n', "")
                     for name in ("translate.js", "try_page.js"))
    parts = {"TITLE": escape(f"Page tables of {mode.name} paging"), "STYLE": STYLE,
             "NOTE": escape(note), "DATA": json.dumps(data).replace("<", "\\u003c"),
             "SCRIPT": f'"use strict";\n{script}'}
    page = _text(sources / "try_page.html")
    for name, text in parts.items():
        page = page.replace(f"@{name}@", text)
    return page


def _text(path: Any) -> str:
    return str(path.read_text(encoding="utf-8"))


def _tables(mode: PagingMode, control: Control, access: Access, memory: PhysicalMemory,
            paddr_bits: int) -> tuple[list[int], Entries]:
    """Return the frames of page tables, and the address and value of their entries, as texts."""
    form = EntryFormat(mode, control, paddr_bits)
    root = form.table_address(control.cr3)
    frames: list[int] = []
    entries: Entries = []
    room = MOST_LETTERS
    waiting = deque([*_path(mode, form, root, access, memory), (root, 0)])
    while waiting:
        table, depth = waiting.popleft()
        if table >> PAGE_SHIFT in frames:
            continue
        found = [*_entries(mode, table, memory)]
        room -= sum(len(paddr) + len(entry) + 8 for paddr, entry in found) + 20
        if room < 0:
            break
        if found or not depth:
            frames.append(table >> PAGE_SHIFT)
        entries += found
        level = mode.levels[depth]
        waiting += [(form.table_address(int(entry)), depth + 1) for _, entry in found
                    if int(entry) & Entry.P and not form.is_leaf(level, int(entry))]
    return frames, entries


def _path(mode: PagingMode, form: EntryFormat, root: int, access: Access,
          memory: PhysicalMemory) -> Iterator[tuple[int, int]]:
    """Yield the tables on the way of an access, and at which depth they are."""
    table = root
    for depth, level in enumerate(mode.levels if form.control.cr0 & Cr0.PG else ()):
        yield table, depth
        index = access.vaddr >> level.shift & (1 << level.index_bits) - 1
        try:
            entry = memory.read(table + index * mode.entry_bytes, mode.entry_bytes)
        except BusError:
            return
        if not entry & Entry.P or form.is_leaf(level, entry):
            return
        table = form.table_address(entry)


def _entries(mode: PagingMode, table: int, memory: PhysicalMemory) -> Iterator[tuple[str, str]]:
    """Yield the address and value of each entry of a table that is not 0."""
    for paddr in range(table, table + PAGE_BYTES, mode.entry_bytes):
        try:
            entry = memory.read(paddr, mode.entry_bytes)
        except BusError:
            return
        if entry:
            yield str(paddr), str(entry)
