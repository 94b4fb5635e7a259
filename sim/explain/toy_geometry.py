"""Paging modes of one's own: levels with names and index bits, for toy tables."""

from typing import Any

from ...model.x86 import PAGE_BYTES, PAGE_SHIFT, Leaf, Level, PagingMode
from .entry_flags import BadFlags

__all__ = ["toy_mode"]

FIELDS = {"levels", "entry_bytes"}
LEVEL_FIELDS = {"name", "bits", "large"}
MOST_LEVELS = 5
LARGE_SHIFT = 22  # with entries of 4 bytes, whose bits 20:13 are those of PSE-36
VADDR_BITS = {4: 32, 8: 63}  # 64 would make addresses canonical


def toy_mode(given: dict[str, Any]) -> PagingMode:
    """Return the paging mode of a geometry; raise ``BadFlags`` for what is wrong in it.

    A level has ``name``, ``bits``, and ``large`` if its entries may map a page themselves. The last
    level always does, pages of 4 Kbytes. Entries are those of 32-bit paging with 4 bytes, and of
    4-level paging with 8.
    """
    levels, entry_bytes = given.get("levels"), given.get("entry_bytes", 4)
    if not set(given) <= FIELDS or entry_bytes not in VADDR_BITS or type(entry_bytes) is not int:
        raise BadFlags(f"has {', '.join(map(str, given))[:40]}, entry_bytes {entry_bytes!r:.20}; "
                       "expected levels, and entry_bytes 4 or 8")
    if not isinstance(levels, list) or not 1 <= len(levels) <= MOST_LEVELS:
        raise BadFlags(f"levels is {levels!r:.40}; expected 1 to {MOST_LEVELS} tables")
    shift, made = PAGE_SHIFT, []
    for number, level in enumerate(reversed(levels)):
        made.append(_level(level, shift, entry_bytes, last=number == 0))
        shift += made[-1].index_bits
    if shift > VADDR_BITS[entry_bytes]:
        raise BadFlags(f"has linear addresses of {shift} bits; expected at most "
                       f"{VADDR_BITS[entry_bytes]} with entries of {entry_bytes} bytes")
    if len({level.name for level in made}) < len(made):
        raise BadFlags("has two levels of one name; expected each name once")
    return PagingMode("toy", tuple(reversed(made)), entry_bytes, shift, shift,
                      52 if entry_bytes == 8 else 32)


def _level(given: Any, shift: int, entry_bytes: int, *, last: bool) -> Level:
    most = (PAGE_BYTES // entry_bytes).bit_length() - 1
    if not isinstance(given, dict) or not set(given) <= LEVEL_FIELDS:
        raise BadFlags(f"a level is {given!r:.60}; expected name, bits and perhaps large")
    name, bits, large = given.get("name"), given.get("bits"), given.get("large", False)
    if not (isinstance(name, str) and name.isidentifier() and name.isascii() and len(name) < 9):
        raise BadFlags(f"a level has the name {name!r:.40}; expected up to 8 letters, such as PTE")
    if type(bits) is not int or not 1 <= bits <= most:
        raise BadFlags(f"level {name} has bits {bits!r:.40}; expected 1 to {most}, for tables of "
                       "one frame")
    if not isinstance(large, bool):
        raise BadFlags(f"level {name} has large {large!r:.40}; expected true or false")
    if large and entry_bytes == 4 and shift != LARGE_SHIFT:
        raise BadFlags(f"level {name} has large pages of {1 << shift} bytes; expected 4 Mbytes, as "
                       "entries have 4 bytes")
    leaf = Leaf.ALWAYS if last else Leaf.IF_PS if large else Leaf.NEVER
    return Level(name, f"table of {name}s", shift, bits, leaf)
