"""What an entry of a paging structure leads to, by what an access asks of it. [SDM 4.5 to 4.8]"""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import Entry, Vector
from .bitfield import field
from .entry_decoder import EntryDecoder
from .permission import denials, needs_layout, page_fault_code, sets_dirty
from .shapes import memory_response_layout, rights_layout, walk_response_layout
from .walk_shapes import WalkStep, place_layout

__all__ = ["EntryJudge", "asks_layout"]


def asks_layout(config):
    """Return what a walk is judged by: who asks, what the access needs, CR4.PSE and CR4.PGE."""
    response = walk_response_layout(config).members
    who = {name: response[name] for name in ("port", "miss", "prefetch") if name in response}
    return data.StructLayout({**who, "pse": 1, "pge": 1, "needs": needs_layout(config)})


class EntryJudge(wiring.Component):
    """Decides how a walk goes on, given the entry that memory returned. Combinational.

    An entry that is not present, or has a reserved bit set, or maps a page that the access may not
    use, ends the walk in a page fault and keeps its flags. Any other entry gets its accessed flag
    before the walk goes on, and the leaf its dirty flag if the access writes. [SDM 4.8] If memory
    refuses to set them because the entry has changed, the walk restarts: the new entry may lead
    elsewhere. A bus error ends the walk in a machine check.

    Where flags are set last, an entry above the leaf keeps its accessed flag for now, and the walk
    goes on. If such a walk succeeds, it begins again and sets flags as it goes; or where flags are
    not set at all, it ends in a page fault. A quiet access sets nothing and goes on as well.

    The judge keeps nothing: walks may take turns at one of them.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    asks : In(asks_layout)
        What the access asks, for which the walk is.
    place : In(place_layout)
        The entry that was accessed, and whether the access was to set its flags.
    response : In(memory_response_layout)
        What memory said. An exchange is judged by the entry as it was before it.
    step : Out(WalkStep)
        What the walk does next, never ``BEGIN`` or ``REPEAT``.
    below : Out(place_layout)
        Where ``DESCEND`` leads.
    sets : Out(1)
        ``RESTART`` begins again to set flags, and not because memory refused.
    cacheable : Out(1)
        The walk cache may hold the table of ``below``.
    desired : Out
        What ``UPDATE`` makes of the entry.
    result : Out(walk_response_layout)
        What ``FINISH`` answers; ``stale`` is for the walker to set, but if what was found must not
        be kept for want of A.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "asks": In(asks_layout(config)),
            "place": In(place_layout(config)),
            "response": In(memory_response_layout(config)),
            "step": Out(WalkStep),
            "below": Out(place_layout(config)),
            "sets": Out(1),
            "cacheable": Out(1),
            "desired": Out(8 * config.mode.entry_bytes),
            "result": Out(walk_response_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = EntryDecoder(self._config)
        asks, needs, response = self.asks, self.asks.needs, self.response
        above, rights = self.place.table, Signal(rights_layout())
        permission_denied, key_denied = denials(needs, rights)
        m.d.comb += [
            decoder.entry.eq(response.data),
            decoder.level.eq(self.place.level),
            decoder.pse.eq(asks.pse),
            decoder.nxe.eq(needs.nxe),
            # All entries of a walk must allow what they can forbid; the key is the leaf's alone.
            rights.writable.eq(decoder.rights.writable & above.writable),
            rights.user.eq(decoder.rights.user & above.user),
            rights.execute_disable.eq(decoder.rights.execute_disable | above.execute_disable),
            rights.key.eq(decoder.rights.key),
        ]

        writes_leaf = decoder.leaf & sets_dirty(needs)
        quiet = needs.quiet if self._config.probes else Const(0)
        if self._config.prefetches:
            quiet |= asks.prefetch
        lacks_flag, denied = ~decoder.accessed | (writes_leaf & ~decoder.dirty), Signal()
        refused = ~decoder.present | decoder.reserved | (decoder.leaf & permission_denied)
        sets, updates = Const(0), ~self.place.updating & lacks_flag
        if self._config.ad == "fault":
            refused |= decoder.leaf & ~quiet & (self.place.lacking | lacks_flag)
            updates = Const(0)
        elif self._config.sets_flags_last:
            sets = decoder.leaf & self.place.lacking & ~self.place.setting & ~quiet
            updates &= decoder.leaf | self.place.setting
        if self._config.walks_quietly:
            updates &= ~quiet
            # What was found without A must not be kept.
            m.d.comb += self.result.stale.eq(quiet & (self.place.lacking | ~decoder.accessed))
        m.d.comb += [
            denied.eq(refused),
            self.sets.eq(sets & ~denied & ~response.error),
            self.desired.eq(response.data | Entry.A | Mux(writes_leaf, Entry.D, 0)),
        ]
        with m.If(response.error):
            m.d.comb += self.step.eq(WalkStep.FINISH)
        with m.Elif(self.place.updating & ~response.exchanged):
            m.d.comb += self.step.eq(WalkStep.RESTART)
        with m.Elif(denied):
            m.d.comb += self.step.eq(WalkStep.FINISH)
        with m.Elif(sets):
            m.d.comb += self.step.eq(WalkStep.RESTART)
        with m.Elif(updates):
            m.d.comb += self.step.eq(WalkStep.UPDATE)
        with m.Elif(decoder.leaf):
            m.d.comb += self.step.eq(WalkStep.FINISH)
        with m.Else():
            m.d.comb += self.step.eq(WalkStep.DESCEND)

        self._descend(m, decoder, rights)
        self._finish(m, decoder, rights, denied, key_denied)
        return m

    def _descend(self, m, decoder, rights):
        """Say where the table begins that the entry points to, if it does."""
        below = self.below
        m.d.comb += [
            below.level.eq(self.place.level + 1),
            below.table.frame.eq(decoder.table),
            below.table.writable.eq(rights.writable),
            below.table.user.eq(rights.user),
            below.table.execute_disable.eq(rights.execute_disable),
            # In 32-bit paging an entry with PS set points to a table only as long as CR4.PSE is
            # clear; the walk cache does not look at CR4.PSE, so it must not hold such an entry.
            self.cacheable.eq(~field(self.response.data, Entry.PS)),
        ]
        if self._config.notes_lacking:
            m.d.comb += [
                # Nor one on whose way A is lacking: a walk that begins at a table does not set it.
                self.cacheable.eq(~field(self.response.data, Entry.PS) & ~self.place.lacking
                                  & (decoder.accessed | self.place.updating)),
                below.lacking.eq(self.place.lacking | ~decoder.accessed),
            ]
        if self._config.sets_flags_last:
            m.d.comb += below.setting.eq(self.place.setting)

    def _finish(self, m, decoder, rights, denied, key_denied):
        """Make the answer: the translation, or the fault."""
        asks, error, result = self.asks, self.response.error, self.result
        code = page_fault_code(asks.needs, key_denied=key_denied, present=decoder.present,
                               reserved=decoder.reserved)
        m.d.comb += [
            result.port.eq(asks.port),
            result.miss.eq(asks.miss),
            *([result.prefetch.eq(asks.prefetch)] if self._config.prefetches else []),
            result.fault.eq(error | denied),
            result.vector.eq(Mux(error, Vector.MC, Vector.PF)),
            result.error_code.eq(Mux(error, 0, code)),
            result.translation.frame.eq(decoder.frame),
            result.translation.page.eq(decoder.page),
            result.translation.rights.eq(rights),
            result.translation.memory_type.eq(decoder.memory_type),
            result.translation.dirty.eq(decoder.dirty | sets_dirty(asks.needs)),
            result.translation.global_page.eq(decoder.global_page & asks.pge),
        ]
