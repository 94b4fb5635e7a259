"""The request port that goes on with the requests behind a miss, or can cancel them."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data

from ..model.x86 import PAGE_SHIFT
from .l1_full import FullL1
from .l1_sets import SetL1
from .l1_tags import lookup_key_layout
from .miss_file import MissFile, kept_layout
from .port import RequestPort
from .responder import Responder
from .separate import separate_register
from .shapes import walk_response_layout

__all__ = ["MissPort"]


class MissPort(RequestPort):
    """Answers requests from its TLB, and those that miss when they were walked.

    A request is looked up as by ``RequestPort``. If it misses it goes into a ``MissFile`` in the
    cycle in which a hit would be answered, and frees the way for the next one. Requests are
    accepted as long as fewer than ``config.misses`` are there. Its walk is asked for in the same
    cycle, or later if other misses wait for theirs, or a response came in the two cycles before.

    With ``order`` ``"tag"`` a hit is answered at once, in any order with the misses. With
    ``"request"`` a request behind one that is in the file goes there as well, even if it hits; a
    hit is looked up again when it is the oldest. Misses are walked meanwhile, all at once.

    When the response to a walk comes, in cycle *w*, the answer is offered in that cycle, unless it
    is a fault, the port has another request to answer or one to take from the file, a page fault
    waits to be taken, or with ``"request"`` the request is not the oldest. No lookup is made from
    *w* + 2 on, or after an answer in *w* from *w* + 1 on. In *w* + 2 the page is looked up once
    more; in *w* + 3 it is entered, and what was not answered in *w* is. An answer that is offered
    in *w* is kept until it is taken, and keeps the port from taking what is in the file and from
    giving another answer. Lookup and entry come later by as many cycles as the request in the port
    waits for its answer to be taken, as a page fault waits to be taken, and as a drop is at work;
    and a request that is given back waits for the one that was before, with its answer or its way
    back into the file. One request is given back at a time, before any new one is looked up. It is
    given back in turn; as only so many as are in the file come before a lookup, none
    waits without end.

    A request that was looked up before the fill that it needs is not patched. If its walk was asked
    for, it goes on, and the page that it enters replaces the one there is. If not, the request is
    looked up again, once.

    A page fault that was answered stops lookups as in ``RequestPort``, and the answers of all
    others. Walks go on; those that have responded by the cycle of a drop answer, but enter nothing.

    A cancelled request is not answered from the next cycle on. Its walk, if it was asked for, goes
    on, and keeps its place until it has responded; it sets A, and D for a write, as the request had
    asked for, and enters nothing into this TLB. The port is ``idle`` only after that. A request
    that is accepted in the cycle of ``requests.cancel`` is not cancelled, so that its tag may be
    one of those that are. The others go on.

    Events are those of the first lookup of each request, hit or miss. The walks may be fewer than
    the misses, or with ``"request"`` more: a hit that waits may be replaced in the TLB.

    Parameters and members are those of ``RequestPort``.
    """

    def elaborate(self, platform):
        m = Module()
        m.submodules.tlb = tlb = (SetL1 if self._config.ways else FullL1)(self._config)
        m.submodules.responder = responder = Responder(self._config)
        m.submodules.misses = misses = MissFile(self._config, self._number)
        rsp = self.requests.rsp
        held, held_valid = separate_register(self._held_layout(tlb), "held"), Signal()
        given_back, walked = Signal(), Signal()  # held is from the file, and was walked
        result = Signal(walk_response_layout(self._config), reset_less=True)
        filling = Signal()  # the held request was walked, and its page is entered in this cycle
        # The port offers an answer in the cycle of the response to its walk; it still does so, as
        # that was not taken; if it answers anything, then so.
        at_once, offering, aside = (Signal(name=name) for name in ("at_once", "offering", "aside"))
        staged = separate_register(kept_layout(self._config), "staged")  # given back, if one is
        free, looks, looked_up = Signal(), Signal(), Signal()
        missed, behind, answered, faulted, leaves = (
            Signal(name=name) for name in ("missed", "behind", "answered", "faulted", "leaves"))
        asked, waiting = self._take_in(m, free, looks)
        at_hand = self._look_up(m, tlb, asked, staged, misses, held, held_valid | filling, free)
        cancelled = held_valid & self._is_cancelled(held)
        own = held_valid if self._config.hit_latency else held_valid | looks
        responded = self._answer_at_once(m, misses, own, at_once, offering, aside)
        m.d.comb += [
            *self._answer_from(responder, tlb, at_hand),
            responder.walked.eq(walked | aside),
            responder.walk.eq(Mux(own | offering, result, self.walk.rsp.payload)),
            missed.eq(at_hand.translated & ~tlb.hit & ~walked & ~self._only_looks(at_hand)),
            behind.eq(~given_back & ~misses.empty if self._config.order == "request" else 0),
            rsp.valid.eq(Mux(aside, offering | at_once, ~missed & ~behind)),
            rsp.payload.eq(responder.response),
            answered.eq(rsp.valid & rsp.ready & ~aside),
            faulted.eq(answered & responder.response.fault),
            self.idle.eq(~held_valid & ~waiting & misses.empty),
            tlb.at_hand.eq(at_hand.found),
            tlb.touch.eq(answered & at_hand.translated & tlb.hit & ~walked),
        ]
        with m.If(aside):
            m.d.comb += [responder.access.eq(misses.arrival.access), responder.control.pg.eq(1)]
        kept = held_valid & ~given_back & (missed | behind)
        back = held_valid & given_back & missed
        fault_free = Mux(walked, ~result.fault, ~held.refused & ~(
            held.translated & (tlb.denied | responder.nothing)))
        # From what is known of the request straight to what may follow it.
        goes = rsp.ready & ~offering & fault_free
        m.d.comb += leaves.eq(held_valid & (missed | behind | goes))
        self._keep_aside(m, misses, held, missed, kept & ~cancelled, back & ~cancelled,
                         answered & given_back)
        # What goes back does so in the cycle after it was taken, in which none is served yet.
        m.d.comb += misses.taken.eq(misses.serving & ~self.busy & ~self.page_fault.valid
                                    & ~offering & (~held_valid | leaves))
        stopped = responded | misses.serving | filling | self.page_fault.valid | ~misses.room
        follows = Mux(missed | behind, given_back | misses.room_for_two, goes)
        self._let_in_behind(m, held_valid, free, looks, looked_up, stopped, follows)
        self._hold(m, misses, asked, held_valid, given_back, walked, looks, answered,
                   ends=answered | leaves | cancelled)
        with m.If(misses.taken):
            m.d.sync += result.eq(misses.result)
        with m.Elif(at_once):
            m.d.sync += result.eq(self.walk.rsp.payload)
        m.d.sync += filling.eq(misses.taken & ~misses.lost & misses.walked & misses.enters
                               & ~self.drop.valid)
        self._enter(m, tlb, asked, misses, result, filling)
        self._hold_page_fault(m, held, faulted)
        self._report(m, tlb.translation.page, looked_up & at_hand.translated, tlb.hit, faulted)
        return m

    def _answer_at_once(self, m, misses, own, at_once, offering, aside):
        """Answer a request of the file in the cycle of the response to its walk, ``at_once``.

        The port does so if it has no ``own`` request, and goes on ``offering`` the answer until it
        is taken. Return whether such a response came in the cycle before.
        """
        rsp, responded = self.requests.rsp, Signal()
        m.d.comb += [
            aside.eq(offering | ~own),
            at_once.eq(misses.arrives & ~own & ~offering & ~misses.serving
                       & ~self.page_fault.valid),
            misses.told.eq(rsp.valid & rsp.ready & aside),
            misses.holds.eq(offering),
        ]
        m.d.sync += [responded.eq(at_once),
                     offering.eq(aside & rsp.valid & ~rsp.ready & ~misses.withdrawn)]
        return responded

    def _let_in_behind(self, m, held_valid, free, looks, looked_up, stopped, follows):
        """Decide whether a request may be looked up.

        None may while lookups are ``stopped``; one ``follows`` that which is held, if any is.
        """
        if self._config.hit_latency:
            m.d.comb += free.eq(~stopped & (~held_valid | follows))
            m.d.sync += looked_up.eq(looks)
        else:
            m.d.comb += [free.eq(~stopped & ~held_valid), looked_up.eq(looks)]

    def _hold(self, m, misses, asked, held_valid, given_back, walked, looks, answered, *, ends):
        """Hold a request from its lookup on until it ``ends`` here, and say where it is from."""
        with m.If(ends):
            m.d.sync += [held_valid.eq(0), given_back.eq(0), walked.eq(0)]
        stays = Const(1) if self._config.hit_latency else ~answered
        # With a hit latency of 2 what is looked up was accepted before, and may be cancelled.
        out_of_register = self._config.hit_latency == 2
        with m.If(looks & stays & ~(self._is_cancelled(asked) if out_of_register else Const(0))):
            m.d.sync += held_valid.eq(1)
        with m.If(misses.taken & ~misses.lost & ~misses.silent):
            m.d.sync += [held_valid.eq(1), given_back.eq(1), walked.eq(misses.walked)]

    def _held_layout(self, tlb):
        """Return a request, and what is known of it at the end of the cycle of its lookup."""
        return data.StructLayout(
            {**kept_layout(self._config).members, "found": tlb.found.shape()})

    def _is_cancelled(self, request):
        """Return whether ``request``, accepted in an earlier cycle, is cancelled in this one."""
        if not self._config.cancel:
            return Const(0)
        cancel = self.requests.cancel
        return cancel.valid & (cancel.all | (cancel.tag == request.access.tag))

    def _look_up(self, m, tlb, asked, staged, misses, held, keeps, free):
        """Look up the request ``asked``, or one given back; return that which is to be answered.

        The one looked up goes into ``held`` when that is free. With no hit latency it is answered
        itself, unless ``held`` keeps one to be answered or entered.
        """
        fresh, loaded = Signal(held.shape()), Signal(held.shape())
        m.d.comb += [
            tlb.needs.eq(Mux(misses.serving, staged.needs, asked.needs)),
            fresh.found.eq(tlb.found),
            loaded.found.eq(tlb.found),
        ]
        for name in kept_layout(self._config).members:
            m.d.comb += [fresh[name].eq(asked[name]),
                         loaded[name].eq(Mux(misses.serving, staged[name], asked[name]))]
        m.d.sync += staged.eq(misses.upcoming)
        with m.If(free | misses.taken):
            m.d.sync += held.eq(loaded)
        if self._config.hit_latency:
            return held
        at_hand = Signal(held.shape())
        m.d.comb += at_hand.eq(Mux(keeps, held, fresh))
        return at_hand

    def _keep_aside(self, m, misses, held, missed, kept, back, answered):
        """Connect the file to the held request and to the walker."""
        req, rsp = self.walk.req, self.walk.rsp
        m.d.comb += [
            misses.keep.eq(kept),
            misses.walks.eq(missed),
            *(misses.request[name].eq(held[name]) for name in kept_layout(self._config).members),
            req.valid.eq(misses.walk.req.valid),
            req.payload.eq(misses.walk.req.payload),
            misses.walk.req.ready.eq(req.ready),
            misses.walk.rsp.valid.eq(rsp.valid),
            misses.walk.rsp.payload.eq(rsp.payload),
            rsp.ready.eq(misses.walk.rsp.ready),
            misses.spoiled.eq(self.drop.valid | self.busy),
            misses.answered.eq(answered),
            misses.back.eq(back),
        ]
        if self._config.cancel:
            m.d.comb += misses.cancel.eq(self.requests.cancel)

    def _enter(self, m, tlb, asked, misses, result, filling):
        """Give the TLB its key, and tell it what to fill and to drop.

        A drop is carried out in the cycle after it is given, as in ``RequestPort``. The key is the
        request looked up, or what ``inner`` holds: the page number to drop, or else that of the
        request that is given back, in the cycle of its lookup and in that in which it is filled.
        """
        low, high = PAGE_SHIFT, self._config.mode.translated_bits
        inner = Signal(lookup_key_layout(self._config), reset_less=True)
        drop, sweeping = Signal.like(self.drop), tlb.busy if self._config.ways else Const(0)
        upcoming, vpn = misses.upcoming, Signal.like(inner.vpn)
        m.d.comb += vpn.eq(
            Mux(self.drop.valid, self.drop.vpn, upcoming.access.vaddr[low:high]))
        if self._config.ways:
            m.d.comb += [
                tlb.changing.eq(self.busy | misses.serving),
                tlb.upcoming.eq(vpn),
                tlb.fill_large.eq(result.translation.page != 0),
            ]
        m.d.sync += [
            drop.eq(self.drop),
            inner.vpn.eq(vpn),
            inner.pcid.eq(Mux(self.drop.valid, self.drop.pcid, upcoming.control.pcid)),
        ]
        m.d.comb += [
            self.busy.eq(drop.valid | sweeping),
            tlb.drop.eq(drop),
            tlb.fill_translation.eq(result.translation),
            tlb.fill.eq(filling & ~self.drop.valid & ~self.busy),
            misses.filled.eq(tlb.fill),
            tlb.inside.eq(drop.valid | misses.serving | filling),
            tlb.inner.eq(inner),
            tlb.inner.page.eq(Mux(filling & ~drop.valid, result.translation.page, 0)),
            tlb.offered.vpn.eq(asked.access.vaddr[low:high]),
            tlb.offered.pcid.eq(asked.control.pcid),
        ]
