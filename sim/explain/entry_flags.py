"""Entries of page tables written by their flags, as people write them: ``P RW US``, ``-XD``."""

from dataclasses import dataclass

from ...model.x86 import PAGE_SHIFT, Entry, Leaf, Level, PagingMode, lowest_bit

__all__ = ["BadFlags", "EntryChange", "flag_names", "flag_value", "parsed_change"]

FLAGS = {"P": Entry.P, "RW": Entry.RW, "US": Entry.US, "PWT": Entry.PWT, "PCD": Entry.PCD,
         "A": Entry.A, "D": Entry.D, "PS": Entry.PS, "PAT": Entry.PAT, "G": Entry.G,
         "XD": Entry.XD}
KEYS = 1 << 4
ADDRESS = (1 << 52) - (1 << PAGE_SHIFT)


class BadFlags(Exception):
    """What is wrong with flags, and what was expected; the caller tells where they stand."""


@dataclass(frozen=True, slots=True)
class EntryChange:
    """What becomes of an entry: bits are cleared, then others set."""

    cleared: int
    set: int

    def apply(self, entry: int) -> int:
        """Return the entry after the change."""
        return entry & ~self.cleared | self.set


def flag_value(mode: PagingMode, level: Level, name: str, *, large: bool = False) -> int:
    """Return the bit of the flag ``name`` in an entry of ``level``; raise ``BadFlags``.

    PS is a flag of levels that may map a page; PAT of a page of more than 4 Kbytes, which
    ``large`` tells, is elsewhere.
    """
    known = [flag for flag in FLAGS if flag != "XD" or mode.has_execute_disable]
    if level.leaf is Leaf.ALWAYS:
        known.remove("PS")
    if name not in known:
        raise BadFlags(f"unknown flag {name[:40]!r}; expected {', '.join(known)}")
    return Entry.PAT_LARGE if name == "PAT" and large else FLAGS[name]


def flag_names(mode: PagingMode, level: Level, entry: int, *, leaf: bool) -> list[str]:
    """Return the names of the flags that are set in an entry, those only of a leaf if it is one."""
    names = []
    for name, bit in FLAGS.items():
        if (name == "XD" and not mode.has_execute_disable) or (name in ("D", "G") and not leaf):
            continue
        if name == "PS" and level.leaf is Leaf.ALWAYS:
            continue
        if name == "PAT":
            if not leaf:
                continue
            bit = Entry.PAT if level.leaf is Leaf.ALWAYS else Entry.PAT_LARGE
        if entry & bit:
            names.append(name)
    return names


def parsed_change(mode: PagingMode, level: Level, text: str, entry: int) -> EntryChange:
    """Return the change that ``text`` tells, for ``entry`` as it is.

    It is a number, the whole entry; or words with commas: a flag, or ``+`` and a flag, sets it,
    ``-`` and a flag clears it, ``frame=N`` has it point to the frame N, ``key=N`` gives it a
    protection key. Raise ``BadFlags``.
    """
    bits = 8 * mode.entry_bytes
    if text[:1].isdigit():
        return EntryChange((1 << bits) - 1, _number(text, bits))
    cleared = added = 0
    for word in text.split(","):
        name, equals, value = word.strip().partition("=")
        if equals:
            mask, one = _field(mode, name, value)
        else:
            large = level.leaf is Leaf.IF_PS and (bool(entry & Entry.PS) or "PS" in text)
            mask = flag_value(mode, level, name.lstrip("+-") if name[1:] else name, large=large)
            one = 0 if name.startswith("-") else mask
        if mask & (cleared | added):
            raise BadFlags(f"{name} twice; expected each flag once")
        cleared, added = cleared | mask, added | one
    return EntryChange(cleared, added)


def _field(mode: PagingMode, name: str, value: str) -> tuple[int, int]:
    """Return the bits of a field, and the value in its place."""
    if name == "frame":
        top = min(52, 8 * mode.entry_bytes)
        mask = ADDRESS & (1 << top) - 1
        return mask, _number(value, top - PAGE_SHIFT) << PAGE_SHIFT
    if name == "key" and mode.has_protection_keys:
        return Entry.KEY, _number(value, KEYS.bit_length() - 1) << lowest_bit(Entry.KEY)
    raise BadFlags(f"unknown field {name[:40]!r}; expected frame"
                   + (" or key" if mode.has_protection_keys else ""))


def _number(text: str, bits: int) -> int:
    try:
        value = int(text[:40], 0)
    except ValueError:
        value = -1
    if value < 0 or value >> bits or not text.isascii():
        raise BadFlags(f"{text[:40]!r} is no number of {bits} bits; expected one such as 0x1000")
    return value
