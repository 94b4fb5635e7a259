"""Several page-table walks at once, over one decoder and one memory port."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .event_shapes import walk_events_layout
from .select import select
from .shapes import (
    MEMORY_TAG_BITS,
    MemoryOp,
    drop_layout,
    memory_signature,
    prefetch_members,
    walk_signature,
)
from .walk_context import WalkContext, table_rights_layout
from .walk_follow import WalkFollow
from .walk_intake import WalkIntake
from .walk_lookup import WalkLookup
from .walk_offer import WalkOffer
from .walk_review import WalkReview
from .walk_shapes import key_layout

__all__ = ["WalkPool"]


class WalkPool(wiring.Component):
    """Walks for up to ``config.walkers`` requests at a time.

    A request is accepted in each cycle in which none waits; it waits in the pool for a free
    context. Alone, a request that is accepted in cycle *t* is looked up in the walk cache in
    *t* + 1 and offers its first access in *t* + 2, or in *t* + 3 if the walk cache holds a table
    for it. A response that leads down to another table offers the next access in its own cycle.
    Every other response is judged in the cycle after it; the answer is offered in the next one, and
    what the judge wants of memory one later. A walk of *n* entries whose A and D need no change
    thus takes *n* memory latencies and 4 cycles, and one more if the walk cache was hit; each entry
    that has to be updated adds one memory latency and 3 cycles. Among other walks each access waits
    for the memory port until it is its turn.

    A request for a page that a walk is under way for, with the same root, PCID, PSE and NXE, makes
    no accesses: it is answered by the entry that this walk ends at, judged by its own access and
    registers. If that does not permit the access, or lacks the dirty flag for it, or the walk ends
    in a fault, the request walks from the root itself.

    Any walk that is under way in the cycle of a drop may have used what is dropped. It goes on, as
    its access came before the drop, but from then on nothing of it is cached: it fills the walk
    cache no more, its response is marked ``stale``, and no request that comes later is answered by
    it.

    Answers are offered in one cycle, whether they are ready to be taken or not.

    A and D are set as by ``Walker``. If an exchange is lost, to another writer or to another walk
    of the pool, the walk starts over from the root.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    late : bool
        Whether the payload of ``walk.req`` comes in the cycle after it was accepted, and stays
        until another is, as ``WalkArbiter`` has it.

    Members
    -------
    walk : In(walk_signature)
        Requests and their results.
    memory : Out(memory_signature)
        Page-table memory.
    drop : In(drop_layout), busy : Out(1)
        Entries of the walk cache to drop, and whether a drop is still at work after its cycle: no
        lookup comes before it is done, so that it never is.
    spare, crowded : Out(1), withdraw : In(1), with ``config.prefetches``
        As ``prefetch_members`` has them.
    events : Out(walk_events_layout)
        What happens in this cycle. ``start`` is a request that a context takes, ``end`` an answer.
    """

    def __init__(self, config, *, late=False):
        self._config = config
        self._late = late
        super().__init__({
            "walk": In(walk_signature(config)),
            "memory": Out(memory_signature(config)),
            "drop": In(drop_layout(config)),
            "busy": Out(1),
            **prefetch_members(config),
            "events": Out(walk_events_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.intake = intake = WalkIntake(self._config, late=self._late)
        m.submodules.lookup = lookup = WalkLookup(self._config)
        m.submodules.follow = follow = WalkFollow(self._config)
        m.submodules.review = review = WalkReview(self._config)
        m.submodules.offer = offer = WalkOffer(self._config)
        begun, finder = Signal(), Signal.like(intake.number)  # whether one was taken, and by whom
        # What came of the last response. A reset keeps it, as an access was made of it.
        led, last_number = Signal(reset_less=True), Signal.like(intake.number)
        last_table = Signal.like(follow.table)
        obeying, last_judged = Signal(), Signal.like(intake.number)  # which context was judged
        contexts = []
        for number in range(self._config.walkers):
            m.submodules[f"context_{number}"] = context = WalkContext(self._config)
            contexts.append(context)
            self._connect(m, context, number, intake, lookup, follow, review, offer, led)
        response = self._response(m, contexts, follow, review, offer)
        leads, judged = Signal(), Signal()
        m.d.comb += [
            leads.eq(follow.respond.any() & follow.leads),
            judged.eq(Cat(one.judged for one in contexts).any()),
        ]
        m.d.sync += [
            led.eq(leads),
            last_number.eq(follow.number),
            last_table.eq(follow.table),
            obeying.eq(judged),
            last_judged.eq(review.judging),
            begun.eq(intake.take),
            finder.eq(intake.number),
        ]
        wiring.connect(m, wiring.flipped(self.memory.req), offer.port)
        m.d.comb += [
            lookup.nxe.eq(select(finder, [one.born.nxe for one in contexts])),
            self.memory.rsp.ready.eq(1),
            follow.valid.eq(self.memory.rsp.valid),
            follow.response.eq(response),
            self.walk.rsp.valid.eq(review.answered),
            self.walk.rsp.payload.eq(review.answer),
        ]
        m.d.comb += [
            offer.found.eq(begun),
            offer.finder.eq(finder),
            offer.leads.eq(leads),
            offer.led.eq(led),
            offer.last_number.eq(last_number),
            offer.last_table.eq(last_table),
            offer.judged.eq(judged),
            offer.expected.eq(Mux(begun & lookup.hit, finder, Mux(
                intake.coming | ~obeying, intake.number, last_judged))),
        ]
        self._offer(m, offer, intake, lookup, follow, review)
        self._take_in(m, contexts, intake, lookup)
        self._review(m, intake, follow, review, response)
        self._fill(m, contexts, intake, follow, lookup, led, last_number, last_table)
        self._report(m, contexts, intake, begun, lookup, review, offer)
        return m

    def _offer(self, m, offer, intake, lookup, follow, review):
        """Tell what is offered to memory of what the others have come to."""
        m.d.comb += [
            offer.take.eq(intake.take),
            offer.taker.eq(intake.number),
            offer.vpn.eq(intake.birth.vpn),
            offer.root.eq(intake.request.control.root),
            offer.found_table.eq(lookup.found.frame),
            offer.responded.eq(self.memory.rsp.valid),
            offer.number.eq(follow.number),
            offer.count.eq(self.memory.rsp.payload.tag[:MEMORY_TAG_BITS]),
            offer.table.eq(follow.table),
            offer.index.eq(follow.index),
            offer.judging.eq(review.judging),
            offer.entry.eq(review.entry),
        ]

    def _take_in(self, m, contexts, intake, lookup):
        """Give the intake the requests, and the lookup those that it takes up."""
        m.d.comb += [
            intake.requests.valid.eq(self.walk.req.valid),
            intake.requests.payload.eq(self.walk.req.payload),
            self.walk.req.ready.eq(intake.requests.ready),
            intake.looking.eq(lookup.looking),
            intake.drop.eq(self.drop.valid),
            lookup.ask.eq(intake.ask),
            lookup.key.eq(intake.key),
            lookup.keep.eq(intake.take),
            lookup.drop.eq(self.drop),
        ]
        if self._config.prefetches:
            free = Cat(one.free for one in contexts).any()
            m.d.comb += [self.spare.eq(~intake.coming & free),
                         self.crowded.eq(intake.coming & ~free)]

    def _response(self, m, contexts, follow, review, offer):
        """Return the response; to a write, as if it were the one to an exchange.

        One to a prefetch that is withdrawn is an error, which ends it.
        """
        response = self.memory.rsp.payload
        known = Signal.like(response)
        m.d.comb += known.eq(response)
        if self._config.prefetches:
            prefetch = select(follow.number, [one.born.prefetch for one in contexts])
            with m.If(prefetch & self.withdraw):
                m.d.comb += known.error.eq(1)
        if self._config.ad != "write":
            return known
        m.submodules.written = entries = memory.Memory(
            shape=len(response.data), depth=max(2, self._config.walkers), init=[])
        write, read = entries.write_port(), entries.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(offer.judged),
            write.addr.eq(review.judging),
            write.data.eq(review.entry),
            read.addr.eq(follow.number),
        ]
        with m.If(follow.updating):
            m.d.comb += [known.data.eq(read.data), known.exchanged.eq(1)]
        return known

    def _review(self, m, intake, follow, review, response):
        """Have the responses judged by what the requests ask."""
        m.d.comb += [
            review.take.eq(intake.take),
            review.taker.eq(intake.number),
            review.request.eq(intake.request),
            review.responded.eq(self.memory.rsp.valid),
            review.number.eq(follow.number),
            review.level.eq(follow.level),
            review.updating.eq(follow.updating),
            review.response.eq(response),
            review.drop.eq(self.drop.valid),
        ]

    def _connect(self, m, context, number, intake, lookup, follow, review, offer, led):
        """Connect the context of one number to all others that deal with it."""
        m.d.comb += [
            context.take.eq(intake.take & (intake.number == number)),
            context.birth.eq(intake.birth),
            context.forget.eq(intake.forget),
            context.hit.eq(lookup.hit),
            context.found_level.eq(lookup.level),
            context.found.eq(lookup.found),
            context.accepted.eq(offer.accepted[number]),
            context.respond.eq(follow.respond[number]),
            context.led.eq(led),
            context.passed.eq(offer.passed),
            context.rights.eq(follow.rights),
            context.lacks.eq(follow.lacks),
            context.drop.eq(self.drop.valid),
            *(getattr(context, name).eq(getattr(review, name))
              for name in ("update", "restart", "finish", "sets", "judged_level")),
            context.dirty_too.eq(review.dirty),
            context.failed_now.eq(review.failed),
            context.has_followers.eq(review.has_followers[number]),
            context.replay.eq(review.replay[number]),
        ]
        born = ("vpn", "nxe", "pse", "leader", "write", "quiet")
        for layout in (intake.contexts, follow.walks, review.contexts, offer.contexts):
            for name in layout[number].shape().members:
                source = context.born if name in born else context
                m.d.comb += layout[number][name].eq(getattr(source, name))

    def _fill(self, m, contexts, intake, follow, lookup, led, last_number, last_table):
        """Enter the tables that responses led to into the walk cache, in the cycle after."""
        m.submodules.keys = keys = memory.Memory(
            shape=key_layout(self._config), depth=max(2, len(contexts)), init=[])
        write, read = keys.write_port(), keys.read_port(domain="comb")
        level, cacheable = Signal.like(follow.level), Signal()
        m.d.sync += [level.eq(follow.level), cacheable.eq(follow.cacheable)]
        m.d.comb += [
            write.addr.eq(intake.number),
            write.en.eq(intake.take),
            write.data.vpn.eq(intake.birth.vpn),
            write.data.pcid.eq(intake.request.control.pcid),
            read.addr.eq(last_number),
            lookup.fill.eq(led & cacheable & ~select(
                last_number, [one.stale for one in contexts])),
            lookup.fill_key.eq(read.data),
            lookup.fill_level.eq(level),
            lookup.filled.frame.eq(last_table),
            *(lookup.filled[name].eq(select(last_number, [one.above[name] for one in contexts]))
              for name in table_rights_layout().members),
        ]

    def _report(self, m, contexts, intake, begun, lookup, review, offer):
        """Report the events of this cycle."""
        req, rsp = self.memory.req, self.walk.rsp
        accepted, read = req.valid & req.ready, req.payload.op == MemoryOp.READ
        level = select(offer.source, [
            one.level + (one.waiting & ~one.wants) for one in contexts])
        *upper_levels, _ = levels = self._config.mode.levels
        m.d.comb += [
            self.events.start.eq(intake.take),
            self.events.end.eq(rsp.valid),
            self.events.update.eq(accepted & ~read),
            self.events.restart.eq(review.lost),
            self.events.fault.eq(rsp.valid & rsp.payload.fault),
            *([self.events.merge.eq(review.merged)] if self._config.walkers > 1 else []),
            *(self.events[f"read_{one.name.lower()}"].eq(accepted & read & (level == number))
              for number, one in enumerate(levels)),
        ]
        if self._config.prefetches:
            with m.If(rsp.payload.prefetch):
                m.d.comb += self.events.fault.eq(0)
        walks = begun & ~select(offer.finder, [one.parked for one in contexts])
        for number, one in enumerate(upper_levels):
            m.d.comb += self.events[f"hit_{one.name.lower()}"].eq(
                walks & lookup.hit & (lookup.level == number + 1))
