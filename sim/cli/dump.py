"""``pagewalk dump``: what the page tables in a file of physical memory map."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ...model.address_space.kernel_half.layout import Layout
from ..errors import InputError
from ..html.dump_page import dump_page
from ..mapping.entry_rules import EXECUTE, USER, WRITE
from ..mapping.kernel_regions import kernel_layout
from ..mapping.oddities import Oddity, oddities
from ..mapping.page_list import Pages, chosen, pages_of
from ..mapping.qemu_text import mem_lines, tlb_lines
from ..mapping.rights_range import RightsRange, merged, rights_text
from ..mapping.root_search import find_roots
from ..mapping.table_tree import TableTree
from ..mapping.table_use import frame_uses, table_uses
from ..memory_file.cpu_state import CpuState
from ..memory_file.frame_file import FrameFile
from .common import AGREED, Verbs, add_verb, json_file
from .conditions import conditions
from .dump_text import (
    candidate_lines,
    file_line,
    frame_lines,
    oddity_lines,
    range_lines,
    register_line,
    table_lines,
)
from .files import file_name
from .memory_options import add_memory_options, bits, opened_memory, processors, small_inputs
from .output import printing
from .page_file import add_page, page_file, taken_output

__all__ = ["add"]

LETTERS = {"w": WRITE, "x": EXECUTE, "u": USER}
MOST_RANGES = 1 << 22
WHOLE = (0, 1 << 64)
QEMU = {"tlb": tlb_lines, "mem": mem_lines}


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "dump", _dump,
                      "Show what the page tables in a file of physical memory map.")
    add_page(parser)
    parser.add_argument("dump", metavar="FILE", type=file_name,
                        help="physical memory: raw, an ELF core (QEMU, libvirt, Linux), LiME, AVML "
                             "or kdump, packed with xz, gzip or zstd or not; or a memory image "
                             "(.npz)")
    add_memory_options(parser)
    group = parser.add_argument_group("what is shown")
    group.add_argument("--format", choices=("table", *QEMU), default="table",
                       help="a table of ranges for each processor; or, of the first alone, the "
                            "lines of 'info tlb' or 'info mem' of QEMU's monitor (%(default)s)")
    group.add_argument("--filter", metavar="LETTERS", type=rights_filter, default=0,
                       help="only pages that permit all of this, letters of w, x and u, with commas"
                            " or without")
    group.add_argument("--between", metavar=("START", "END"), nargs=2, type=bits(64),
                       help="only pages with linear addresses from START up to END")
    group.add_argument("--tables", action="store_true",
                       help="the page tables themselves, and which are shared")
    group.add_argument("--frame", metavar="PFN", type=bits(40),
                       help="what maps the frame with this number")
    group.add_argument("--search", action="store_true",
                       help="the plausible values of CR3 in the file")


def rights_filter(text: str) -> int:
    """Return the rights that ``--filter`` names."""
    letters = text.replace(",", "")
    if letters and set(letters) <= set(LETTERS):
        return sum(LETTERS[letter] for letter in set(letters))
    raise argparse.ArgumentTypeError(f"expected letters of w, x and u, not {text[:40]!r}")


@dataclass(frozen=True, slots=True)
class _Space:
    """One address space: its tables, ranges chosen by the options, areas and findings."""

    tree: TableTree
    ranges: list[RightsRange]
    layout: Layout
    found: list[Oddity]


def _dump(args: argparse.Namespace) -> int:
    if args.between is not None and args.between[0] >= args.between[1]:
        raise InputError(f"argument --between: {args.between[1]:#x} is not behind "
                         f"{args.between[0]:#x}; expected START below END")
    with json_file(args.json, indent=None) as write, page_file(args.html) as show:  # may be many
        file = opened_memory(args.dump, args)
        known = conditions(args, inputs=small_inputs(args.dump))
        head = {"file": args.dump, "format": file.format_name,
                "ranges": [{"start": start, "end": end} for start, end in file.ranges]}
        if args.search:
            roots = find_roots(file)
            figures = {**head, "candidates": [
                {"cr3": one.cr3, "mode": one.mode.name, "pages": one.pages,
                 "maps_itself": one.maps_itself} for one in roots]}
            write(figures | known)
            show(lambda: dump_page(figures), known)
            _print(args, [file_line(file), *candidate_lines(roots)])
            return AGREED
        trees = [_tree(file, cpu) for cpu in processors(file, args)]
        if args.format != "table" and args.json is None and args.html is None:
            _print(args, QEMU[args.format](_pages(args, trees[0])))
            return AGREED
        spaces = [_space(args, tree) for tree in trees]
        figures = head | _figures(args, spaces)
        write(figures | known)
        show(lambda: dump_page(figures), known)
    _print(args, QEMU[args.format](_pages(args, trees[0])) if args.format != "table" else
           _lines(args, file, spaces))
    return AGREED


def _tree(file: FrameFile, cpu: CpuState) -> TableTree:
    tree = TableTree(file, cpu)
    if not tree.pages:
        raise InputError(f"{file.path}: CR3 {cpu.control.cr3:#x} of {cpu.name} maps nothing; "
                         "expected the root of page tables")
    return tree


def _pages(args: argparse.Namespace, tree: TableTree) -> Iterator[Pages]:
    return chosen(pages_of(tree), args.filter, *(args.between or WHOLE))


def _space(args: argparse.Namespace, tree: TableTree) -> _Space:
    every = _bounded(tree, merged(pages_of(tree)))
    layout = kernel_layout(tree.mode, every)
    found = [*oddities(tree, layout, every, pages_of(tree))]
    filtered = args.filter or args.between
    ranges = _bounded(tree, merged(_pages(args, tree))) if filtered else every
    return _Space(tree, ranges, layout, found)


def _bounded(tree: TableTree, ranges: Iterable[RightsRange]) -> list[RightsRange]:
    """Return the ranges; raise ``InputError`` for more than can be sensible."""
    some = [*islice(ranges, MOST_RANGES + 1)]
    if len(some) > MOST_RANGES:
        raise InputError(f"CR3 {tree.cpu.control.cr3:#x} maps more than {MOST_RANGES} ranges; "
                         "expected fewer, or --format tlb or mem without --json")
    return some


def _lines(args: argparse.Namespace, file: FrameFile, spaces: list[_Space]) -> Iterator[str]:
    """Yield all that is shown."""
    yield file_line(file)
    uses = table_uses([space.tree for space in spaces]) if args.tables or args.frame is not None \
        else []
    for space in spaces:
        tree = space.tree
        yield ""
        yield register_line(tree.cpu, tree.pages)
        if args.frame is not None:
            yield from frame_lines(args.frame, tree.cpu, frame_uses(tree, args.frame), uses)
        elif not args.tables:
            yield from range_lines(tree.mode, space.layout, tree.cpu.control.efer, space.ranges)
            yield from oddity_lines(space.found)
    if args.tables:
        yield ""
        yield from table_lines(uses)


def _print(args: argparse.Namespace, lines: Iterable[str]) -> None:
    """Print lines without rich, which is too slow for very many."""
    taken = taken_output(args)
    with printing(taken):
        stream = sys.stderr if taken is not None else sys.stdout
        if stream is not None:
            stream.writelines(f"{line}\n" for line in lines)


def _figures(args: argparse.Namespace, spaces: list[_Space]) -> dict[str, Any]:
    """Return the figures of ``--json``; ``mappings`` are those of the first processor."""
    cpus = [_cpu_figures(args, space) for space in spaces]
    figures: dict[str, Any] = {"mappings": cpus[0]["mappings"], "cpus": cpus}
    if args.tables:
        figures["tables"] = [
            {"table": one.table, "pfn": one.pfn, "first": one.first, "entries": one.entries,
             "uses": one.uses, "cpus": [*one.cpus]}
            for one in table_uses([space.tree for space in spaces])]
    return figures


def _cpu_figures(args: argparse.Namespace, space: _Space) -> dict[str, Any]:
    tree, control = space.tree, space.tree.cpu.control
    figures: dict[str, Any] = {
        "name": tree.cpu.name, "mode": tree.mode.name, "cr0": control.cr0, "cr3": control.cr3,
        "cr4": control.cr4, "efer": control.efer, "pages": tree.pages,
        "findings": [{"kind": one.kind, "count": one.count, "vaddr": one.vaddr}
                     for one in space.found],
        "mappings": [
            {"start": one.start, "end": one.end, "page_bytes": one.page_bytes, "pages": one.pages,
             "rights": rights_text(one.rights), "paddr": one.paddr,
             "region": space.layout.area_of(one.start).kind.value} for one in space.ranges],
    }
    if args.frame is not None:
        figures["frame"] = [
            {"vaddr": use.vaddr, "page_bytes": use.page_bytes, "rights": rights_text(use.rights)}
            for use in frame_uses(tree, args.frame)]
    return figures
