"""What the testbench asks of the MMU: random accesses, and what software does in between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from page_tables import PROMOTED_PAGES, SPACES, Site, Tables
from rehearsal import rehearse
from tlb_model import effective_pcid

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import (
    IA32,
    PAGE_SHIFT,
    AccessKind,
    Cr0,
    Cr3,
    Cr4,
    Efer,
    InvalidateOp,
    Level,
)

KIND_WEIGHTS = {"fetch": (1, 1, 8), "data": (6, 5, 1)}  # read, write, fetch
HOT_PAGES = 110  # more than the TLB has entries; the first are visited far more often
BURSTS = 0.03  # of the accesses are followed by more to the same page
BURST = 10
REVISITS = 2
TRESPASSES = 0.3  # of the invalidating operations are followed by forbidden accesses of all ports
GOOD = 0.7  # of the accesses are chosen so that they do not fault, with so many attempts
RETRIES = 6


class AccessSource:
    """Random accesses of one port: mostly to few pages, which change little by little."""

    def __init__(self, tables: Tables, port: str, rng: Random) -> None:
        self._tables = tables
        self._weights = KIND_WEIGHTS[port]
        self._rng = rng
        self._hot = [self._page() for _ in range(HOT_PAGES)]
        self._last = Access(0)
        self._repeats = 0
        self._trespasses = False
        self._stays_near = False

    @property
    def last_vaddr(self) -> int:
        """The address of the latest access."""
        return self._last.vaddr

    def revisit(self) -> None:
        """Go on with the page of the latest access: an entry that ought to be gone would be hit."""
        self._repeats = max(self._repeats, REVISITS)

    def trespass(self) -> None:
        """Access the page of the latest access next, as nobody may: a fault on a hit, likely."""
        self._trespasses = True

    def stay_near(self) -> None:
        """Visit a page next that shares tables with the latest: a table kept would be used."""
        self._stays_near = True

    def hot_page(self) -> Site:
        """Return a page, the more likely the more often it is visited."""
        return self._hot[int(HOT_PAGES * self._rng.random() ** 2)]

    def next(self, control: Control) -> Access:
        """Return one more access, mostly one that does not fault.

        Each page fault invalidates: too many would leave nothing that later accesses could use.
        """
        if self._trespasses:
            self._trespasses = False
            return self._forbidden(control)
        access = self._any_access()
        for _ in range(RETRIES if self._rng.random() < GOOD else 0):
            result, _ = rehearse(self._tables, access, control)
            if result.fault is None:
                break
            self._repeats = 0
            access = self._any_access()
        return access

    def _forbidden(self, control: Control) -> Access:
        """Return an access to the page of the latest that faults, if there is one."""
        accesses = [replace(self._last, kind=kind, user=user, implicit=False)
                    for kind in AccessKind for user in (False, True)]
        faulty = [access for access in accesses
                  if rehearse(self._tables, access, control)[0].fault is not None]
        return self._rng.choice(faulty or accesses)

    def _any_access(self) -> Access:
        if self._repeats:
            self._repeats -= 1
            return replace(self._last, vaddr=self._last.vaddr ^ self._rng.getrandbits(PAGE_SHIFT))
        if self._rng.random() < BURSTS:
            self._repeats = BURST
        self._last = self._access(self._vaddr())
        return self._last

    def _access(self, vaddr: int) -> Access:
        """Return an access that fits the address: user accesses rarely go to the upper half."""
        chance = self._rng.random
        upper = vaddr >> self._tables.mode.vaddr_bits - 1
        return Access(
            vaddr=vaddr,
            kind=self._rng.choices(tuple(AccessKind), self._weights)[0],
            user=chance() < (0.1 if upper else 0.7),
            implicit=chance() < 0.05,
            ac=chance() < 0.7,
            stack=chance() < 0.3,
        )

    def _vaddr(self) -> int:
        pick, mode = self._rng.random(), self._tables.mode
        if pick < 0.2 or self._stays_near:  # a page that shares tables with the latest
            self._stays_near = False
            level = self._rng.choice(mode.levels[:-1])
            near = [site for site in self._tables.pages
                    if (site.vaddr ^ self._last.vaddr) >> level.shift == 0]
            if near:
                return self._within(self._rng.choice(near))
        if pick < 0.78:
            if self._rng.random() < 0.03:
                self._hot[self._rng.randrange(HOT_PAGES)] = self._page()
            return self._within(self.hot_page())
        if pick < 0.92:
            site = self._rng.choice(self._tables.regions).site
            page = self._rng.randrange(PROMOTED_PAGES)
            return site.vaddr | page << PAGE_SHIFT | self._rng.getrandbits(PAGE_SHIFT)
        vaddr = self._within(self._any(self._tables.sites, mode.levels))
        if pick < 0.98 or mode is IA32:
            return vaddr
        # Somewhere in the bits that must all be alike.
        return vaddr ^ 1 << self._rng.randrange(mode.translated_bits - 1, mode.vaddr_bits)

    def _page(self) -> Site:
        return self._any(self._tables.pages, self._tables.mode.pages)

    def _any(self, sites: Sequence[Site], levels: Sequence[Level]) -> Site:
        """Return a site, of each level as likely."""
        level = self._rng.choice(levels)
        return self._rng.choice([site for site in sites if site.level is level])

    def _within(self, site: Site) -> int:
        """Return an address that a site maps, or should map."""
        return site.vaddr | self._rng.getrandbits(site.level.shift)


@dataclass(frozen=True, slots=True)
class Operation:
    """An invalidating operation, and what holds from the cycle after it was accepted.

    ``sites`` are entries that software may change at that moment, as the operation reaches all
    their cached copies. All entries are among them if ``all_sites``.
    """

    fields: Mapping[str, int]
    control: Control
    sites: list[Site] = field(default_factory=list)
    all_sites: bool = False


class Software:
    """The operating system: switches address spaces and control bits, changes page tables.

    PCIDs are used as the architecture demands: CR4.PCIDE is set only while CR3 has PCID 0, and
    without it no operation names another PCID.
    """

    def __init__(self, tables: Tables, sources: Sequence[AccessSource], rng: Random) -> None:
        self._tables = tables
        self._sources = sources
        self._mode = tables.mode
        self._rng = rng
        self._pcids = (0, rng.randrange(1, 0xFFF), 0xFFF)
        # 32-bit paging must ignore that PCIDE is set, and 64-bit paging that PSE is.
        cr4 = Cr4.PGE | Cr4.PSE | Cr4.PCIDE | (Cr4.PAE if self._mode is not IA32 else 0)
        self.start = Control(cr3=tables.roots[0], cr4=cr4)

    def quiet_change(self, control: Control) -> Control:
        """Return other registers that no operation need go with."""
        pick = self._rng.randrange(7)
        if pick == 6 or not control.efer & Efer.NXE:  # for a short time, as it makes XD reserved
            return replace(control, efer=control.efer ^ Efer.NXE)
        if pick < 2:
            return replace(control, cr0=control.cr0 ^ Cr0.WP)
        if pick < 5:
            bit = (Cr4.SMEP, Cr4.SMAP, Cr4.PKE)[pick - 2]
            return replace(control, cr4=control.cr4 & ~bit | bit * (self._rng.random() < 0.3))
        # Mostly few denied keys, or nothing else would get through.
        return replace(control, pkru=self._rng.getrandbits(32) & self._rng.getrandbits(32)
                       & self._rng.getrandbits(32))

    def operation(self, control: Control) -> Operation:
        """Return something to do that an operation goes with."""
        # Do not stay for long in a state in which most accesses end alike.
        if not control.cr0 & Cr0.PG:
            return self._mov_cr0(control)
        if self._mode is IA32 and not control.cr4 & Cr4.PSE:
            return self._mov_cr4(control, Cr4.PSE)
        if not control.cr4 & Cr4.PGE and self._rng.random() < 0.15:
            return self._mov_cr4(control, Cr4.PGE)
        actions = {self._invlpg: 16, self._mov_cr3: 8, self._mov_cr4: 4, self._mov_cr0: 3,
                   self._everything: 1, self._invpcid: 12}
        return self._rng.choices(list(actions), list(actions.values()))[0](control)

    def apply(self, operation: Operation) -> None:
        """Change page tables, at the moment at which ``operation`` has dropped all copies."""
        sites = self._tables.sites if operation.all_sites else operation.sites
        for site in self._rng.sample(sites, min(len(sites), self._rng.randrange(4))):
            self._tables.rewrite(site)
        if operation.all_sites:
            self._tables.age()
        trespass = self._rng.random() < TRESPASSES
        for source in self._sources:
            source.revisit()
            if trespass:
                source.trespass()
        if self._mode is not IA32 or operation.control.cr4 & Cr4.PSE:
            self._tables.toggle(self._rng.choice(self._tables.regions))

    def change_untold(self, control: Control) -> None:
        """Change an entry in use and drop none of its copies, which the MMU may use until then."""
        in_use = self._tables.path(self._latest, self._space(control))
        if in_use:
            self._tables.rewrite(self._rng.choice(in_use))
            for source in self._sources:
                source.stay_near()

    @property
    def _latest(self) -> int:
        """Return an address that is likely cached, rather one of the kernel."""
        return max(source.last_vaddr for source in self._sources)

    def _has_pcids(self, control: Control) -> bool:
        return self._mode is not IA32 and bool(control.cr4 & Cr4.PCIDE)

    def _space(self, control: Control) -> int:
        return self._tables.roots.index(control.cr3 & ~Cr3.PCID)

    def _private(self, space: int) -> list[Site]:
        return [site for site in self._tables.sites if site.space == space]

    def _invlpg(self, control: Control) -> Operation:
        """Return an INVLPG of a page that may change then, or of one that is likely cached."""
        if self._rng.random() < 0.6:
            vaddr = self._latest
            if self._rng.random() < 0.1:
                vaddr ^= 1 << self._mode.vaddr_bits - 1  # with ia32 just another address
            return Operation(_fields(InvalidateOp.INVLPG, vaddr=vaddr), control)
        site = self._rng.choice(self._sources).hot_page()
        fields = _fields(InvalidateOp.INVLPG, vaddr=site.vaddr | self._rng.getrandbits(PAGE_SHIFT))
        return Operation(fields, control, [site] if site.space == self._space(control) else [])

    def _invpcid(self, control: Control) -> Operation:
        """Return an INVPCID, by address or not; without PCIDs, of PCID 0."""
        has_pcids = self._has_pcids(control)
        space = self._rng.randrange(SPACES) if has_pcids else self._space(control)
        pcid = self._pcids[space] if has_pcids else 0
        op = InvalidateOp(self._rng.choices(range(4), (12, 4, 2, 4))[0])
        if op is InvalidateOp.INVPCID_ADDRESS and self._rng.random() < 0.7:
            return Operation(
                _fields(op, vaddr=self._latest, pcid=effective_pcid(self._mode, control)), control)
        site = self._rng.choice(self._sources).hot_page()
        sites = {
            InvalidateOp.INVPCID_ADDRESS: [site] if site.space == space else [],
            InvalidateOp.INVPCID_CONTEXT: self._private(space),
            InvalidateOp.INVPCID_ALL: [],
            InvalidateOp.INVPCID_ALL_NON_GLOBAL: [
                site for site in self._tables.sites if site.space is not None],
        }[op]
        return Operation(_fields(op, vaddr=site.vaddr, pcid=pcid), control, sites,
                         all_sites=op is InvalidateOp.INVPCID_ALL)

    def _everything(self, control: Control) -> Operation:
        """Return an operation that drops all there is."""
        return Operation(_fields(InvalidateOp.INVPCID_ALL), control, all_sites=True)

    def _mov_cr3(self, control: Control) -> Operation:
        space = self._rng.randrange(SPACES)
        cr3 = self._tables.roots[space] | self._pcids[space]
        keep = self._has_pcids(control) and self._rng.random() < 0.7
        fields = _fields(InvalidateOp.MOV_CR3, new=cr3 | (Cr3.NO_FLUSH if keep else 0))
        return Operation(fields, replace(control, cr3=cr3), [] if keep else self._private(space))

    def _mov_cr4(self, control: Control, bit: int = 0) -> Operation:
        bits = [Cr4.PGE, Cr4.PGE, Cr4.SMEP, Cr4.SMAP]
        if self._mode is IA32:
            bits.append(Cr4.PSE)
        elif control.cr4 & Cr4.PCIDE or not control.cr3 & Cr3.PCID:
            bits.append(Cr4.PCIDE)
        changed = replace(control, cr4=control.cr4 ^ (bit or self._rng.choice(bits)))
        everything = (control.cr4 ^ changed.cr4) & (Cr4.PGE | Cr4.PSE)
        fields = _fields(InvalidateOp.MOV_CR4, old=control.cr4, new=changed.cr4)
        return Operation(fields, changed, all_sites=bool(everything))

    def _mov_cr0(self, control: Control) -> Operation:
        changed = replace(control, cr0=control.cr0 ^ self._rng.choice((Cr0.PG, Cr0.WP))
                          if control.cr0 & Cr0.PG else control.cr0 | Cr0.PG)
        fields = _fields(InvalidateOp.MOV_CR0, old=control.cr0, new=changed.cr0)
        return Operation(fields, changed)


def _fields(
    op: InvalidateOp, *, vaddr: int = 0, pcid: int = 0, old: int = 0, new: int = 0
) -> dict[str, int]:
    return {"op": op, "vaddr": vaddr, "pcid": pcid, "old": old, "new": new}
