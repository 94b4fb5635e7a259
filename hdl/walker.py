"""The page-table walker: reads entries level by level, sets A and D, judges the access."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT, Entry, Vector
from .bitfield import field
from .entry_decoder import EntryDecoder
from .permission import Permission
from .shapes import (
    AccessKind,
    MemoryOp,
    drop_layout,
    memory_signature,
    rights_layout,
    walk_events_layout,
    walk_signature,
)
from .walk_cache import WalkCache

__all__ = ["Walker"]


class Walker(wiring.Component):
    """One walk at a time, without a wasted cycle between page-table accesses.

    An idle walker offers the first entry's read in the cycle in which a request is offered, and
    each later memory request in the cycle in which the response before it arrives. The walk's
    response is offered in the cycle after the last memory response. A walk of *n* entries whose
    A and D need no change thus takes *n* memory latencies and one cycle; each entry that has to
    be updated adds one memory latency. Entries that the walk cache holds are not read.

    Entries used on the way get their accessed flag, the leaf only (with D, for a write) if the
    access is permitted. If another processor changes an entry before the update, the walk starts
    over from the root. A bus error ends the walk in a machine check.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    walk : In(walk_signature)
        Requests and their results.
    memory : Out(memory_signature)
        Page-table memory.
    drop : In(drop_layout)
        Entries of the walk cache to drop, given only while no walk is under way.
    events : Out(walk_events_layout)
        What happens in this cycle.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "walk": In(walk_signature(config)),
            "memory": Out(memory_signature(config)),
            "drop": In(drop_layout(config)),
            "events": Out(walk_events_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = EntryDecoder(self._config)
        m.submodules.permission = permission = Permission(self._config)
        m.submodules.cache = cache = WalkCache(self._config)
        m.d.comb += cache.drop.eq(self.drop)
        req, rsp = self.memory.req, self.memory.rsp

        request = Signal.like(self.walk.req.payload)
        now = Signal(data.StructLayout({  # what the response at hand leads to
            "idle": 1, "valid": 1, "restart": 1, "update": 1, "finish": 1}))
        response = Signal.like(rsp.payload)  # the response at hand
        blocked = Signal.like(rsp.payload)  # a response that memory did not let us follow up
        place = Signal(self._place_layout())  # of the access under way
        self._decide(m, now, request, response, place, decoder, permission)
        self._access(m, now, request, response, place, decoder, permission.rights, cache)

        accepted = req.valid & req.ready
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [now.idle.eq(1), self.walk.req.ready.eq(req.ready)]
                with m.If(accepted):
                    m.d.sync += request.eq(self.walk.req.payload)
                    m.next = "Wait"
            with m.State("Wait"):
                m.d.comb += [response.eq(rsp.payload), now.valid.eq(rsp.valid), rsp.ready.eq(1)]
                with m.If(now.valid & now.finish):
                    m.next = "Done"
                with m.Elif(now.valid & ~req.ready):
                    m.d.sync += blocked.eq(rsp.payload)
                    m.next = "Blocked"
            with m.State("Blocked"):
                m.d.comb += [response.eq(blocked), now.valid.eq(1)]
                with m.If(req.ready):
                    m.next = "Wait"
            with m.State("Done"):
                m.d.comb += self.walk.rsp.valid.eq(1)
                with m.If(self.walk.rsp.ready):
                    m.next = "Idle"

        answered = self.walk.rsp.valid & self.walk.rsp.ready
        m.d.comb += [
            self.events.start.eq(now.idle & accepted),
            self.events.end.eq(answered),
            self.events.update.eq(accepted & now.update),
            self.events.restart.eq(accepted & now.restart),
            self.events.fault.eq(answered & self.walk.rsp.payload.fault),
        ]
        return m

    def _place_layout(self):
        """Return where a walk is: the entry ``level`` of the frame ``table``.

        ``rights`` are combined over the levels above; ``updating`` says that the access under way
        sets flags of the entry and does not read it for the first time.
        """
        return data.StructLayout({
            "level": range(len(self._config.mode.levels)),
            "table": self._config.root_bits,
            "rights": rights_layout(),
            "updating": 1,
        })

    def _decide(self, m, now, request, response, place, decoder, permission):
        """Judge the entry at hand; on the last one, keep the walk's result."""
        write = request.access.kind == AccessKind.WRITE
        rights, result = permission.rights, self.walk.rsp.payload
        denied = ~decoder.present | decoder.reserved | (decoder.leaf & permission.fault)
        lacks_flag = ~decoder.accessed | (decoder.leaf & write & ~decoder.dirty)
        m.d.comb += [
            decoder.entry.eq(response.data),
            decoder.level.eq(place.level),
            decoder.pse.eq(request.control.pse),
            decoder.nxe.eq(request.control.nxe),
            rights.writable.eq(decoder.rights.writable & place.rights.writable),
            rights.user.eq(decoder.rights.user & place.rights.user),
            rights.execute_disable.eq(
                decoder.rights.execute_disable | place.rights.execute_disable),
            rights.key.eq(decoder.rights.key),
            permission.access.eq(request.access),
            permission.control.eq(request.control),
            permission.present.eq(decoder.present),
            permission.reserved.eq(decoder.reserved),
            now.restart.eq(now.valid & place.updating & ~response.exchanged & ~response.error),
            now.update.eq(now.valid & ~place.updating & ~denied & lacks_flag),
            now.finish.eq(response.error | (
                ~now.restart & (denied | (decoder.leaf & ~now.update)))),
        ]
        with m.If(now.valid & now.finish):
            m.d.sync += [
                result.port.eq(request.port),
                result.fault.eq(response.error | denied),
                result.vector.eq(Mux(response.error, Vector.MC, Vector.PF)),
                result.error_code.eq(Mux(response.error, 0, permission.error_code)),
                result.translation.frame.eq(decoder.frame),
                result.translation.page.eq(decoder.page),
                result.translation.rights.eq(rights),
                result.translation.memory_type.eq(decoder.memory_type),
                result.translation.dirty.eq(decoder.dirty | write),
                result.translation.global_page.eq(decoder.global_page & request.control.pge),
            ]

    def _access(self, m, now, request, response, place, decoder, rights, cache):
        """Make the next access to page-table memory: the first, an update, or the level below."""
        config, req = self._config, self.memory.req
        begun = Signal.like(request)  # what the walk is for, also while it is only offered
        descend = Signal()
        m.d.comb += [
            begun.eq(Mux(now.idle, self.walk.req.payload, request)),
            descend.eq(now.valid & ~now.finish & ~now.restart & ~now.update),
            cache.key.vpn.eq(begun.access.vaddr[PAGE_SHIFT:]),
            cache.key.pcid.eq(begun.control.pcid),
            cache.nxe.eq(begun.control.nxe),
        ]
        target = Signal.like(place)
        with m.If(now.update):
            m.d.comb += [target.eq(place), target.updating.eq(1)]
        with m.Elif(descend):
            m.d.comb += [
                target.table.eq(decoder.table),
                target.level.eq(place.level + 1),
                target.rights.eq(rights),
            ]
        with m.Else():
            self._begin(m, target, begun, use_cache=now.idle & cache.hit, cache=cache)
        accepted = req.valid & req.ready
        with m.If(accepted):
            m.d.sync += place.eq(target)

        dirty = decoder.leaf & (request.access.kind == AccessKind.WRITE)
        offset_bits = (config.mode.entry_bytes - 1).bit_length()
        index = self._index(m, target.level, begun.access.vaddr)
        m.d.comb += [
            req.valid.eq(Mux(now.idle, self.walk.req.valid, now.valid & ~now.finish)),
            req.payload.op.eq(Mux(now.update, MemoryOp.COMPARE_EXCHANGE, MemoryOp.READ)),
            req.payload.address.eq(Cat(Const(0, offset_bits), index, target.table)),
            req.payload.expected.eq(response.data),
            req.payload.desired.eq(response.data | Entry.A | Mux(dirty, Entry.D, 0)),
            # In 32-bit paging an entry with PS set is another one once CR4.PSE is set.
            cache.fill.eq(accepted & descend & ~field(response.data, Entry.PS)),
            cache.fill_level.eq(place.level),
            cache.filled.table.eq(decoder.table),
            *(cache.filled[name].eq(rights[name]) for name in COMBINED_RIGHTS),
        ]
        for number, level in enumerate(config.mode.levels):
            m.d.comb += self.events[f"read_{level.name.lower()}"].eq(
                accepted & ~now.update & (target.level == number))
        for number, level in enumerate(config.mode.levels[:-1]):
            m.d.comb += self.events[f"hit_{level.name.lower()}"].eq(
                accepted & now.idle & cache.hit & (cache.level == number + 1))

    def _begin(self, m, target, begun, *, use_cache, cache):
        """Begin a walk at the root, or below it at what the walk cache holds."""
        m.d.comb += [
            target.table.eq(begun.control.root),
            target.rights.writable.eq(1),
            target.rights.user.eq(1),
        ]
        with m.If(use_cache):
            m.d.comb += [
                target.table.eq(cache.found.table),
                target.level.eq(cache.level),
                *(target.rights[name].eq(cache.found[name]) for name in COMBINED_RIGHTS),
            ]

    def _index(self, m, number, vaddr):
        """Return the index of ``vaddr`` into a table of the level ``number``."""
        levels = self._config.mode.levels
        index = Signal(max(level.index_bits for level in levels))
        with m.Switch(number):
            for case, level in enumerate(levels):
                with m.Case(case):
                    m.d.comb += index.eq(vaddr[level.shift:level.shift + level.index_bits])
        return index


COMBINED_RIGHTS = ("writable", "user", "execute_disable")
"""Rights that all entries of a walk have a say in; the key is the leaf's alone."""
