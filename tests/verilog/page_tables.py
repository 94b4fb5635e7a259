"""Random page tables for the testbench, and the changes that software makes in them."""

from dataclasses import dataclass
from itertools import zip_longest
from random import Random

from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import PAGE_SHIFT, Entry, Leaf, Level, PagingMode

PADDR_BITS = 40
SPACES = 3
TABLE_RATIO = 0.65  # of the entries that could as well map a large page
ENTRIES_PER_TABLE = 6
PROMOTED_PAGES = 12  # pages of a promotable region that the traffic visits
SOFTWARE_BITS = (1 << 9, 1 << 10, 1 << 11)  # ignored by the hardware


@dataclass(slots=True)
class Site:
    """An entry of the page tables that the traffic goes through.

    Entries of the kernel's half have ``space`` None, and in a root table one copy in every space.
    """

    level: Level
    vaddr: int
    paddrs: tuple[int, ...]
    space: int | None
    table: int | None  # frame number of the table it points to
    is_good: bool = False  # present, and no reserved bit is set


@dataclass(slots=True)
class Region:
    """A large page, or a full table of small ones that translates every address the same way.

    Software may turn one into the other at any time without an invalidation, and a TLB then meets
    pages of two sizes for one address.
    """

    site: Site
    large: int
    small: int


class Tables:
    """Page tables of several address spaces that share the upper half of the addresses.

    ``memory`` is what the hardware works on, ``shadow`` is for the reference alone; software
    writes to both. No table is reachable on two ways except through the shared half, and only
    there can entries be global, so that an invalidation of one PCID or address reaches every
    cached copy of an entry that changes. Where none comes with a change, copies may live on.
    """

    def __init__(self, mode: PagingMode, rng: Random) -> None:
        self.mode = mode
        self.memory, self.shadow = PhysicalMemory(), PhysicalMemory()
        self.sites: list[Site] = []
        self.regions: list[Region] = []
        self._rng = rng
        self._directories: list[tuple[int, int, int | None]] = []  # frame, first address, space
        self.roots = [self._frame() << PAGE_SHIFT for _ in range(SPACES)]
        self._layout = rng
        half = 1 << mode.levels[0].index_bits - 1
        width = 4 if mode.entry_bytes == 8 else 10
        self._fill(self.roots, 0, 0, None, rng.sample(range(half, 2 * half), width))
        seed = rng.getrandbits(32)
        for space, root in enumerate(self.roots):
            # The spaces use the same addresses, so that only a PCID tells them apart.
            self._layout = Random(seed)
            self._fill([root], 0, 0, space, self._layout.sample(range(half), width))
            self._add_region(space)

    @property
    def pages(self) -> list[Site]:
        """Return the sites that map pages now."""
        return [site for site in self.sites if site.table is None and site.is_good]

    def path(self, vaddr: int, space: int) -> list[Site]:
        """Return the sites that a walk of ``vaddr`` in a space goes through, as far as it may."""
        return [site for site in self.sites if (site.vaddr ^ vaddr) >> site.level.shift == 0
                and site.space in (None, space)]

    def write(self, paddr: int, value: int) -> None:
        """Store an entry, as software or another processor does."""
        self.memory.write(paddr, self.mode.entry_bytes, value)
        self.shadow.write(paddr, self.mode.entry_bytes, value)

    def rewrite(self, site: Site) -> None:
        """Give a site new flags, and if it maps a page, a new address."""
        kind = self._rng.choices((None, "absent", "reserved"), (96, 2, 2))[0]
        self._write_site(site, kind)

    def toggle(self, region: Region) -> None:
        """Turn a large page into small ones, or back, with clear accessed and dirty flags."""
        paddr = region.site.paddrs[0]
        is_large = self.memory.read(paddr, self.mode.entry_bytes) & Entry.PS
        self.write(paddr, region.small if is_large else region.large)

    def age(self) -> None:
        """Clear accessed and dirty flags here and there."""
        for site in self.sites:
            clear = self._rng.choice((0, Entry.A, Entry.A | Entry.D))
            for paddr in site.paddrs:
                self.write(paddr, self.memory.read(paddr, self.mode.entry_bytes) & ~clear)

    def _frame(self) -> int:
        """Make a new frame for a table exist and return its number."""
        bits = min(PADDR_BITS, 8 * self.mode.entry_bytes) - PAGE_SHIFT
        pfn = self._rng.getrandbits(bits)
        while pfn in self.memory:
            pfn = self._rng.getrandbits(bits)
        self.memory.add([pfn])
        self.shadow.add([pfn])
        return pfn

    def _fill(
        self, tables: list[int], depth: int, vaddr: int, space: int | None, indices: list[int]
    ) -> None:
        """Fill entries of a table, or of all copies of one, and the tables below them.

        Every table has an entry that is not present, a reserved one, a page and a table below it,
        as far as its level can have them.
        """
        level = self.mode.levels[depth]
        if level is self.mode.pages[1]:
            self._directories.append((tables[0], vaddr, space))
        for index, kind in zip_longest(indices, ("absent", "reserved", "page", "table")):
            first = vaddr | index << level.shift
            paddrs = tuple(table + index * self.mode.entry_bytes for table in tables)
            site = Site(level, self._canonical(first), paddrs, space, None)
            self.sites.append(site)
            if self._has_table(level, kind):
                site.table = self._frame()
            self._write_site(site, kind)
            if site.table is not None and site.is_good:
                below = 1 << self.mode.levels[depth + 1].index_bits
                self._fill([site.table << PAGE_SHIFT], depth + 1, first, space,
                           self._layout.sample(range(below), ENTRIES_PER_TABLE))

    def _has_table(self, level: Level, kind: str | None) -> bool:
        """Return whether an entry points to a table; with ia32, these have no reserved bit."""
        if level.leaf is not Leaf.IF_PS or kind == "table":
            return level.leaf is not Leaf.ALWAYS
        return kind not in ("reserved", "page") and self._layout.random() < TABLE_RATIO

    def _canonical(self, vaddr: int) -> int:
        sign = 1 << (self.mode.translated_bits - 1)
        return ((vaddr ^ sign) - sign) & ((1 << self.mode.vaddr_bits) - 1)

    def _write_site(self, site: Site, kind: str | None) -> None:
        value = self._entry(site)
        site.is_good = kind not in ("absent", "reserved")
        if kind == "absent":
            value &= ~Entry.P
        elif kind == "reserved":
            value |= self._reserved_bit(site)
        for paddr in site.paddrs:
            self.write(paddr, value)

    def _entry(self, site: Site) -> int:
        """Return a present entry for a site; entries above a page mostly permit everything."""
        is_table, is_kernel = site.table is not None, site.space is None
        flags = self._flags({
            Entry.RW: 0.95 if is_table else 0.8,
            Entry.US: 0.3 if is_kernel else 0.98 if is_table else 0.9,
            Entry.XD: 0.05 if is_table else 0.08,
        })
        if site.table is not None:
            if self._rng.random() < 0.02:  # a table where there is no memory
                return flags | self._address(PAGE_SHIFT)
            return flags | site.table << PAGE_SHIFT
        large = site.level.shift > PAGE_SHIFT
        flags |= self._flags({
            Entry.G: 0.6 if is_kernel else 0.0,
            Entry.PAT_LARGE if large else Entry.PAT: 0.3,
        })
        return flags | self._page_address(site.level) | (Entry.PS if large else 0)

    def _flags(self, ratios: dict[int, float]) -> int:
        """Return a present entry with random flags, those of ``ratios`` as often as these say."""
        ratios = {Entry.PWT: 0.2, Entry.PCD: 0.2, Entry.A: 0.4, Entry.D: 0.3,
                  **dict.fromkeys(SOFTWARE_BITS, 0.5), **ratios}
        flags = Entry.P | sum(bit for bit, ratio in ratios.items() if self._rng.random() < ratio)
        if self.mode.entry_bytes == 8:
            return flags | self._rng.randrange(16) << 59
        return flags & ~Entry.XD

    def _address(self, shift: int) -> int:
        """Return an address as a table pointer or 4-Kbyte page has it, without memory there."""
        bits = min(PADDR_BITS, 8 * self.mode.entry_bytes)
        address = self._rng.getrandbits(bits - shift) << shift
        return address if address >> PAGE_SHIFT not in self.memory else self._address(shift)

    def _page_address(self, level: Level) -> int:
        """Return the address bits of a page, spread as the mode does it."""
        address = self._address(level.shift)
        if self.mode.entry_bytes == 4 and level.shift > PAGE_SHIFT:
            address |= self._rng.getrandbits(8) << 13  # PSE-36
        return address

    def _reserved_bit(self, site: Site) -> int:
        """Return a bit that must not be set in this entry, or 0 if there is none."""
        large = site.table is None and site.level.shift > PAGE_SHIFT
        if self.mode.entry_bytes == 4:
            return 1 << 21 if large else 0
        bits = [self._rng.randrange(PADDR_BITS, 52)]
        if site.level.leaf is Leaf.NEVER:
            bits.append(7)
        if large:
            bits.append(self._rng.randrange(13, site.level.shift))
        return 1 << self._rng.choice(bits)

    def _add_region(self, space: int) -> None:
        """Add a region that can be one page or many to some directory of a space."""
        directory, first, _ = self._layout.choice(
            [one for one in self._directories if one[2] == space])
        large, small = self.mode.pages[1], self.mode.pages[0]
        size = self.mode.entry_bytes
        count = (1 << large.index_bits) // (1 if size == 8 else 2)  # the space's half
        index = self._layout.choice([
            index for index in range(count)
            if not self.memory.read(directory + index * size, size)])
        vaddr = first | index << large.shift
        site = Site(large, self._canonical(vaddr), (directory + index * size,), space,
                    self._frame())
        flags = self._flags({Entry.RW: 1, Entry.US: 1, Entry.A: 0, Entry.D: 0})
        page, table = self._page_address(large) & -large.page_bytes, site.table << PAGE_SHIFT
        for number in range(1 << small.index_bits):
            self.write(table + number * size, flags | page + (number << small.shift))
        region = Region(site, large=flags | page | Entry.PS,
                        small=Entry.P | Entry.RW | Entry.US | table)
        self.write(site.paddrs[0], region.small)
        self.regions.append(region)
