"""``pagewalk walk``: one translation, every level of it, and what a change would do."""

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from rich.console import Console

from ...model.mmu.control import REGISTER_WIDTHS, Control
from ...model.mmu.walk import Access, Walk, walk
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import AccessKind, PagingMode, Vector
from ..errors import InputError
from ..explain.entry_flags import BadFlags, parsed_change
from ..explain.error_bits import error_bits
from ..explain.tlb_contents import cached_rights, table_entries, tlb_entry
from ..explain.walk_figures import walk_figures
from ..html.try_page import try_page
from ..html.walk_page import walk_page
from ..picture import size_name, walk_picture
from .common import AGREED, Verbs, add_verb, json_file, output_file, whole
from .conditions import conditions, release
from .files import output_name
from .memory_options import add_memory_options, bits, small_inputs
from .output import printing
from .page_file import add_page, page_file, taken_output
from .table_source import add_source, table_source

__all__ = ["add"]

WIDEST = 52


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "walk", _walk,
                      "Translate one address, and show and explain every level of the walk.")
    add_page(parser)
    parser.add_argument("address", metavar="ADDRESS", type=bits(64), help="the linear address")
    add_source(parser, required=True, verb="walk")
    group = parser.add_argument_group("the access (a read by the supervisor)")
    kind = group.add_mutually_exclusive_group()
    kind.add_argument("--write", action="store_const", const=AccessKind.WRITE, dest="kind",
                      default=AccessKind.READ, help="a write")
    kind.add_argument("--fetch", action="store_const", const=AccessKind.FETCH, dest="kind",
                      help="an instruction fetch")
    for name, meaning in (("user", "at CPL 3"), ("ac", "with EFLAGS.AC set"),
                          ("implicit", "to a system structure, which is a supervisor's"),
                          ("stack", "through SS")):
        group.add_argument(f"--{name}", action="store_true", help=meaning)
    parser.add_argument("--set", metavar="ENTRY=FLAGS", type=change, action="append", default=[],
                        dest="changes",
                        help="change an entry of the walk, and show the walk before and after: the "
                             "name of its level, and flags with commas, such as PTE=-RW,+XD, "
                             "PDE=frame=0x12, or the whole entry, PTE=0x1067; may be given more "
                             "than once")
    parser.add_argument("--try", metavar="FILE", type=output_name, dest="try_to",
                        help="write an HTML page on which address, registers and entries can be "
                             "changed; it needs script, but no network")
    add_memory_options(parser)
    parser.add_argument("--pkru", metavar="VALUE", type=bits(REGISTER_WIDTHS["pkru"]),
                        help="the value of PKRU")
    parser.add_argument("--paddr-bits", metavar="N", type=whole(32, WIDEST), default=WIDEST,
                        help="bits of a physical address, MAXPHYADDR (%(default)s)")


def change(text: str) -> tuple[str, str]:
    """Return the entry and its flags, of ``ENTRY=FLAGS``."""
    entry, equals, flags = text.partition("=")
    if entry and equals and flags:
        return entry.upper(), flags
    raise argparse.ArgumentTypeError(f"expected ENTRY=FLAGS, such as PTE=-P, not {text[:40]!r}")


class _Place:
    """Where is walked: paging mode, registers, and memory as it is."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.paddr_bits = args.paddr_bits
        source = table_source(args)
        self.mode, self.control, self.new_memory = source.mode, source.control, source.new_memory
        if args.address >> self.mode.vaddr_bits:
            raise InputError(f"argument ADDRESS: {args.address:#x} is no address of "
                             f"{self.mode.name} paging; expected at most {self.mode.vaddr_bits} "
                             "bits")
        self.access = Access(args.address, args.kind, user=args.user, ac=args.ac,
                             implicit=args.implicit, stack=args.stack)

    def walk(self, memory: PhysicalMemory) -> Walk:
        """Return the walk in ``memory``, which gets accessed and dirty flags."""
        return walk(memory, self.mode, self.control, self.access, self.paddr_bits)

    def figures(self, done: Walk) -> dict[str, Any]:
        """Return a walk as figures."""
        return walk_figures(self.mode, self.control, done, self.paddr_bits)

    def try_page(self, changes: list[tuple[str, str]]) -> str:
        """Return the interactive page of the tables, with the entries changed."""
        return try_page(self.mode, self.control, self.access, self.changed(changes),
                        self.paddr_bits, f"Made by pagewalk {release()}.")

    def changed(self, changes: list[tuple[str, str]]) -> PhysicalMemory:
        """Return memory with the entries changed; each change may lead on to the next."""
        done: dict[int, int] = {}
        for name, flags in changes:
            steps = self.walk(self._with(done)).steps
            step = next((step for step in steps if step.level.name.upper() == name), None)
            if step is None:
                known = ", ".join(step.level.name for step in steps) or "no entry, as there is none"
                raise InputError(f"argument --set: the walk comes to no {name[:40]}; expected one "
                                 f"of {known}")
            try:
                one = parsed_change(self.mode, step.level, flags, step.entry)
            except BadFlags as error:
                raise InputError(f"argument --set: {name}: {error}") from None
            done[step.paddr] = one.apply(step.entry)
        return self._with(done)

    def _with(self, entries: dict[int, int]) -> PhysicalMemory:
        memory = self.new_memory()
        for paddr, entry in entries.items():
            memory.read(paddr, self.mode.entry_bytes)  # of a file: it is fetched
            memory.write(paddr, self.mode.entry_bytes, entry)
        return memory


def _walk(args: argparse.Namespace) -> int:
    changes = ", ".join(f"{name}={flags}" for name, flags in args.changes)
    with (json_file(args.json) as write, page_file(args.html) as show,
          output_file(args.try_to) if args.try_to is not None else nullcontext() as write_try):
        place = _Place(args)
        before = place.walk(place.new_memory())
        after = place.walk(place.changed(args.changes)) if args.changes else None
        known = conditions(args, inputs=small_inputs(args.toy or args.image))
        figures = place.figures(before)
        if after is not None:
            figures["after"] = place.figures(after)
        write(figures | known)
        show(lambda: walk_page(place.mode, figures, changes), known)
        if write_try is not None:
            write_try(place.try_page(args.changes))
    with printing(taken_output(args)) as console:
        if after is not None:
            console.print("before:\n")
        _show(console, place, before)
        if after is not None:
            console.print(f"\nafter {changes}:\n")
            _show(console, place, after)
    return AGREED


def _show(console: Console, place: _Place, done: Walk) -> None:
    console.print(walk_picture(place.mode, place.control, done), end="")
    console.print("")
    for line in _explained(place.mode, place.control, done, place.paddr_bits):
        console.print(line)


def _explained(mode: PagingMode, control: Control, done: Walk, paddr_bits: int) -> Iterator[str]:
    """Yield the error code bit by bit, or what a processor may keep."""
    if done.fault is not None and done.fault.vector is Vector.PF:
        yield f"error code {done.fault.error_code:#x}:"
        for bit in error_bits(done.access, done.fault.error_code):
            yield f"  {bit.name:<4} = {bit.value:d}  {bit.words}"
    kept = tlb_entry(mode, control, done)
    if kept is None:
        yield ("TLB: keeps nothing of a walk that faults" if done.fault is not None else
               "TLB: keeps nothing without paging")
        return
    where = "all PCIDs (global)" if kept.pcid is None else f"PCID {kept.pcid}"
    yield (f"TLB: may keep the {size_name(kept.page.page_bytes)} page {kept.vaddr:#x} -> "
           f"{kept.paddr:#x}, {cached_rights(kept.rights)}, {'dirty' if kept.dirty else 'clean'}, "
           f"{where}, PAT entry {kept.memory_type}"
           + (f", protection key {kept.rights.key}" if kept.rights.key else ""))
    for one in table_entries(mode, control, done, min(paddr_bits, mode.max_paddr_bits)):
        yield (f"paging-structure cache: may keep {one.level.name} of {one.vaddr:#x}-"
               f"{one.vaddr + one.level.page_bytes - 1:#x} -> table at {one.paddr:#x}, "
               f"{cached_rights(one.rights)}")
