"""The pages of a trace, mapped one after the other in page tables that lie in real frames."""

from dataclasses import dataclass

from ...model.address_space.tables.page_tables import PageTables
from ...model.mmu.control import Control
from ...model.x86 import PAGE_SHIFT, Cr0, Cr3, Cr4, Efer, Entry, PagingMode
from .frame_supply import FrameSupply
from .page_source import TracePageSource

__all__ = ["TracePage", "TracePages"]

FLAGS = Entry.P | Entry.RW | Entry.US | Entry.A


@dataclass(frozen=True, slots=True)
class TracePage:
    """A page that is mapped.

    Members
    -------
    vpn
        The page number of its first 4 Kbytes, without the bits that are only sign.
    size
        Its size, an index into ``mode.pages``.
    leaf
        The level of its entry, an index into ``mode.levels``.
    space
        The number of its address space.
    pfn
        Its first frame.
    nodes
        The numbers of the tables below the root that lead to it.
    """

    vpn: int
    size: int
    leaf: int
    space: int
    pfn: int
    nodes: tuple[int, ...]


class TracePages:
    """All pages of a trace that were touched so far, by number.

    Members
    -------
    pages
        The pages, in the order in which they were touched.
    nodes
        How many tables there are below the roots.
    """

    def __init__(self, mode: PagingMode, supply: FrameSupply, source: TracePageSource) -> None:
        self.mode, self.supply = mode, supply
        self.pages: list[TracePage] = []
        self.nodes = 0
        self._source = source
        self._tables: dict[int, PageTables] = {}
        self._node_numbers: dict[tuple[int, int, int], int] = {}
        self._large: dict[tuple[int, int, int], int] = {}
        self._leaf = [mode.levels.index(page) for page in mode.pages]
        self._shifts = [page.shift - PAGE_SHIFT for page in mode.pages]
        self._node_shifts = [level.shift - PAGE_SHIFT for level in mode.levels]

    def number(self, space: int, vpn: int, *, is_dirty: bool = False) -> int:
        """Return the number of the page that holds ``vpn``; map it if that is not done yet.

        A new page has its accessed flag set, and the dirty flag if ``is_dirty``. To be asked
        once for each page number, unless its page is large. Raise ``BackingError``.
        """
        for size, shift in enumerate(self._shifts[1:], start=1):
            known = self._large.get((space, size, vpn >> shift))
            if known is not None:
                return known
        size, pfn = self._source.place(space, vpn)
        first = vpn >> self._shifts[size] << self._shifts[size]
        leaf = self._leaf[size]
        tables = self.tables(space)
        tables.map(tables.canonical(first << PAGE_SHIFT), pfn,
                   FLAGS | (Entry.D if is_dirty else 0), self.mode.levels[leaf].page_bytes)
        self.pages.append(TracePage(first, size, leaf, space, pfn, self._nodes(space, first, leaf)))
        if size:
            self._large[space, size, vpn >> self._shifts[size]] = len(self.pages) - 1
        return len(self.pages) - 1

    def _nodes(self, space: int, vpn: int, leaf: int) -> tuple[int, ...]:
        found = []
        for level in range(leaf):
            key = space, level, vpn >> self._node_shifts[level]
            number = self._node_numbers.get(key)
            if number is None:
                number = self._node_numbers[key] = self.nodes
                self.nodes += 1
            found.append(number)
        return tuple(found)

    def tables(self, space: int) -> PageTables:
        """Return the page tables of an address space."""
        if space not in self._tables:
            self._tables[space] = PageTables(self.mode, self.supply.memory, self.supply,
                                             1 << self.mode.translated_bits - 1)
        return self._tables[space]

    @property
    def spaces(self) -> int:
        """How many address spaces there are."""
        return len(self._tables)

    def control(self, space: int, *, pcids: bool) -> Control:
        """Return the registers with which an address space is used, for hardware to walk it."""
        mode, cr3 = self.mode, self.tables(space).root << PAGE_SHIFT
        if not mode.has_pcids:
            return Control(cr3, cr0=Cr0.PG | Cr0.WP, cr4=Cr4.PSE | Cr4.PGE, efer=0)
        cr4 = Cr4.PSE | Cr4.PAE | Cr4.PGE
        cr4 |= (Cr4.LA57 if mode.translated_bits == 57 else 0) | (Cr4.PCIDE if pcids else 0)
        return Control(cr3 | (space & Cr3.PCID if pcids else 0), cr0=Cr0.PG | Cr0.WP, cr4=cr4,
                       efer=Efer.LME | Efer.LMA | Efer.NXE)
