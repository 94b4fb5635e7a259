"""Coverage bins: what random traffic must have met before a run counts as a test."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rehearsal import repeat

from pagewalk.hdl.shapes import page_name
from pagewalk.model.mmu.walk import Control, Walk
from pagewalk.model.x86 import (
    IA32,
    AccessKind,
    Cr0,
    Cr4,
    ErrorCode,
    InvalidateOp,
    Leaf,
    PagingMode,
    Vector,
)

DENIALS = ("SMEP", "SMAP", "CR0.WP", "user read", "user write", "user fetch")
LONG_DENIALS = ("supervisor fetch", "protection key")  # need XD and keys, which ia32 has not


class Bins:
    """Counts how often each bin was met; ``bins`` of the mode must all be."""

    def __init__(self, mode: PagingMode, ports: Sequence[str], *, walk_cache: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._bins = [*_lookup_bins(mode, ports), *_walk_bins(mode), *_fault_bins(mode),
                      *_timing_bins(ports), *(f"{op.name} drops a page" for op in InvalidateOp),
                      *_table_bins(mode, walk_cache)]

    def meet(self, name: str) -> None:
        """Count one bin. A name that is no bin is a mistake in the testbench, or in the bins."""
        assert name in self._bins, f"{name!r} is not a bin"
        self.counts[name] += 1

    @property
    def missing(self) -> list[str]:
        """Return the bins that were never met."""
        return [name for name in self._bins if not self.counts[name]]

    def table(self) -> str:
        """Return all counts as text."""
        return "\n".join(f"{self.counts[name]:8} {name}" for name in self._bins)


def _lookup_bins(mode: PagingMode, ports: Sequence[str]) -> list[str]:
    return [
        *(f"{port}: {kind}, {page_name(page)} page" for port in ports for kind in ("hit", "miss")
          for page in mode.pages),
        *(f"{port}: {slot} slot filled" for port in ports
          for slot in ("empty", "replaced", "reused")),
        *(f"{port}: page fault drops {whose} entry" for port in ports
          for whose in ("its own", "another port's")),
        *(["page cached under several PCIDs", "page with XD is no hit without EFER.NXE",
           "INVLPG of an address that is not canonical"] if mode is not IA32 else []),
        "stale page used", "page fault by stale entries",
        "page of another size driven out",
        "hit in a global page",
        "global page without CR4.PGE",
        "INVLPG drops a global page",
        "INVPCID_ADDRESS spares a global page",
        "no translation",
    ]


def _walk_bins(mode: PagingMode) -> list[str]:
    """Return the bins of the walk; a level's update sets A, and on a leaf perhaps D."""
    return [f"{level.name} {event}" for level in mode.levels
            for event in ("read", "updated", "lost to another processor", "bus error")]


def _table_bins(mode: PagingMode, walk_cache: bool) -> list[str]:
    """Return the bins of the walk cache; without it every walk begins at the root."""
    if not walk_cache:
        return [f"walk begins at the {mode.levels[0].name}"]
    return [
        *(f"walk begins at the {level.name}" for level in mode.levels),
        *(f"{op.name} drops a table" for op in InvalidateOp),
        "page fault drops a table", "page fault spares a table", "stale table used",
        "walk from a cached table starts over at the root",
        *(["table of a PDE with bit 7 set not cached"] if mode is IA32 else
          ["table cached under several PCIDs", "cached table with XD not used without EFER.NXE"]),
    ]


def _fault_bins(mode: PagingMode) -> list[str]:
    denials = DENIALS if mode is IA32 else DENIALS + LONG_DENIALS
    reservable = [level for level in mode.levels if mode is not IA32 or level.leaf is Leaf.IF_PS]
    return [
        *(f"{when}: {denial}" for when in ("hit", "walk") for denial in denials),
        *(f"walk: not present, {level.name}" for level in mode.levels),
        *(f"walk: reserved bit, {level.name}" for level in reservable),
        *(["#GP", "#SS"] if mode is not IA32 else []),
    ]


def _timing_bins(ports: Sequence[str]) -> list[str]:
    return [
        *(f"{port}: {what}" for port in ports for what in (
            "hits in 8 cycles running", "answer of a hit held", "answer of a walk held",
            "walk waits for another port", "chosen over another port")),
        "hit beside a walk",
        "first access held", "later access held", "update held",
        "invalidation waits for answers", "invalidation waits for a page fault",
        "invalidation waits for a drop",
        "page fault waits for no answer", "page faults of several ports at once",
        "walk under way at a page fault is not cached",
        "walk begins after the drop of a page fault",
        "walk begins while another port's answer waits",
        *(f"late response meets {state}"
          for state in ("no walk", "an access on offer", "an access under way")),
        "request accepted in the cycle of another port's page fault",
    ]


def name_fault(result: Walk, mode: PagingMode, control: Control) -> str:
    """Return which rule a golden walk faulted by: one whose control bit, cleared, lets it pass."""
    fault = result.fault
    assert fault is not None
    if fault.vector is not Vector.PF:
        return f"#{fault.vector.name}"
    level = result.steps[-1].level.name
    if not fault.error_code & ErrorCode.P:
        return f"not present, {level}"
    if fault.error_code & ErrorCode.RSVD:
        return f"reserved bit, {level}"
    if fault.error_code & ErrorCode.PK:
        return "protection key"
    relaxed = {"SMEP": replace(control, cr4=control.cr4 & ~Cr4.SMEP),
               "SMAP": replace(control, cr4=control.cr4 & ~Cr4.SMAP),
               "CR0.WP": replace(control, cr0=control.cr0 & ~Cr0.WP)}
    for rule, other in relaxed.items():
        again = repeat(result, mode, other)
        if again.fault is None or again.fault.error_code & ErrorCode.PK:
            return rule
    if fault.error_code & ErrorCode.US:
        return f"user {result.access.kind.name.lower()}"
    # A write that neither rule alone stops is against both.
    return "supervisor fetch" if result.access.kind is AccessKind.FETCH else "SMAP"
