"""The second-level TLB, which all request ports share."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .event_shapes import l2_events_layout
from .l2_array import L2Array
from .l2_fills import L2Fills
from .l2_geometry import L2Geometry, L2Op
from .l2_misses import L2Misses, walk_id
from .l2_prefetch import L2Prefetch
from .l2_sequencer import L2Sequencer
from .permission import AccessNeeds
from .shapes import drop_layout, page_name, prefetch_members, walk_signature

__all__ = ["L2Tlb"]


class L2Tlb(wiring.Component):
    """Answers misses of the request ports from a TLB in block RAM, and has the others walked.

    A request that is accepted in cycle *t*, with the array idle, is answered in cycle *t* + 4 if it
    hits a page of the smallest size, and one cycle later for each smaller size of which pages may
    be held: in 4-level paging in cycle *t* + 5 for 2 Mbytes and *t* + 6 for 1 Gbyte. One that
    misses is offered to the walkers in cycle *t* + 3 + *n*, *n* being the sizes of which pages may
    be held: the smallest, and any that was entered since all was dropped last. The walk begins
    after the lookup, not beside it, so that a hit costs no access to memory and sets no flag.

    One request is looked up at a time, and the next in the cycle after it was answered or offered;
    walks go on meanwhile, as many as the ports ask for. What the walkers answer is passed on in the
    same cycle, before a hit, which waits for a cycle then. It is entered once the array is idle,
    which takes it for five cycles, unless it is a fault or stale.

    An access that the entry forbids, a write to a page without the dirty flag and, while
    IA32_EFER.NXE is clear, an access to a page with XD are walked. The walk decides: so a hit is
    never a fault, and any fault is that of a walk. The entry is dropped.

    At most one entry of a set translates any address under any PCID. If software makes small pages
    a large one, and does not invalidate them, entries of both sizes may be held; the smaller one is
    found, and an invalidation drops both. [SDM 4.10.2.3]

    With ``config.prefetches`` the page after one that a walk has found is entered as well, as
    ``L2Prefetch`` has it. What any port asks for goes first, so that a request waits

    - for at most two cycles before its lookup, if the array looks for that page, and for five
      while that page is entered, as for any other,
    - for a walker that walks ahead until memory has responded to the access at hand, and three
      cycles more, and only if there is no other,
    - for its turn at memory one cycle at most for each access of a walk ahead.

    A drop lets the lookup under way begin again after it, and enters nothing that was walked before
    it. ``L2Sequencer`` says how long it takes.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU, with ``l2_entries`` that are not 0.
    late : bool
        Whether the payload of ``walk.req`` comes late, as ``WalkArbiter`` has it, or is kept here.

    Members
    -------
    walk : In(walk_signature)
        The request ports, which ask when their TLBs miss. They take a response at once.
    vpn : In
        The page number of the request that is offered.
    walkers : Out(walk_signature)
        The walkers.
    drop : In(drop_layout)
        Entries to drop, given only while not ``busy``.
    busy : Out(1)
        Entries are being dropped.
    spare, crowded : In(1), withdraw : Out(1), with ``config.prefetches``
        As ``prefetch_members`` has them, of the walkers.
    pause : In(1), idle : Out(1), with ``config.prefetches``
        The ports are to accept no request, and no page is walked ahead: a walk that is, ends soon,
        and none begins. ``pause`` comes no later than a drop.
    events : Out(l2_events_layout)
        What happens in this cycle.
    """

    def __init__(self, config, *, late=False):
        self._geometry = L2Geometry(config)
        self._late = late
        super().__init__({
            "walk": In(walk_signature(config)),
            "vpn": In(config.vpn_bits),
            "walkers": Out(walk_signature(config)),
            "drop": In(drop_layout(config)),
            "busy": Out(1),
            **{name: member.flip() for name, member in prefetch_members(config).items()},
            **({"pause": In(1), "idle": Out(1)} if config.prefetches else {}),
            "events": Out(l2_events_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config, drop = self._geometry.config, self.drop
        m.submodules.sequencer = sequencer = L2Sequencer(self._geometry)
        m.submodules.array = array = L2Array(self._geometry)
        m.submodules.misses = misses = L2Misses(config)
        m.submodules.fills = fills = L2Fills(config)
        ahead = L2Prefetch(config) if config.prefetches else None

        request = self.walk.req.payload  # that is looked up
        if not self._late:
            request = Signal.like(request, reset_less=True)
        asked, kept = Signal(), Signal()  # there is one; it was accepted in the cycle before
        judging = Signal()  # what the array says is about it
        usable = Signal(self._geometry.ways)  # the way that answers it, or none
        accepted, walked, found, answered, refused, missed, filled = (Signal() for _ in range(7))
        sought = Signal()  # it is known, or not to be known, whether a page to walk ahead is held
        entered = Signal()  # the first of `fills` is written in this cycle
        m.d.comb += [
            self.walk.req.ready.eq(~asked),
            accepted.eq(self.walk.req.valid & self.walk.req.ready),
            usable.eq(Mux(judging, array.verdict.usable, 0)),
            found.eq(usable.any()),
            answered.eq(found & ~walked),
            refused.eq(judging & array.verdict.refused.any()),
            missed.eq(judging & ~found & (sequencer.judged.last | refused)),
            filled.eq(sequencer.outcome & (sequencer.op == L2Op.FILL)),
            sequencer.drop.eq(drop),
            sequencer.lookup_waits.eq(asked | accepted),
            sequencer.fill_waits.eq(fills.waiting & ~entered),
            sequencer.fill_page.eq(fills.first.translation.page),
            sequencer.stop.eq(found | missed | sought),
            sequencer.finish.eq(answered | missed | filled | sought),
            sequencer.wraps.eq(array.wraps),
            self.busy.eq(sequencer.busy),
            array.hold.eq(found), fills.pop.eq(entered),
        ]
        m.d.sync += [asked.eq((asked | accepted) & ~answered & ~missed),
                     kept.eq(accepted), entered.eq(filled & ~drop.valid)]
        if not self._late:
            with m.If(~asked):
                m.d.sync += request.eq(self.walk.req.payload)
        # A hit waits for a response of the walkers to go by, unless a drop has it found again.
        m.d.sync += judging.eq(~drop.valid & Mux(
            found, walked, sequencer.compare & sequencer.looking_up & ~refused))
        key = self._compare(m, sequencer, array, fills, ahead, request)
        self._aim(m, sequencer, array, fills, ahead, key, Mux(
            asked, request.access.vaddr[PAGE_SHIFT:], self.vpn))
        self._write(m, sequencer, array, Mux(answered, usable, 0), missed, filled)
        self._note_sizes(m, sequencer, filled)
        self._keep(m, misses, request, kept, missed)
        self._respond(m, misses, fills, ahead, array, request, found, walked)
        self._ask_walkers(m, misses, fills, ahead, judging)
        if ahead is not None:
            self._seek(m, sequencer, array, ahead, asked, sought)
        self._report(m, array, answered, missed)
        return m

    def _compare(self, m, sequencer, array, fills, ahead, request):
        """Say what the array compares, and return its key.

        That is of the request, the page to enter or to look for, or what to drop.
        """
        other_key = Signal.like(array.key, reset_less=True)  # of a page to enter, or a drop
        dropping = Signal.like(self.drop, reset_less=True)
        m.submodules.access_needs = access_needs = AccessNeeds(self._geometry.config)
        needs = Signal.like(access_needs.needs, reset_less=True)
        for name in needs.shape().members:  # a register of zeros alone is more than Yosys takes
            if name != "keys" or self._geometry.config.mode.has_protection_keys:
                m.d.sync += needs[name].eq(access_needs.needs[name])
        with m.If(self.drop.valid):
            m.d.sync += [dropping.eq(self.drop), other_key.vpn.eq(self.drop.vpn),
                         other_key.pcid.eq(self.drop.pcid)]
        with m.Elif(~sequencer.active):
            m.d.sync += [other_key.vpn.eq(fills.first.vpn), other_key.pcid.eq(fills.first.pcid)]
            if ahead is not None:
                with m.If(~sequencer.fill_waits):
                    m.d.sync += [other_key.vpn.eq(ahead.vpn), other_key.pcid.eq(ahead.pcid)]
        with m.If(sequencer.looking_up):
            m.d.comb += [array.key.vpn.eq(request.access.vaddr[PAGE_SHIFT:]),
                         array.key.pcid.eq(request.control.pcid)]
        with m.Else():
            m.d.comb += array.key.eq(other_key)
        m.d.comb += [
            array.read.eq(sequencer.read),
            array.page.eq(sequencer.probe.page),
            array.clearing.eq(sequencer.op == L2Op.CLEAR),
            access_needs.access.eq(request.access),
            access_needs.control.eq(request.control),
            array.needs.eq(needs),
            array.drop.eq(dropping),
            array.global_page.eq(fills.first.translation.global_page),
            array.filled.eq(fills.first.translation),
            array.raise_generation.eq(sequencer.compare & (sequencer.op == L2Op.CONTEXT)),
        ]
        return array.key

    def _aim(self, m, sequencer, array, fills, ahead, key, asked_vpn):
        """Register the set that is read in the next cycle, as the way to block RAMs is long."""
        vpn, page = Signal.like(key.vpn), Signal.like(array.page)
        with m.If(self.drop.valid):
            m.d.comb += vpn.eq(self.drop.vpn)
        with m.Elif(sequencer.active):
            m.d.comb += [vpn.eq(key.vpn), page.eq(sequencer.next_page)]
        with m.Elif(sequencer.fill_waits):
            m.d.comb += [vpn.eq(fills.first.vpn), page.eq(fills.first.translation.page)]
        with m.Elif(sequencer.seek_waits):
            m.d.comb += vpn.eq(0 if ahead is None else ahead.vpn)
        with m.Else():
            m.d.comb += vpn.eq(asked_vpn)
        with m.If(sequencer.sweeping & sequencer.active):
            m.d.sync += array.index.eq(sequencer.next_set)
        with m.Else():
            m.d.sync += array.index.eq(self._geometry.index(vpn, page))

    def _write(self, m, sequencer, array, used, missed, filled):
        """Write what the comparison asks for, a cycle later; ``used`` is a way that answers.

        A drop keeps all else from being written: what is entered may be what it drops, and in the
        next cycle it reads its first set.
        """
        verdict, op = array.verdict, sequencer.op
        clearing = sequencer.active & (op == L2Op.CLEAR)
        dropping = sequencer.compare & ((op == L2Op.ADDRESS) | (op == L2Op.SWEEP))
        place, write, valid = (Signal(self._geometry.ways) for _ in range(3))
        with m.If(verdict.overlaps.any()):
            m.d.comb += place.eq(verdict.overlaps & -verdict.overlaps)
        with m.Elif(verdict.vacant.any()):
            m.d.comb += place.eq(verdict.vacant & -verdict.vacant)
        with m.Else():
            m.d.comb += place.eq(verdict.victim)
        with m.If(~self.drop.valid):
            with m.If(clearing):
                m.d.comb += write.eq(-1)
            with m.Elif(filled):
                m.d.comb += [write.eq(place | verdict.overlaps), valid.eq(place)]
            with m.Elif(missed):
                m.d.comb += write.eq(verdict.refused)
        written, drops = Signal.like(write), Signal()
        m.d.sync += [written.eq(write), drops.eq(dropping & ~self.drop.valid),
                     array.valid.eq(valid), array.touch.eq(used | valid), array.fills.eq(filled)]
        m.d.comb += array.write.eq(written | Mux(drops, array.dropped, 0))
        with m.If(clearing):
            m.d.sync += array.write_index.eq(sequencer.cleared_set)
        with m.Elif(dropping):
            m.d.sync += array.write_index.eq(array.compared_index)
        with m.Else():
            m.d.sync += array.write_index.eq(array.judged_index)

    def _note_sizes(self, m, sequencer, filled):
        """Tell the sequencer which sizes were entered since all was dropped last."""
        held = Signal.like(sequencer.held)
        m.d.comb += sequencer.held.eq(held)
        with m.If(self.drop.valid):
            with m.If(~self.drop.by_address & ~self.drop.by_pcid & self.drop.globals):
                m.d.sync += held.eq(0)
        with m.Elif(filled):
            m.d.sync += held.eq(held | (1 << sequencer.judged.page)[:len(held)])

    def _keep(self, m, misses, request, kept, missed):
        """Keep each request until it is answered, and have the walkers asked if it missed."""
        m.d.comb += [
            misses.accept.eq(kept),
            misses.request.eq(request),
            misses.miss.eq(missed),
            misses.missed.eq(walk_id(request)),
        ]

    def _seek(self, m, sequencer, array, ahead, asked, sought):
        """Tell whether the page to walk ahead is held, and by ``sought`` that its lookup is over.

        A lookup that nobody wants any more, as there was a pause, is over as well.
        """
        seeking, found = Signal(), Signal()
        m.d.comb += [
            sequencer.seek_waits.eq(ahead.wants & ~asked),
            seeking.eq(sequencer.active & (sequencer.op == L2Op.SEEK)),
            ahead.begun.eq(sequencer.seek_waits & ~sequencer.active & ~sequencer.fill_waits
                           & ~self.drop.valid),
            found.eq(seeking & sequencer.outcome
                     & (array.verdict.usable | array.verdict.refused).any()),
            ahead.held.eq(found),
            ahead.absent.eq(seeking & sequencer.outcome & sequencer.judged.last & ~found),
            ahead.cut.eq(seeking & asked),
            sought.eq(found | ahead.absent | (seeking & (asked | ~ahead.seeking))),
        ]

    def _ask_walkers(self, m, misses, fills, ahead, judging):
        """Offer the walkers what missed, or else a page to walk ahead, and enter what they find."""
        if ahead is None:
            wiring.connect(m, misses.walk, wiring.flipped(self.walkers))
            return
        m.submodules.ahead = ahead
        req, rsp, missed = self.walkers.req, self.walkers.rsp, misses.walk
        offered, found = Signal(), Signal()
        m.d.comb += [
            # Decided by registers, as `missed.req.valid` comes late; nothing can have missed then.
            offered.eq(ahead.offers & self.spare & ~judging & ~misses.queued),
            req.valid.eq(missed.req.valid | offered),
            req.payload.eq(Mux(offered, ahead.request, missed.req.payload)),
            missed.req.ready.eq(req.ready),
            missed.rsp.valid.eq(rsp.valid),
            missed.rsp.payload.eq(rsp.payload),
            rsp.ready.eq(1),
            found.eq(fills.push & rsp.payload.prefetch),
            ahead.walked.eq(fills.push & ~rsp.payload.prefetch),
            ahead.cause.eq(misses.key),
            ahead.page.eq(rsp.payload.translation.page),
            ahead.accepted.eq(offered),
            ahead.ended.eq(rsp.valid & rsp.payload.prefetch),
            ahead.crowded.eq(self.crowded),
            ahead.pause.eq(self.pause | self.drop.valid),
            self.withdraw.eq(ahead.withdraw),
            self.idle.eq(ahead.idle),
            self.events.prefetch_start.eq(offered),
            self.events.prefetch_fill.eq(found),
        ]

    def _respond(self, m, misses, fills, ahead, array, request, found, walked):
        """Pass on what the walkers answer, and have it entered; or else answer a hit.

        A page that was walked ahead is entered, too, but answers nobody: ``walked`` is not set.
        """
        rsp, response, drop = self.walk.rsp, self.walkers.rsp, self.drop
        m.d.comb += [
            walked.eq(response.valid),
            rsp.valid.eq(walked | found),
            fills.push.eq(response.valid & ~response.payload.fault & ~response.payload.stale
                          & ~drop.valid),
            fills.pushed.vpn.eq(misses.key.vpn),
            fills.pushed.pcid.eq(misses.key.pcid),
            fills.pushed.translation.eq(response.payload.translation),
            fills.clear.eq(drop.valid),
        ]
        if ahead is not None:
            with m.If(response.payload.prefetch):
                m.d.comb += [walked.eq(0), fills.pushed.vpn.eq(ahead.vpn),
                             fills.pushed.pcid.eq(ahead.pcid)]
        with m.If(walked):
            m.d.comb += rsp.payload.eq(response.payload)
        with m.Else():
            m.d.comb += [
                rsp.payload.port.eq(request.port),
                rsp.payload.miss.eq(request.miss),
                rsp.payload.translation.eq(array.translation),
            ]

    def _report(self, m, array, answered, missed):
        """Report the events of this cycle."""
        m.d.comb += [self.events.lookup.eq(answered | missed), self.events.miss.eq(missed)]
        for number, page in enumerate(self._geometry.config.mode.pages):
            m.d.comb += self.events[f"hit_{page_name(page)}"].eq(
                answered & (array.translation.page == number))
