"""The state of one of the pool's walks, as far as it is needed at once."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .shapes import MEMORY_TAG_BITS
from .walk_shapes import table_layout

__all__ = ["WalkContext", "birth_layout", "table_rights_layout"]


def birth_layout(config):
    """Return what a context keeps of the request that it takes on.

    ``write`` says that the access writes; ``leader`` is the number of the context whose walk
    answers this request as well, if it is ``merged``; ``stale`` says that in this cycle there is a
    drop, so that the walk may begin at what is dropped. A ``quiet`` walk sets no flag, so that no
    other is answered by it; one that is a ``prefetch`` is quiet, too.
    """
    return data.StructLayout({
        "vpn": config.vpn_bits, "pse": 1, "nxe": 1, "write": 1,
        "quiet": 1, **({"prefetch": 1} if config.prefetches else {}),
        "merged": 1, "leader": range(max(2, config.walkers)), "stale": 1})


def table_rights_layout():
    """Return the rights combined over the entries that lead to a table."""
    return data.StructLayout({"writable": 1, "user": 1, "execute_disable": 1})


class WalkContext(wiring.Component):
    """One walk of a pool: which entry it is at, and what it waits for.

    A context that is ``free`` takes a request. It either asks for the memory port in the next cycle
    (``wants``), from the root if the walk cache had nothing, or a cycle later; or it is ``parked``
    with the context that walks for the same page. Once memory has accepted its access it is
    ``waiting`` for the response. Where this leads to is told in the cycle after it: the access that
    follows was accepted in the cycle of the response, or has to wait for the port, or the walk is
    judged. In the cycle after that it ends, or asks for the port again. A walk that has ended stays
    ``done`` as long as others are parked with it.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    take : In(1), birth : In(birth_layout)
        Take a request; only when ``free``.
    hit : In(1), found_level : In, found : In(table_layout)
        In the cycle after ``take``: whether the walk cache was hit, and where to begin then; the
        table at level 0 is the root.
    accepted : In(1)
        Memory accepts the access for which this context ``wants`` the port.
    respond : In(1), rights : In(table_rights_layout)
        The response to the access is here, and the entry has these rights.
    led, passed : In(1)
        In the cycle after: whether it led down, and whether memory accepted the access there.
    judged_level : In
        Level of the entry that is judged.
    update, restart, finish : In(1), dirty_too : In(1)
        What the judge says in the next cycle: set flags of the entry, its dirty flag too; begin
        again at the root; or the request is answered.
    failed_now : In(1)
        The answer of ``finish`` is a fault.
    has_followers : In(1)
        Others are parked with this context.
    replay : In(1)
        The parked request is judged in the next cycle, by the entry at which its leader ended.
    lacks : In(1), sets : In(1)
        With ``respond``: the entry leads down and lacks A; with ``restart``: to set flags.
    drop : In(1)
        Something is dropped.
    forget : In(1)
        From now on no request with the same registers comes.
    free, wants, waiting, parked, done, joinable : Out(1)
        The state; a request may be parked with a context that is ``joinable``.
    judged : Out(1)
        The walk is to be judged in this cycle.
    level, updating, dirty, at_found : Out
        The level of the access, whether it is to set flags, the dirty flag too, and whether its
        table is the one that the walk cache found.
    lacking, setting : Out(1)
        Where flags are set last: an entry above lacks A; the walk has begun again to set it.
    above : Out(table_rights_layout)
        Rights combined over the entries above, and after its response over the entry itself.
    count, next_count : Out(MEMORY_TAG_BITS), counted : Out(1)
        The number of the access accepted last, which goes on through resets, and the next one;
        ``counted`` says that this is the one accepted last already.
    born : Out(birth_layout), stale, failed : Out(1)
        What was kept; whether something was dropped since; whether the walk ended in a fault.
    """

    def __init__(self, config):
        self._sets_flags_last, self._notes_lacking = config.sets_flags_last, config.notes_lacking
        birth = birth_layout(config)
        rights = table_rights_layout()
        level = range(len(config.mode.levels))
        pulses = ("take", "hit", "accepted", "respond", "led", "passed", "update", "restart",
                  "finish", "dirty_too", "failed_now", "has_followers", "replay", "drop", "forget",
                  "lacks", "sets")
        states = ("free", "wants", "waiting", "parked", "done", "joinable", "judged", "updating",
                  "dirty", "at_found", "counted", "stale", "failed", "lacking", "setting")
        super().__init__({
            **dict.fromkeys(pulses, In(1)),
            "birth": In(birth), "found_level": In(level), "found": In(table_layout(config)),
            "rights": In(rights), "judged_level": In(level),
            **dict.fromkeys(states, Out(1)),
            "level": Out(level), "above": Out(rights), "count": Out(MEMORY_TAG_BITS),
            "next_count": Out(MEMORY_TAG_BITS), "born": Out(birth),
        })

    def elaborate(self, platform):
        m = Module()
        count = Signal(MEMORY_TAG_BITS, reset_less=True)
        current = Signal()  # no request with other registers came since
        # In the cycle before. A reset keeps it, as `count` has to follow what memory accepts.
        responded = Signal(reset_less=True)
        replayed = Signal()  # what is parked was given to the judge in the cycle before
        was_found = Signal()  # the table of the entry that responded is the one found
        m.d.comb += [
            self.count.eq(count),
            self.next_count.eq(count + 1),
            self.counted.eq(responded & self.led & self.passed),
            self.joinable.eq(current & ~self.stale & ~self.judged & ~self.born.quiet),
        ]
        m.d.sync += [responded.eq(self.respond), replayed.eq(self.replay)]
        with m.If(self.accepted | self.counted):
            m.d.sync += count.eq(self.next_count)
        with m.If(self.take):
            m.d.sync += [self.born.eq(self.birth), self.stale.eq(self.birth.stale)]
        with m.Elif(self.drop):
            m.d.sync += self.stale.eq(1)
        self._run(m, current, responded, replayed, was_found)
        with m.If(self.respond):
            self._go_down(m)
            m.d.sync += was_found.eq(self.at_found)
        with m.If(self.forget & ~self.take):
            m.d.sync += current.eq(0)
        return m

    def _run(self, m, current, responded, replayed, was_found):
        with m.FSM():
            with m.State("Free"):
                m.d.comb += self.free.eq(1)
                with m.If(self.take):
                    self._begin(m)
                    m.d.sync += current.eq(~self.birth.merged)
                    m.next = "Begin"
                    with m.If(self.birth.merged):
                        m.next = "Parked"
            with m.State("Begin"):
                m.d.comb += self.wants.eq(~self.hit)
                with m.If(self.hit):
                    self._place(m)
                m.next = "Ask"
                with m.If(self.accepted):
                    m.next = "Wait"
            with m.State("Ask"):
                m.d.comb += self.wants.eq(1)
                with m.If(self.accepted):
                    m.next = "Wait"
            with m.State("Wait"):
                m.d.comb += [
                    self.waiting.eq(~responded | (self.led & self.passed)),
                    self.wants.eq(responded & self.led & ~self.passed),
                    self.judged.eq(responded & ~self.led),
                ]
                with m.If(self.wants & ~self.accepted):
                    m.next = "Ask"
                with m.If(self.judged):
                    self._go_back(m, current, was_found)
            with m.State("Obey"):
                self._obey(m)
            with m.State("Done"):
                m.d.comb += self.done.eq(1)
                with m.If(~self.has_followers):
                    m.next = "Free"
            with m.State("Parked"):
                m.d.comb += [self.parked.eq(~replayed), self.judged.eq(replayed)]
                with m.If(replayed):
                    self._go_back(m, current, was_found)

    def _go_back(self, m, current, was_found):
        """Be judged at the entry that responded."""
        m.d.sync += [current.eq(0), self.level.eq(self.judged_level), self.at_found.eq(was_found)]
        m.next = "Obey"

    def _obey(self, m):
        """Do as the judge says, who has the context ask for the port unless the walk is over."""
        m.d.sync += [self.updating.eq(self.update), self.dirty.eq(self.dirty_too)]
        m.next = "Ask"
        with m.If(self.restart):
            self._begin(m)
            if self._sets_flags_last:
                m.d.sync += self.setting.eq(self.sets)
        with m.If(self.finish):
            m.d.sync += self.failed.eq(self.failed_now)
            m.next = "Free"
            with m.If(self.has_followers):
                m.next = "Done"

    def _begin(self, m):
        """Go to the root, which forbids nothing."""
        if self._notes_lacking:
            m.d.sync += self.lacking.eq(0)
        if self._sets_flags_last:
            m.d.sync += self.setting.eq(0)
        m.d.sync += [
            self.level.eq(0), self.updating.eq(0), self.at_found.eq(0),
            self.above.writable.eq(1), self.above.user.eq(1), self.above.execute_disable.eq(0)]

    def _place(self, m):
        """Go to the table that the walk cache found."""
        m.d.sync += [
            self.level.eq(self.found_level), self.at_found.eq(1),
            self.above.writable.eq(self.found.writable), self.above.user.eq(self.found.user),
            self.above.execute_disable.eq(self.found.execute_disable)]

    def _go_down(self, m):
        """Go to the table that the entry points to, as if it did."""
        above, rights = self.above, self.rights
        if self._notes_lacking:
            m.d.sync += self.lacking.eq(self.lacking | self.lacks)
        m.d.sync += [
            self.level.eq(self.level + 1), self.updating.eq(0), self.at_found.eq(0),
            above.writable.eq(above.writable & rights.writable),
            above.user.eq(above.user & rights.user),
            above.execute_disable.eq(above.execute_disable | rights.execute_disable),
        ]
