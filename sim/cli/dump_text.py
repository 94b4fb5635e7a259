"""What ``pagewalk dump`` prints: lines of text, of which there may be many."""

from collections.abc import Iterable, Iterator, Sequence

from ...model.address_space.kernel_half.layout import Layout
from ...model.x86 import Efer, PagingMode
from ..mapping.oddities import Oddity, range_marks
from ..mapping.rights_range import RightsRange, rights_text
from ..mapping.root_search import Candidate
from ..mapping.table_use import FrameUse, TableUse
from ..memory_file.cpu_state import CpuState
from ..memory_file.frame_file import FrameFile
from ..picture import size_name

__all__ = ["candidate_lines", "file_line", "frame_lines", "oddity_lines", "range_lines",
           "register_line", "table_lines"]

MOST_RANGES = 8  # of physical memory, shown in one line


def file_line(file: FrameFile) -> str:
    """Return what a file is, and which physical memory it has."""
    shown = [f"{start:#x}-{end:#x}" for start, end in file.ranges[:MOST_RANGES]]
    more = len(file.ranges) - len(shown)
    total = sum(end - start for start, end in file.ranges)
    return (f"{file.path}: {file.format_name}, {total / (1 << 20):,.1f} MiB of physical memory at "
            + ", ".join(shown) + (f" and {more} ranges more" if more else ""))


def register_line(cpu: CpuState, pages: int) -> str:
    """Return the registers of a processor, and how many pages it maps."""
    control, mode = cpu.control, cpu.mode
    name = mode.name if mode is not None else "no"
    return (f"{cpu.name}: {name} paging, CR3 {control.cr3:#x}, CR0 {control.cr0:#x}, CR4 "
            f"{control.cr4:#x}, EFER {control.efer:#x}; {pages:,} pages mapped")


def range_lines(mode: PagingMode, layout: Layout, efer: int,
                ranges: Sequence[RightsRange]) -> Iterator[str]:
    """Yield a heading and a line for each range; the same page again and again is one line."""
    digits = mode.vaddr_bits // 4
    no_execute = bool(mode.has_execute_disable and efer & Efer.NXE)
    yield (f"{'start':<{digits}} {'end':<{digits}}   size page {'pages':>8} rights "
           f"{'first frame at':<14} region")
    at = 0
    while at < len(ranges):
        one = ranges[at]
        repeats = _repeats(ranges, at)
        size = _size_text(one.end - one.start)
        marks = range_marks(mode, layout, one, no_execute)
        region = layout.area_of(one.start).kind.value + "".join(f", !! {mark}" for mark in marks)
        if repeats > 1:
            last = ranges[at + repeats - 1]
            region += (f"; {repeats - 1:,} times more, every {ranges[at + 1].start - one.start:#x}"
                       f" up to {last.end:0{digits}x}")
        yield (f"{one.start:0{digits}x} {one.end:0{digits}x} {size:>6} "
               f"{size_name(one.page_bytes):>4} {one.pages:>8,} {rights_text(one.rights):<6} "
               f"{one.paddr:#014x} {region}")
        at += repeats


def _repeats(ranges: Sequence[RightsRange], at: int) -> int:
    """Return how many ranges from ``at`` on map the same frames, at equal distances."""
    one = ranges[at]
    count = 1
    while at + count < len(ranges):
        other = ranges[at + count]
        step = ranges[at + 1].start - one.start
        if (other.start != one.start + count * step or other.paddr != one.paddr
                or other.end - other.start != one.end - one.start
                or other.rights != one.rights or other.page_bytes != one.page_bytes):
            break
        count += 1
    return count


def _size_text(size: int) -> str:
    """Return a number of bytes with the largest unit that leaves it whole."""
    for unit, shift in (("T", 40), ("G", 30), ("M", 20)):
        if size >> shift and size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return f"{size >> 10}K"


def oddity_lines(found: Iterable[Oddity]) -> Iterator[str]:
    """Yield a line for each finding."""
    lines = [f"  !! {one.text}" for one in found]
    yield from ["findings:", *lines] if lines else ["findings: none"]


def table_lines(uses: Sequence[TableUse]) -> Iterator[str]:
    """Yield a heading and a line for each page table."""
    yield f"{'page table':<28} {'frame':>10}  {'translates from':<16} entries  uses  of"
    for one in uses:
        yield (f"{one.table:<28} {one.pfn:>#10x}  {one.first:016x} {one.entries:>7} "
               f"{one.uses:>5}  {', '.join(one.cpus)}{_sharing(one)}")


def _sharing(one: TableUse) -> str:
    return "  shared" if one.uses > 1 or len(one.cpus) > 1 else ""


def frame_lines(pfn: int, cpu: CpuState, uses: Sequence[FrameUse],
                tables: Sequence[TableUse]) -> Iterator[str]:
    """Yield what maps a frame, and what page table it is, if any."""
    for table in tables:
        if table.pfn == pfn and cpu.name in table.cpus:
            yield f"{cpu.name}: frame {pfn:#x} is a {table.table}, from {table.first:#x} on"
    if not uses:
        yield f"{cpu.name}: nothing maps frame {pfn:#x}"
    for use in uses:
        yield (f"{cpu.name}: frame {pfn:#x} is mapped at {use.vaddr:#x}, in a page of "
               f"{size_name(use.page_bytes)}, {rights_text(use.rights)}")


def candidate_lines(roots: Sequence[Candidate]) -> Iterator[str]:
    """Yield a heading and a line for each plausible root."""
    yield f"{'CR3':<14} mode     {'pages':>12}  maps itself"
    for one in roots:
        yield (f"{one.cr3:<#14x} {one.mode.name:<8} {one.pages:>12,}  "
               f"{'yes' if one.maps_itself else 'no'}")
