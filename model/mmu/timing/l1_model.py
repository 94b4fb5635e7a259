"""An L1 TLB: what it finds, and what fills and drops make of it; fully associative, or of sets."""

from ...x86 import PAGE_SHIFT
from .cycle import Asked, DropOrder, Found
from .timed_geometry import TimedGeometry
from .victims import VICTIMS

__all__ = ["FullModel", "L1Lookup", "L1Model", "Line"]


class Line:
    """An entry of a TLB: a translation, and what it is found by."""

    __slots__ = ("found", "pcid", "shift", "vpn")

    def __init__(self, asked: Asked, found: Found) -> None:
        self.found, self.pcid = found, asked.pcid
        self.shift = found.level.shift - PAGE_SHIFT
        self.vpn = asked.vpn

    def holds(self, vpn: int) -> bool:
        """Return whether the page holds a page number."""
        return (self.vpn ^ vpn) >> self.shift == 0

    def overlaps(self, asked: Asked, found: Found) -> bool:
        """Return whether a page that is filled for ``asked`` takes the place of this one."""
        shift = max(self.shift, found.level.shift - PAGE_SHIFT)
        return (self.vpn ^ asked.vpn) >> shift == 0 and (
            self.pcid == asked.pcid or self.found.global_page or found.global_page)

    def is_dropped(self, drop: DropOrder) -> bool:
        """Return whether a drop names this entry."""
        if drop.by_address and not self.holds(drop.vpn):
            return False
        if self.found.global_page:
            return drop.globals_too
        return not drop.by_pcid or self.pcid == drop.pcid


class L1Lookup:
    """What a lookup has found, in the cycle that it was made in: later changes do not change it.

    ``entry`` is the place of the page, -1 if it is not there, and ``line`` what is there. It is
    ``usable`` if a write finds it dirty, and no XD is met while IA32_EFER.NXE is clear; then
    ``denied`` and ``key_denied`` say whether it forbids the access, and whether its key does.
    """

    __slots__ = ("denied", "entry", "key_denied", "line", "usable")

    def __init__(self, asked: Asked, entry: int, line: Line | None) -> None:
        self.entry, self.line = entry, line
        self.usable = self.denied = self.key_denied = False
        if line is None:
            return
        found, view, access = line.found, asked.view, asked.access
        self.usable = (found.dirty or not asked.write) and (
            view.nxe or not found.rights.execute_disable)
        if self.usable:
            self.key_denied = found.rights.key_blocks(view.mode, view.control, access)
            self.denied = self.key_denied or not found.rights.permit(view.control, access)


class L1Model:
    """What all L1 TLBs do. ``busy_after`` has the cycles that a drop takes, by address and else."""

    busy_after = (1, 1)
    busy_at_reset = 0

    def look_up(self, asked: Asked) -> L1Lookup:
        """Return what is known of the page of a request."""
        raise NotImplementedError

    def touch(self, lookup: L1Lookup) -> None:
        """Note that what was found was used."""
        raise NotImplementedError

    def choose(self) -> int:
        """Return the place of a page that has none, by what was used before this cycle."""
        raise NotImplementedError

    def fill(self, asked: Asked, lookup: L1Lookup, found: Found, chosen: int) -> None:
        """Enter what a walk found for a request that was looked up before."""
        raise NotImplementedError

    def drop(self, drop: DropOrder) -> None:
        """Drop entries."""
        raise NotImplementedError


class FullModel(L1Model):
    """Fully associative: a page goes where the one at hand was, or to the first invalid entry.

    If all are valid it goes to the policy's victim.
    """

    def __init__(self, geometry: TimedGeometry, entries: int) -> None:
        self._lines: list[Line | None] = [None] * entries
        self._victims = VICTIMS[geometry.policy](entries)

    def look_up(self, asked: Asked) -> L1Lookup:
        vpn, pcid = asked.vpn, asked.pcid
        for entry, line in enumerate(self._lines):
            if (line is not None and (line.vpn ^ vpn) >> line.shift == 0
                    and (line.pcid == pcid or line.found.global_page)):
                return L1Lookup(asked, entry, line)
        return L1Lookup(asked, -1, None)

    def touch(self, lookup: L1Lookup) -> None:
        self._victims.use(lookup.entry, False)

    def choose(self) -> int:
        return self._lines.index(None) if None in self._lines else self._victims.next()

    def fill(self, asked: Asked, lookup: L1Lookup, found: Found, chosen: int) -> None:
        lines, entry = self._lines, lookup.entry if lookup.entry >= 0 else chosen
        for number, line in enumerate(lines):
            if line is not None and line.overlaps(asked, found):
                lines[number] = None
        lines[entry] = Line(asked, found)
        self._victims.use(entry, True)

    def drop(self, drop: DropOrder) -> None:
        self._lines = [None if line is not None and line.is_dropped(drop) else line
                       for line in self._lines]
