"""What the script of the interactive page knows of a paging mode: its data, none of its rules."""

from typing import Any

from ...model.x86 import PagingMode

__all__ = ["machine_facts"]


def machine_facts(mode: PagingMode, paddr_bits: int) -> dict[str, Any]:
    """Return the widths and levels of ``mode`` with a MAXPHYADDR, as ``translate.js`` has them."""
    return {
        "name": mode.name, "entryBytes": mode.entry_bytes, "vaddrBits": mode.vaddr_bits,
        "translatedBits": mode.translated_bits, "maxPaddrBits": mode.max_paddr_bits,
        "paddrBits": min(paddr_bits, mode.max_paddr_bits),
        "levels": [{"name": level.name, "table": level.table, "shift": level.shift,
                    "indexBits": level.index_bits, "leaf": level.leaf.value}
                   for level in mode.levels],
    }
