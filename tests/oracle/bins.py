"""Coverage bins: what random cases must have met before their agreement says anything.

Bins are read off the golden walk, which the cases have shown to agree with the emulator.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from pagewalk.model.mmu.walk import Walk
from pagewalk.model.x86 import (
    IA32,
    AccessKind,
    Cr0,
    Cr4,
    Efer,
    Entry,
    ErrorCode,
    Leaf,
    PagingMode,
    Vector,
)

from .cases import Case

READ, WRITE, FETCH = AccessKind

# Every error code that an access which is not implicit can end in, in hex.
ERROR_CODES = {
    "ia32": "00 01 02 03 04 05 06 07 09 0b 0d 0f 10 11 14 15 19 1d",
    "x86_64": "00 01 02 03 04 05 06 07 09 0b 0d 0f 10 11 14 15 19 1d 21 23 25 27",
    "la57": "00 01 02 03 04 05 06 07 09 0b 0d 0f 10 11 14 15 19 1d 21 23 25 27",
}


class Facts:
    """A case and its walk, by the terms in which the rules are written."""

    def __init__(self, case: Case, walk: Walk) -> None:
        control, access = case.control, case.access
        self.mode, self.kind, self.user, self.ac = case.mode, access.kind, access.user, access.ac
        self.steps, self.page, self.paddr, self.fault = (
            walk.steps, walk.page, walk.paddr, walk.fault)
        self.passes = walk.fault is None
        self.wp = bool(control.cr0 & Cr0.WP)
        self.pse, self.smep, self.smap, self.pke = (
            bool(control.cr4 & bit) for bit in (Cr4.PSE, Cr4.SMEP, Cr4.SMAP, Cr4.PKE))
        self.nxe = bool(control.efer & Efer.NXE)
        entries = [step.entry for step in walk.steps]
        self.rw, self.us = (all(entry & bit for entry in entries) for bit in (Entry.RW, Entry.US))
        self.xd = self.mode is not IA32 and any(entry & Entry.XD for entry in entries)
        self.last = entries[-1] if entries else 0
        key = (self.last & Entry.KEY) >> 59
        self.ad, self.wd = (bool(control.pkru >> 2 * key + bit & 1) for bit in range(2))
        code = walk.fault.error_code if walk.fault else 0
        self.page_fault = walk.fault is not None and walk.fault.vector is Vector.PF
        self.reserved, self.by_key = bool(code & ErrorCode.RSVD), bool(code & ErrorCode.PK)
        self.denied = bool(code & ErrorCode.P) and not self.reserved
        self.code = code

    @property
    def user_page(self) -> bool:
        """The walk came to a page that is user-mode at every level."""
        return self.us and (self.passes or self.denied)

    def supervisor(self, *kinds: AccessKind) -> bool:
        """The access is a supervisor's, of one of ``kinds``."""
        return not self.user and self.kind in kinds


RULES: dict[str, Callable[[Facts], bool]] = {
    "SMEP stops a fetch": lambda f: (
        f.supervisor(FETCH) and f.user_page and f.smep and not f.xd and f.denied),
    "SMEP off lets a fetch": lambda f: (
        f.supervisor(FETCH) and f.user_page and not f.smep and f.passes),
    "SMAP with AC=0 stops a read": lambda f: (
        f.supervisor(READ) and f.user_page and f.smap and not f.ac and not f.by_key and f.denied),
    "SMAP with AC=0 stops a write": lambda f: (
        f.supervisor(WRITE) and f.user_page and f.smap and not f.ac and f.rw and not f.by_key
        and f.denied),
    "SMAP with AC=1 lets a read": lambda f: (
        f.supervisor(READ) and f.user_page and f.smap and f.ac and f.passes),
    "SMAP with AC=1 lets a write": lambda f: (
        f.supervisor(WRITE) and f.user_page and f.smap and f.ac and f.passes),
    "SMAP off lets a read": lambda f: (
        f.supervisor(READ) and f.user_page and not f.smap and not f.ac and f.passes),
    "SMAP lets a fetch": lambda f: (
        f.supervisor(FETCH) and f.user_page and f.smap and not f.ac and f.passes),
    "WP=1 stops a write": lambda f: (
        f.supervisor(WRITE) and not f.us and not f.rw and f.wp and f.denied),
    "WP=0 lets a write": lambda f: f.supervisor(WRITE) and not f.rw and not f.wp and f.passes,
    "WP=0 does not let the user write": lambda f: (
        f.user and f.kind is WRITE and f.us and not f.rw and not f.wp and not f.by_key
        and f.denied),
    "an upper R/W=0 stops a write": lambda f: (
        f.kind is WRITE and bool(f.last & Entry.RW) and not f.rw and f.denied),
    "an upper U/S=0 stops the user": lambda f: (
        f.user and bool(f.last & Entry.US) and not f.us and f.denied),
    "PTE with PAT": lambda f: (
        f.passes and f.page is f.mode.levels[-1] and bool(f.last & Entry.PAT)),
    "large page with PAT": lambda f: (
        f.passes and f.page is not f.mode.levels[-1] and bool(f.last & Entry.PAT_LARGE)),
    "D set": lambda f: f.passes and f.steps[-1].updated & ~f.last == Entry.D,
    "A set in a leaf": lambda f: f.passes and f.steps[-1].updated & ~f.last == Entry.A,
    "A and D set": lambda f: f.passes and f.steps[-1].updated & ~f.last == Entry.A | Entry.D,
    "A and D left alone": lambda f: f.passes and all(s.entry == s.updated for s in f.steps),
    "A set on the way to a fault": lambda f: (
        f.page_fault and any(s.entry != s.updated for s in f.steps)),
    "entry used at two levels": lambda f: len({s.paddr for s in f.steps}) < len(f.steps),
    "page is a table": lambda f: (
        f.passes and f.paddr >> 12 in {s.paddr >> 12 for s in f.steps}),
    "write to a table": lambda f: (
        f.passes and f.kind is WRITE and f.paddr >> 12 in {s.paddr >> 12 for s in f.steps}),
    "last byte of a page frame": lambda f: f.passes and f.paddr & 0xFFF == 0xFFF,
    "page above 4 GiB": lambda f: f.passes and f.paddr >> 32 != 0,
}
IA32_RULES: dict[str, Callable[[Facts], bool]] = {
    "PSE off makes PS mean nothing": lambda f: (
        f.passes and not f.pse and bool(f.steps[0].entry & Entry.PS)),
    "NXE=1 without PAE": lambda f: f.page_fault and f.kind is FETCH and f.nxe and not f.smep,
    "PKRU means nothing": lambda f: (
        f.passes and f.user_page and f.pke and f.kind is not FETCH and f.ad),
}
LONG_RULES: dict[str, Callable[[Facts], bool]] = {
    "XD stops a fetch": lambda f: f.kind is FETCH and f.xd and f.nxe and f.denied,
    "XD lets a read": lambda f: f.kind is READ and f.xd and f.passes,
    "NXE=0 makes bit 63 reserved": lambda f: (
        f.reserved and not f.nxe and bool(f.last & Entry.XD)),
    "not present hides a reserved bit": lambda f: (
        f.page_fault and not f.code & ErrorCode.P and not f.nxe and bool(f.last & Entry.XD)),
    "table above 4 GiB": lambda f: f.passes and any(s.paddr >> 32 for s in f.steps),
    "AD stops the user": lambda f: f.user and f.by_key and f.ad and f.kind is READ,
    "AD stops the supervisor": lambda f: f.supervisor(READ) and f.by_key,
    "WD stops the user": lambda f: (
        f.user and f.kind is WRITE and f.rw and f.by_key and not f.ad and not f.wp),
    "WD stops the supervisor": lambda f: (
        f.supervisor(WRITE) and f.rw and f.by_key and not f.ad),
    "WP=0 lets the supervisor write past WD": lambda f: (
        f.supervisor(WRITE) and f.user_page and f.pke and f.wd and not f.wp and f.passes),
    "WD lets a read": lambda f: (
        f.kind is READ and f.user_page and f.pke and f.wd and f.passes),
    "PKE off": lambda f: f.kind is READ and f.user_page and f.ad and not f.pke and f.passes,
    "PKRU lets a fetch": lambda f: f.kind is FETCH and f.user_page and f.ad and f.pke and f.passes,
    "PKRU spares a supervisor page": lambda f: (
        f.kind is READ and not f.us and f.ad and f.pke and f.passes),
    "PK beside other denials": lambda f: f.by_key and f.kind is WRITE and not f.rw,
}


def rules(mode: PagingMode) -> dict[str, Callable[[Facts], bool]]:
    """Return the bins that are rules."""
    return RULES | (IA32_RULES if mode is IA32 else LONG_RULES)


def all_bins(mode: PagingMode) -> list[str]:
    """Return every bin of ``mode``."""
    reservable = [level for level in mode.levels if mode is not IA32 or level.leaf is Leaf.IF_PS]
    return [
        *(f"page of a {page.name}: {kind.name.lower()} by {who}" for page in mode.pages
          for kind in AccessKind for who in ("user", "supervisor")),
        *(f"error code {int(code, 16):#04x}" for code in ERROR_CODES[mode.name].split()),
        *(f"not present: {level.name}" for level in mode.levels),
        *(f"reserved bit: {level.name}" for level in reservable),
        *(f"#GP: {kind.name.lower()}" for kind in AccessKind if mode is not IA32),
        *rules(mode),
    ]


def bins_of(case: Case, walk: Walk) -> Iterator[str]:
    """Yield the bins that a case is in."""
    facts = Facts(case, walk)
    kind = facts.kind.name.lower()
    if facts.page is not None:
        yield f"page of a {facts.page.name}: {kind} by {'user' if facts.user else 'supervisor'}"
    elif facts.page_fault:
        yield f"error code {facts.code:#04x}"
        level = facts.steps[-1].level.name
        if not facts.code & ErrorCode.P:
            yield f"not present: {level}"
        elif facts.reserved:
            yield f"reserved bit: {level}"
    else:
        yield f"#GP: {kind}"
    yield from (name for name, applies in rules(facts.mode).items() if applies(facts))


def unmet(mode: PagingMode, counts: Counter[str]) -> list[str]:
    """Return the bins that no case was in; a name that is no bin is a mistake here."""
    names = all_bins(mode)
    assert counts.keys() <= set(names), counts.keys() - set(names)
    return [name for name in names if not counts[name]]
