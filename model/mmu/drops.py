"""Which cached translations each operation invalidates, and when it did. [SDM 4.10.4.1]"""

from bisect import insort
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..x86 import Cr0, Cr3, Cr4, InvalidateOp, Level, PagingMode
from .intervals import last_before
from .walk import check_vaddr, is_canonical
from .widths import check_width

__all__ = ["Drops"]

Times = list[int]
NONE: Times = []

BY_ADDRESS = (InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS)
BY_PCID = (InvalidateOp.INVPCID_ADDRESS, InvalidateOp.INVPCID_CONTEXT)


class Drops:
    """Times at which translations and paging-structure-cache entries were invalidated.

    Noted is only what the SDM demands. A processor may drop more, but it may also keep that, so
    nothing follows from it.

    Times are whole numbers; lists of times ascend. ``vaddr`` is a linear address.
    """

    def __init__(self, mode: PagingMode) -> None:
        self._mode = mode
        self._all: Times = []  # everything, global pages included
        self._all_but_global: Times = []
        self._pcid: defaultdict[int, Times] = defaultdict(list)  # all but global pages
        self._page: defaultdict[tuple[int, str, int], Times] = defaultdict(list)
        self._global_page: defaultdict[tuple[str, int], Times] = defaultdict(list)
        self._met_global_page: defaultdict[tuple[int, str, int], Times] = defaultdict(list)
        self._tables: defaultdict[int, Times] = defaultdict(list)  # of a PCID, any address
        self._table: defaultdict[tuple[int, str, int], Times] = defaultdict(list)

    def everything(self, time: int) -> None:
        """Drop everything."""
        insort(self._all, time)

    def dropped_everything(self, time: int) -> bool:
        """Return whether everything was dropped at ``time``."""
        return bool(self._all) and self._all[-1] == time

    def all_but_global(self, time: int) -> None:
        """Drop everything but global pages, under every PCID."""
        insort(self._all_but_global, time)

    def context(self, time: int, pcid: int) -> None:
        """Drop everything of a PCID but its global pages."""
        insort(self._pcid[pcid], time)
        insort(self._tables[pcid], time)

    def page(self, time: int, pcid: int, vaddr: int, *, with_global: bool) -> None:
        """Drop the translations of ``vaddr`` under a PCID that are not global.

        With ``with_global``, drop also the global ones, under whichever PCID they were made.
        """
        for level in self._mode.pages:
            insort(self._page[pcid, level.name, vaddr >> level.shift], time)
            if with_global:
                insort(self._global_page[level.name, vaddr >> level.shift], time)

    def tables(self, time: int, pcid: int) -> None:
        """Drop the paging-structure-cache entries of a PCID."""
        insort(self._tables[pcid], time)

    def page_fault(self, time: int, pcid: int, vaddr: int) -> None:
        """Drop what a page fault at ``vaddr`` invalidates: all that the PCID would use there.

        That includes global pages, but those that were met under another PCID may stay.
        """
        for level in self._mode.pages:
            insort(self._page[pcid, level.name, vaddr >> level.shift], time)
            insort(self._met_global_page[pcid, level.name, vaddr >> level.shift], time)
        for level in self._mode.levels[:-1]:
            insort(self._table[pcid, level.name, vaddr >> level.shift], time)

    def of_table(self, pcid: int, level: Level, vaddr: int) -> Sequence[Times]:
        """Return the lists of times at which a cached entry that points to a table was dropped.

        The entry is that of ``level`` for ``vaddr``, cached under ``pcid``.
        """
        return (self._all, self._all_but_global, self._tables.get(pcid, NONE),
                self._table.get((pcid, level.name, vaddr >> level.shift), NONE))

    def last_of_page(
        self, pcid: int, level: Level, vaddr: int, start: int, *, in_all_pcids: bool
    ) -> int:
        """Return when the translation of a page was last dropped before ``start``, -1 if never.

        The translation was made under ``pcid``; ``in_all_pcids`` says that it is a global page's.
        """
        page = level.name, vaddr >> level.shift
        if in_all_pcids:
            return last_before((self._all, self._global_page.get(page, NONE),
                                self._met_global_page.get((pcid, *page), NONE)), start)
        return last_before((self._all, self._all_but_global, self._pcid.get(pcid, NONE),
                            self._page.get((pcid, *page), NONE)), start)

    def operation(
        self, time: int, op: InvalidateOp, operands: Mapping[str, int], *, pcid: int, pcide: bool
    ) -> None:
        """Drop what an operation must drop. [SDM 4.10.4.1]

        ``operands`` holds those of ``vaddr``, ``pcid``, ``old`` and ``new`` that the operation has.
        ``pcid`` is the PCID in force before it, ``pcide`` whether CR4.PCIDE is set.

        With an address that is not canonical, INVLPG is a no-operation and INVPCID of type 0 a
        #GP: neither demands that anything goes, entries of the paging-structure caches included.
        [SDM vol. 2, INVLPG and INVPCID]

        Raise ``ValueError`` for a linear address or a PCID that is negative or too wide.
        """
        if op in BY_ADDRESS:
            check_vaddr(self._mode, operands["vaddr"])
            if not is_canonical(self._mode, operands["vaddr"]):
                return
        if op in BY_PCID:
            check_width("PCID", operands["pcid"], Cr3.PCID.bit_length())
        if op is InvalidateOp.INVLPG:
            self.page(time, pcid, operands["vaddr"], with_global=True)
            self.tables(time, pcid)
        elif op is InvalidateOp.INVPCID_ADDRESS:
            self.page(time, operands["pcid"], operands["vaddr"], with_global=False)
            self.tables(time, operands["pcid"])
        elif op is InvalidateOp.INVPCID_CONTEXT:
            self.context(time, operands["pcid"])
        elif op is InvalidateOp.INVPCID_ALL:
            self.everything(time)
        elif op is InvalidateOp.INVPCID_ALL_NON_GLOBAL:
            self.all_but_global(time)
        else:
            self._mov(time, op, operands["old"], operands["new"], pcid, pcide)

    def _mov(
        self, time: int, op: InvalidateOp, old: int, new: int, pcid: int, pcide: bool
    ) -> None:
        """Drop what a MOV to a control register must drop.

        That a change of CR4.PSE invalidates everything stands in another chapter than the rest.
        [SDM 4.10.4.1; chapter on memory cache control, Invalidating the Translation Lookaside
        Buffers (TLBs)]
        """
        if op is InvalidateOp.MOV_CR3:
            if not (pcide and new & Cr3.NO_FLUSH):
                self.context(time, new & Cr3.PCID if pcide else 0)
        elif op is InvalidateOp.MOV_CR0:
            if old & ~new & Cr0.PG:
                self.everything(time)
        elif (old ^ new) & (Cr4.PGE | Cr4.PSE) or old & ~new & Cr4.PCIDE:
            self.everything(time)
        elif (old ^ new) & Cr4.PAE or new & ~old & Cr4.SMEP:
            self.context(time, pcid)
