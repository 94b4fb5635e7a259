"""Which entry a walk accesses next, and at which address. [SDM 4.3, 4.5, 4.10.3]"""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .shapes import drop_layout, walk_request_layout
from .walk_cache import WalkCache
from .walk_shapes import WalkStep, place_layout

__all__ = ["NextEntry"]


class NextEntry(wiring.Component):
    """Leads a walk from entry to entry, with the walk cache to begin at.

    Combinational from request, step and places to the next place and its address; ``fill`` and
    ``drop`` take effect at the end of the cycle.

    A walk begins at the lowest table that the walk cache holds for its address and PCID, or else at
    the root. One that restarts does so at the root: what the walk cache holds came from entries
    that may have changed together with the one that did.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    request : In(walk_request_layout)
        What the walk is for.
    step : In(WalkStep)
        What the walk does next; ``FINISH`` leads nowhere.
    place : In(place_layout)
        Where the walk is, if it has begun; the access that ``REPEAT`` repeats.
    below : In(place_layout)
        Where ``DESCEND`` leads.
    sets : In(1)
        ``RESTART`` begins again to set flags.
    next_place : Out(place_layout), address : Out
        The access that the step makes, and the byte address of its entry.
    fill : In(1)
        Enter the table of ``below`` into the walk cache; the entry at ``place`` points to it, has
        its accessed flag set, and means the same whatever CR4.PSE is.
    drop : In(drop_layout)
        Entries of the walk cache to drop, given only when ``fill`` is not and no walk begins.
    """

    def __init__(self, config):
        self._config = config
        place = place_layout(config)
        super().__init__({
            "request": In(walk_request_layout(config)),
            "step": In(WalkStep),
            "place": In(place),
            "below": In(place),
            "sets": In(1),
            "next_place": Out(place),
            "address": Out(config.physical_bits),
            "fill": In(1),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.cache = cache = WalkCache(self._config)
        mode = self._config.mode
        vaddr, control = self.request.access.vaddr, self.request.control
        next_place = self.next_place
        m.d.comb += [
            cache.key.vpn.eq(vaddr[PAGE_SHIFT:]),
            cache.key.pcid.eq(control.pcid),
            cache.nxe.eq(control.nxe),
            cache.fill.eq(self.fill),
            cache.fill_level.eq(self.place.level),
            cache.filled.eq(self.below.table),
            cache.drop.eq(self.drop),
            # The root, which forbids nothing, unless one of the cases below leads elsewhere.
            next_place.table.frame.eq(control.root),
            next_place.table.writable.eq(1),
            next_place.table.user.eq(1),
        ]
        with m.Switch(self.step):
            with m.Case(WalkStep.BEGIN):
                with m.If(cache.hit):
                    m.d.comb += [
                        next_place.level.eq(cache.level), next_place.table.eq(cache.found)]
            with m.Case(WalkStep.RESTART):
                if self._config.sets_flags_last:
                    m.d.comb += next_place.setting.eq(self.sets)
            with m.Case(WalkStep.UPDATE):
                m.d.comb += [next_place.eq(self.place), next_place.updating.eq(1)]
            with m.Case(WalkStep.REPEAT):
                m.d.comb += next_place.eq(self.place)
            with m.Case(WalkStep.DESCEND):
                m.d.comb += next_place.eq(self.below)

        index = Signal(max(level.index_bits for level in mode.levels))
        with m.Switch(next_place.level):
            for number, level in enumerate(mode.levels):
                with m.Case(number):
                    m.d.comb += index.eq(vaddr[level.shift:level.shift + level.index_bits])
        within_entry = Const(0, (mode.entry_bytes - 1).bit_length())
        m.d.comb += self.address.eq(Cat(within_entry, index, next_place.table.frame))
        return m
