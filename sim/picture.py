"""One walk as a picture in text: what a translation looks like.

The picture is plain text of at most 100 columns; colours are an addition and say nothing new.
"""

from collections.abc import Iterator

from rich.text import Text

from ..model.mmu.walk import Access, Control, Fault, Step, Walk
from ..model.x86 import (
    PAGE_SHIFT,
    AccessKind,
    Cr4,
    Entry,
    ErrorCode,
    Leaf,
    Level,
    PagingMode,
    Vector,
    lowest_bit,
)
from .uncut import Uncut

__all__ = ["size_name", "walk_picture"]

DIM, NAME, VALUE, GOOD, BAD = "dim", "cyan", "bold", "bold green", "bold red"

FLAGS = (("P", Entry.P), ("RW", Entry.RW), ("US", Entry.US), ("PWT", Entry.PWT),
         ("PCD", Entry.PCD), ("A", Entry.A), ("D", Entry.D), ("PS", Entry.PS),
         ("PAT", Entry.PAT), ("G", Entry.G), ("XD", Entry.XD))
SET_BY_WALKS = (("A", Entry.A), ("D", Entry.D))
LEAF_FLAGS = ("D", "PAT", "G")
"""Flags that mean nothing in an entry that points at a table."""


def size_name(page_bytes: int) -> str:
    """Return the usual name of a page size: ``4K``, ``2M``, ``4M``, ``1G``."""
    shift = page_bytes.bit_length() - 1
    return f"{1 << shift % 10}{'KMG'[shift // 10 - 1]}"


def walk_picture(mode: PagingMode, control: Control, walk: Walk) -> Uncut:
    """Return the picture of one walk: the bits of the address, every level, the outcome.

    It is text for ``print``, and with colours for rich, however narrow the console is.

    A level shows its index, the address and value of its entry as read, the flags decoded, and
    what the walk set. A fault shows its vector and decoded error code.
    """
    picture = Text(end="")
    for line in _lines(mode, control, walk):
        line.rstrip()
        picture.append_text(line).append("\n")
    return Uncut(picture)


def _lines(mode: PagingMode, control: Control, walk: Walk) -> Iterator[Text]:
    yield _title(mode, walk.access)
    yield Text()
    yield from _bit_split(mode, control, walk)
    yield Text()
    yield _line(("  CR3 ", NAME), (f"{control.cr3:#x}", VALUE))
    width = max((len(f"{step.paddr:#x}") for step in walk.steps), default=0)
    for step in walk.steps:
        yield from _arrow(f"{step.level.table} at {step.paddr & -1 << PAGE_SHIFT:#x}")
        yield from _entry(mode, control, walk.access, step, width)
    if walk.fault is not None:
        yield from _fault(mode, control, walk, walk.fault)
    else:
        yield from _translation(mode, walk)


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts)


def _hex(value: int, bits: int) -> str:
    return f"0x{value:0{bits // 4}x}"


def _title(mode: PagingMode, access: Access) -> Text:
    who = "implicit supervisor" if access.implicit else "user" if access.user else "supervisor"
    return _line(
        f"{who} {access.kind.name.lower()} at linear address ",
        (_hex(access.vaddr, mode.vaddr_bits), VALUE),
        f"   ({mode.name} paging{', EFLAGS.AC set' if access.ac else ''})",
    )


def _maps_page(mode: PagingMode, control: Control, level: Level, entry: int) -> bool:
    if level.leaf is not Leaf.IF_PS:
        return level.leaf is Leaf.ALWAYS
    return bool(entry & Entry.PS) and bool(control.cr4 & Cr4.PSE or not mode.has_pse)


def _index(level: Level, vaddr: int) -> int:
    return vaddr >> level.shift & (1 << level.index_bits) - 1


def _bit_split(mode: PagingMode, control: Control, walk: Walk) -> Iterator[Text]:
    """Yield the box of the address's bit fields, dim for levels that the walk did not reach."""
    levels, vaddr, reached = mode.levels, walk.access.vaddr, len(walk.steps)
    if reached and _maps_page(mode, control, walk.steps[-1].level, walk.steps[-1].entry):
        levels = levels[:reached]
    fields = [(level.shift + level.index_bits - 1, level.shift,
               f"{level.name} {_index(level, vaddr)}", NAME if index < reached else DIM)
              for index, level in enumerate(levels)]
    if mode.vaddr_bits > mode.translated_bits:
        room = mode.vaddr_bits - mode.translated_bits
        label = "sign extension" if room >= len("sign extension") else "sign"
        fields.insert(0, (mode.vaddr_bits - 1, mode.translated_bits, label, DIM))
    offset = vaddr & levels[-1].page_bytes - 1
    fields.append((levels[-1].shift - 1, 0, f"offset {offset:#x}",
                   NAME if walk.page is not None else DIM))
    numbers, bits, names = _line("  "), _line("  │"), _line("  │")
    for high, low, name, style in fields:
        width = high - low + 1
        numbers.append(f"  {high}{low:>{width - len(str(high))}} ", DIM)
        bits.append(f" {vaddr >> low & (1 << width) - 1:0{width}b} ", VALUE).append("│")
        names.append(f" {name:^{width}} ", style).append("│")
    rule = ["─" * (high - low + 3) for high, low, _, _ in fields]
    yield numbers
    yield _line("  ┌", "┬".join(rule), "┐")
    yield bits
    yield names
    yield _line("  └", "┴".join(rule), "┘")


def _arrow(target: str) -> Iterator[Text]:
    yield _line("   │")
    yield _line("   ▼  ", target)


def _entry(
    mode: PagingMode, control: Control, access: Access, step: Step, width: int
) -> Iterator[Text]:
    """Yield one level: a line with its entry, decoded, and remarks below it.

    The remarks say why a value other than 0 is not present, which protection key the entry has,
    and which flags the walk set.

    ``width`` is that of the column of entry addresses.
    """
    level, entry = step.level, step.entry
    leaf = _maps_page(mode, control, level, entry)
    bits = 8 * mode.entry_bytes
    line = _line((f"  {level.name:<5}", NAME), f" {_index(level, access.vaddr):>4}",
                 (f"  at {step.paddr:<#{width}x}", DIM), "  ", (_hex(entry, bits), VALUE), "  ")
    if not entry & Entry.P:
        yield line.append("not present", BAD)
        if entry:
            words = "with P clear the other bits are the system's own, as in a swap entry"
            yield _line("   │  ", (words, DIM))
        return
    yield line.append_text(_flags(mode, level, entry, leaf))
    key = entry & Entry.KEY if leaf and mode.has_protection_keys else 0
    if key:
        yield _line("   │  ", f"protection key {key >> lowest_bit(Entry.KEY)}")
    changed = step.updated ^ entry
    if changed:
        names = " and ".join(name for name, bit in SET_BY_WALKS if changed & bit)
        yield _line("   │  ", (f"sets {names}: now {_hex(step.updated, bits)}", GOOD))


def _flags(mode: PagingMode, level: Level, entry: int, leaf: bool) -> Text:
    """Return the flags of a present entry, each in its column, a dot for one that is clear."""
    flags = Text()
    for name, bit in FLAGS:
        if name == "XD" and not mode.has_execute_disable:
            continue
        if name == "PS" and level.leaf is Leaf.ALWAYS:
            bit = 0  # it is the PAT bit of a PTE ...
        if name == "PAT" and level.leaf is not Leaf.ALWAYS:
            bit = Entry.PAT_LARGE  # ... and PAT is elsewhere where there is a PS
        if name in LEAF_FLAGS and not leaf:
            bit = 0
        flags.append(f"{name if entry & bit else '·':<{len(name)}} ", "" if entry & bit else DIM)
    return flags


def _translation(mode: PagingMode, walk: Walk) -> Iterator[Text]:
    if walk.page is None:
        yield from _arrow("paging is off: linear addresses are physical")
    else:
        offset = walk.access.vaddr & walk.page.page_bytes - 1
        size = size_name(walk.page.page_bytes)
        yield from _arrow(f"{size} page at {walk.paddr - offset:#x}, offset {offset:#x}; "
                          f"{_rights(mode, walk.steps)}")
    yield _line(("  physical address ", NAME), (f"{walk.paddr:#x}", GOOD),
                (f"   memory type: PAT entry {walk.memory_type}", DIM))


def _user_page(steps: tuple[Step, ...]) -> bool:
    return all(step.entry & Entry.US for step in steps)


def _rights(mode: PagingMode, steps: tuple[Step, ...]) -> str:
    """Return the rights combined over all levels, in words."""
    entries = [step.entry for step in steps]
    write = all(entry & Entry.RW for entry in entries)
    no_execute = mode.has_execute_disable and any(entry & Entry.XD for entry in entries)
    return ", ".join(("user" if _user_page(steps) else "supervisor",
                      "writable" if write else "read-only",
                      "no execute" if no_execute else "executable"))


def _fault(mode: PagingMode, control: Control, walk: Walk, fault: Fault) -> Iterator[Text]:
    code = ErrorCode(fault.error_code)
    yield _line("   │")
    yield _line("   ✗  ", _reason(mode, control, walk, fault))
    yield _line((f"  #{fault.vector.name} ", BAD), f"error code {fault.error_code:#x}",
                f"   CR2 {_hex(fault.vaddr, mode.vaddr_bits)}" * (fault.vector is Vector.PF))
    if fault.vector is Vector.PF:
        yield _line("      ", (", ".join(_code_words(walk.access, code)), DIM))


def _reason(mode: PagingMode, control: Control, walk: Walk, fault: Fault) -> str:
    """Return in words why there was no translation."""
    code, access = ErrorCode(fault.error_code), walk.access
    if fault.vector is Vector.MC:
        return "there is no memory where the next entry should be"
    if fault.vector is not Vector.PF:
        top, sign = mode.vaddr_bits - 1, mode.translated_bits - 1
        return f"not canonical: bits {top}:{sign} of the address are not all equal"
    if ErrorCode.P not in code:
        return "the entry is not present"
    if ErrorCode.RSVD in code:
        return "the entry has a reserved bit set"
    guard = ""
    if _user_page(walk.steps) and (not access.user or access.implicit):
        if access.kind is AccessKind.FETCH and control.cr4 & Cr4.SMEP:
            guard = ", and CR4.SMEP is set"
        elif access.kind is not AccessKind.FETCH and control.cr4 & Cr4.SMAP:
            guard = ", and CR4.SMAP is set" if access.implicit or not access.ac else ""
    return f"not permitted: the page is {_rights(mode, walk.steps)}{guard}"


def _code_words(access: Access, code: ErrorCode) -> Iterator[str]:
    """Yield the bits of a page fault's error code in words; those rarely set, only if they are."""
    yield "P=1 present" if ErrorCode.P in code else "P=0 not present"
    if ErrorCode.WR in code:
        yield "W/R=1 write"
    else:
        yield f"W/R=0 {'fetch' if access.kind is AccessKind.FETCH else 'read'}"
    yield "U/S=1 user" if ErrorCode.US in code else "U/S=0 supervisor"
    rare = {ErrorCode.RSVD: "RSVD=1 reserved bit", ErrorCode.ID: "I/D=1 instruction fetch",
            ErrorCode.PK: "PK=1 protection key"}
    yield from (words for bit, words in rare.items() if bit in code)
