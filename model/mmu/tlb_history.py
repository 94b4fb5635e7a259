"""What TLBs and paging-structure caches may answer: the set of answers that a history permits.

A processor may make a translation ahead of its use, keep it, or forget it at any time. So an access
may have one of several answers, which follow from what page-table memory held at which time, and
from the invalidations in between. [SDM 4.10 Caching Translation Information]

Times are whole numbers, such as clock cycles. What is written at a time is read at later times;
what is invalidated at a time may not be used by accesses that begin later.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ..physical.memory import BusError, PhysicalMemory
from ..x86 import AccessKind, Cr0, Cr4, Entry, Level, PagingMode, Purpose, Vector
from .control import QUIET, Access, Control
from .drops import Drops
from .entry_format import EntryFormat
from .error_code import error_code
from .flag_rules import FLAGS_ON_USE, FlagRules
from .intervals import FOREVER, Interval, extend, intersect, within
from .rights import ALL_RIGHTS, Rights
from .tlb_outcome import NOTHING, EntryValue, Explanation, Outcome, PageRights, pcid_of
from .walk import check_vaddr, is_canonical
from .widths import check_width, physical_bits

__all__ = ["TlbHistory"]


class TlbHistory:
    """Writes, invalidations and register changes in ascending times, and what they permit.

    CR4.PSE, PGE and PCIDE may change with a MOV to CR4 that invalidates. IA32_EFER.NXE may change
    at any time: each access is judged by its own. While it is clear an entry with XD is reserved,
    so that only what the access itself reads counts.

    Parameters
    ----------
    mode, paddr_bits
        The paging mode, and MAXPHYADDR.
    memory
        The memory that entries are in at time 0, which is copied.
    control
        The registers at time 0, when all caches are empty.
    flags
        When and how accessed and dirty flags are set.
    rights
        Whether answers have the rights of their pages. D may be told later than it is set, if the
        access itself does not set it.

    Members
    -------
    drops
        The invalidations: tell it of each one.
    """

    def __init__(
        self, mode: PagingMode, memory: PhysicalMemory, control: Control, paddr_bits: int = 40, *,
        flags: FlagRules = FLAGS_ON_USE, rights: bool = False,
    ) -> None:
        self.mode, self.flags, self.rights = mode, flags, rights
        self.paddr_bits = physical_bits(mode, paddr_bits)
        self.drops = Drops(mode)
        self._memory = memory.copy()
        self._control = control
        self._values: dict[int, list[EntryValue]] = {}
        self._changed: set[int] = set()  # entries with more than one value
        self._floor = 0  # the earliest time that is not forgotten
        self._roots: dict[int, list[tuple[int, Interval]]] = {}
        self._bus_errors: dict[int, list[int]] = {}
        self._enter(0, control)

    def write(self, time: int, paddr: int, entry: int) -> None:
        """Note that another processor replaced the entry at ``paddr``.

        Raise ``ValueError`` for an entry wider than those of the mode, and as ``values`` does.
        """
        check_width("Entry", entry, 8 * self.mode.entry_bytes)
        values = self.values(paddr)
        values[-1].last = time
        dirty = time + 1 if entry & Entry.D else None
        values.append(EntryValue(entry, time + 1, FOREVER, dirty))
        self._changed.add(paddr)

    def values(self, paddr: int) -> list[EntryValue]:
        """Return the values that the entry at ``paddr`` had, in the order of time.

        Raise ``BusError`` if there is no memory, ``ValueError`` if no entry can be there.
        """
        values = self._values.get(paddr)
        if values is None:
            entry = self._memory.read(paddr, self.mode.entry_bytes)
            first = EntryValue(entry, 0, FOREVER, 0 if entry & Entry.D else None)
            values = self._values[paddr] = [first]
        return values

    def set_control(self, time: int, control: Control) -> None:
        """Note that the registers are ``control`` after ``time``.

        Raise ``ValueError`` if CR4.PSE, which changes what a PDE means, changes while not
        everything is dropped at that time.
        """
        if (control.cr4 ^ self._control.cr4) & Cr4.PSE and not self.drops.dropped_everything(time):
            raise ValueError(f"CR4.PSE may change only when everything is dropped, not at {time}")
        self._leave(time)
        self._enter(time + 1, control)

    def _leave(self, time: int) -> None:
        """End the stay under the current root."""
        stays = self._roots[pcid_of(self.mode, self._control)]
        root, (first, _) = stays[-1]
        stays[-1] = root, (first, time)

    def _enter(self, time: int, control: Control) -> None:
        root = EntryFormat(self.mode, control, self.paddr_bits).table_address(control.cr3)
        stays = self._roots.setdefault(pcid_of(self.mode, control), [])
        stays.append((root, (time, FOREVER)))
        self._control = control

    def forget(self, time: int) -> None:
        """Forget all times up to ``time``, when everything was invalidated.

        No access may be under way. Nothing older can be in a cache, so it need not be kept.
        """
        self._floor = time + 1
        self.drops = Drops(self.mode)
        for paddr in self._changed:
            del self._values[paddr][:-1]
        self._changed.clear()
        self._roots.clear()
        self._enter(time + 1, self._control)

    def set_bus_errors(self, errors: Iterable[tuple[int, int]]) -> None:
        """Note when page-table memory answered with an error though there is memory, and where.

        ``errors`` are times and addresses of entries; those noted before are forgotten. An access
        that is under way then may be answered by a machine check if it can have read that entry.
        """
        self._bus_errors = {}
        for time, paddr in errors:
            self._bus_errors.setdefault(paddr, []).append(time)

    def has_bus_error(self, paddr: int, start: int, end: int) -> bool:
        """Return whether an access to the entry at ``paddr`` failed from ``start`` to ``end``."""
        times = self._bus_errors.get(paddr)
        return times is not None and any(start <= time <= end for time in times)

    def outcomes(self, start: int, end: int, control: Control, access: Access) -> set[Outcome]:
        """Return the answers permitted to an access that is made from ``start`` to ``end``.

        Raise ``ValueError`` for an address that ``walk`` refuses.
        """
        return {found.outcome for found in self.explanations(start, end, control, access)}

    def explanations(
        self, start: int, end: int, control: Control, access: Access
    ) -> Iterator[Explanation]:
        """Yield every way to a permitted answer; see ``outcomes``.

        A probe is told of no fault. A ``LOOKUP`` may find nothing in any case.
        """
        found = self._explanations(start, end, control, access)
        if access.purpose not in QUIET:
            yield from found
            return
        if access.purpose is Purpose.LOOKUP and control.cr0 & Cr0.PG:
            yield Explanation(NOTHING, ())
        for one in found:
            yield one if one.outcome.vector is None else replace(one, outcome=NOTHING)

    def _explanations(
        self, start: int, end: int, control: Control, access: Access
    ) -> Iterator[Explanation]:
        if not control.cr0 & Cr0.PG:
            page_rights = PageRights(ALL_RIGHTS, True, False) if self.rights else None
            yield Explanation(
                Outcome(paddr=access.vaddr & 0xFFFF_FFFF, page_rights=page_rights), ())
            return
        check_vaddr(self.mode, access.vaddr)
        if not is_canonical(self.mode, access.vaddr):
            vector = Vector.SS if access.stack else Vector.GP
            yield Explanation(Outcome(vector=vector), ())
        else:
            yield from _Query(self, start, end, control, access).explanations()

    def stays(self, pcid: int) -> Sequence[tuple[int, Interval]]:
        """Return each root that was used with ``pcid``, and when; forgotten times are left out."""
        return self._roots.get(pcid, [])

    @property
    def pcids(self) -> Sequence[int]:
        """The PCIDs that were used at times that are not forgotten."""
        return [*self._roots]

    @property
    def floor(self) -> int:
        """The earliest time that is not forgotten."""
        return self._floor


class _Query:
    """The search for the answers to one access.

    It goes down the levels and keeps, for each chain of entries from the root, the times at which
    the last of them can have been read. That takes the entry above it, read at that time or kept
    by a paging-structure cache since, until an invalidation drops it. Invalidations during the
    access do not count, as they bind only later ones. What the leaf says is a permitted answer if
    it can have been read after its page was last invalidated.
    """

    def __init__(
        self, history: TlbHistory, start: int, end: int, control: Control, access: Access
    ) -> None:
        self._history, self._drops, self._mode = history, history.drops, history.mode
        self._start, self._end = start, end
        self._control, self._access = control, access
        self._format = EntryFormat(history.mode, control, history.paddr_bits)
        self._pcid = pcid_of(history.mode, control)
        self._by_software = history.flags.ad == "fault"  # who sets A and D
        self._sets_dirty = access.kind is AccessKind.WRITE and access.purpose is Purpose.ACCESS

    def explanations(self) -> Iterator[Explanation]:
        """Yield every way to an answer: under the PCID in force, or in a global page of any."""
        for pcid in self._history.pcids:
            stays = self._history.stays(pcid)
            active = within([stay for _, stay in stays], self._history.floor, self._end)
            for root in {root for root, _ in stays}:
                times = [stay for at, stay in stays if at == root]
                yield from self._walk(pcid, active, 0, root, times, Rights(), ())

    def _walk(
        self, pcid: int, active: list[Interval], number: int, table: int, times: list[Interval],
        rights: Rights, values: tuple[EntryValue, ...],
    ) -> Iterator[Explanation]:
        """Go on at a level, in a table whose address is known at ``times``.

        Entries are read for a PCID only while it is in force, which is at the times ``active``.
        """
        level, mode = self._mode.levels[number], self._mode
        index = self._access.vaddr >> level.shift & (1 << level.index_bits) - 1
        possible, paddr = intersect(times, active), table + index * mode.entry_bytes
        try:
            candidates = self._history.values(paddr)
            fails = self._history.has_bus_error(paddr, self._start, self._end)
        except BusError:
            candidates, fails = [], True
        if fails and pcid == self._pcid and within(possible, self._start, self._end):
            yield Explanation(Outcome(vector=Vector.MC), values)
        for value in candidates:
            read = within(possible, value.first, value.last)
            if not read:
                continue
            chain, entry = (*values, value), value.entry
            if not entry & Entry.P or self._format.is_reserved(level, entry):
                # Never cached: the access itself must have read it.
                if pcid == self._pcid and within(read, self._start, self._end):
                    yield Explanation(self._fault(entry), chain)
                continue
            combined = rights.below(mode, entry)
            if self._format.is_leaf(level, entry):
                yield from self._leaf(pcid, level, read, combined, chain)
                continue
            if self._by_software and not entry & Entry.A:  # never cached: the access has read it
                now = within(read, self._start, self._end) if pcid == self._pcid else []
                kept = [(now[0][0], self._end)] if now else []
            else:
                drops = self._drops.of_table(pcid, level, self._access.vaddr)
                kept = extend(read, drops, self._start)
            yield from self._walk(pcid, active, number + 1, self._format.table_address(entry),
                                  kept, combined, chain)

    def _fault(self, entry: int) -> Outcome:
        present = bool(entry & Entry.P)
        code = error_code(self._control, self._access, present=present, reserved=present)
        return Outcome(vector=Vector.PF, error_code=code)

    def _leaf(
        self, pcid: int, level: Level, read: list[Interval], rights: Rights,
        values: tuple[EntryValue, ...],
    ) -> Iterator[Explanation]:
        """Use the translation that the leaf gave when it was read, unless it was invalidated."""
        value, access, control = values[-1], self._access, self._control
        in_all_pcids = bool(value.entry & Entry.G and control.cr4 & Cr4.PGE)
        if pcid != self._pcid and not in_all_pcids:
            return
        oldest = 1 + self._drops.last_of_page(
            pcid, level, access.vaddr, self._start, in_all_pcids=in_all_pcids)
        usable = within(read, oldest, self._end)
        if not usable:
            return
        fresh = pcid == self._pcid and bool(within(usable, self._start, self._end))
        key = rights.key_blocks(self._mode, control, access)
        if key or not rights.permit(control, access):
            code = error_code(control, access, present=True, key=key)
            yield Explanation(Outcome(vector=Vector.PF, error_code=code), values, fresh)
            return
        if self._by_software and access.purpose not in QUIET and self._lacks_flags(values):
            if fresh:
                code = error_code(control, access, present=True)
                yield Explanation(Outcome(vector=Vector.PF, error_code=code), values, fresh)
            return
        if self._sets_dirty and not fresh:
            # A cached translation without D is no good for a write. [SDM 4.8]
            if value.dirty is None or not within(usable, value.dirty, self._end):
                return
        offset = access.vaddr & (level.page_bytes - 1)
        outcome = Outcome(
            paddr=self._format.page_address(level, value.entry) | offset,
            page=level,
            memory_type=self._format.memory_type(level, value.entry),
        )
        if not self._history.rights:
            yield Explanation(outcome, values, fresh)
            return
        for dirty in self._dirty(value):
            page_rights = PageRights(rights, dirty, in_all_pcids)
            yield Explanation(replace(outcome, page_rights=page_rights), values, fresh)

    def _lacks_flags(self, values: tuple[EntryValue, ...]) -> bool:
        """Return whether software has to set a flag in one of the entries before the access."""
        dirty = Entry.D if self._sets_dirty else 0
        return any(not value.entry & Entry.A for value in values) or dirty & ~values[-1].entry != 0

    def _dirty(self, value: EntryValue) -> list[bool]:
        """Return what may be told of D in a leaf."""
        if value.entry & Entry.D or self._sets_dirty:
            return [True]
        return [False, *[True] * (value.dirty is not None and value.dirty <= self._end)]
