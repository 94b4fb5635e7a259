"""The misses of a request port that are not answered yet: what they ask, and how far they are."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .onehot import encode
from .port_shapes import cancel_layout
from .shapes import (
    control_layout,
    request_layout,
    walk_response_layout,
    walk_signature,
)

__all__ = ["MissFile", "kept_layout"]


def kept_layout(config):
    """Return what is known of a request, whether looked up or not.

    ``translated`` says that it needs a translation, ``refused`` that its address is not canonical.
    """
    return data.StructLayout({
        "access": request_layout(config), "control": control_layout(config),
        "translated": 1, "refused": 1})


class MissFile(wiring.Component):
    """Keeps up to ``config.misses`` requests, has them walked, and gives them back to the port.

    A request that is kept either waits for a walk, which is asked for in the next cycle, or later
    in turn with the others, or it waits to be looked up again. Once its walk has responded, or it
    is to be looked up, it may be given back: with ``order`` ``"tag"`` in turn with the others, with
    ``"request"`` only when it is the oldest. The turn goes to the next number after the one that
    had it last. One that is ``serving`` is the port's to take; its place is free when the port says
    that it is answered, but if its lookup found nothing it goes ``back`` to wait for a walk.

    When a page was entered into the TLB, each request that waits for a walk that is not asked for
    yet may have become a hit: it is looked up again, though once only, so that each is walked in
    the end. So that this comes in time, no walk is asked for anew in the cycle of a response and
    the next one.

    A request that is cancelled goes at once, or if a walk was asked for it when that has responded,
    which then enters nothing. With ``order`` ``"request"`` its place is free only when it is the
    oldest.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    number : int
        Number of the port, which walk requests carry.

    Members
    -------
    keep : In(1), walks : In(1), request : In(kept_layout)
        Keep this request: to be walked, or else to be looked up again.
    room, room_for_two, empty : Out(1)
        Whether a request, or two, can be kept, and whether none is.
    walk : Out(walk_signature)
        What walks the page tables.
    spoiled : In(1)
        Entries are dropped: no walk that has responded may be entered any more.
    filled : In(1)
        A page was entered into the TLB.
    allowed : In(1)
        The next request may be served from the next cycle on.
    upcoming : Out(kept_layout)
        The request that is served in the next cycle, if one is.
    serving : Out(1), taken : In(1), lost : Out(1)
        A request is served, and stays so until the port has taken it; it is cancelled.
    walked : Out(1), result : Out(walk_response_layout), enters : Out(1)
        It was walked, with this result, and that may be entered into the TLB; else it is to be
        looked up.
    answered : In(1), back : In(1)
        What the port took last is answered, or has to be walked.
    cancel : In(cancel_layout)
        Requests to cancel.
    """

    def __init__(self, config, number):
        self._config = config
        self._number = number
        super().__init__({
            "keep": In(1), "walks": In(1), "request": In(kept_layout(config)),
            "room": Out(1), "room_for_two": Out(1), "empty": Out(1),
            "walk": Out(walk_signature(config)),
            "spoiled": In(1), "filled": In(1), "allowed": In(1),
            "upcoming": Out(kept_layout(config)),
            "serving": Out(1), "taken": In(1), "lost": Out(1),
            "walked": Out(1), "result": Out(walk_response_layout(config)), "enters": Out(1),
            "answered": In(1), "back": In(1),
            "cancel": In(cancel_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        count = self._config.misses
        # One bit for each place; a place in use waits for one thing, or is with the port.
        used, queued, asked, returned, again, enters, tried, dead = (
            Signal(count, name=name) for name in (
                "used", "queued", "asked", "returned", "again", "enters", "tried", "dead"))
        kept, place, arrived, gone, back, taken, over, bounced = (
            Signal(count, name=name) for name in (
                "kept", "place", "arrived", "gone", "back", "taken", "over", "bounced"))
        served, with_port = Signal(count), Signal(count)
        vacant, response = ~used, self.walk.rsp
        m.d.comb += [
            self.room.eq(vacant.any()),
            self.room_for_two.eq((vacant & (vacant - 1)).any()),
            self.empty.eq(vacant.all()),
            kept.eq(Mux(self.keep, place, 0)),
            arrived.eq(Mux(response.valid, 1 << response.payload.miss, 0)),
            gone.eq(self._cancelled(m, kept, used)),
            back.eq(Mux(self.back, with_port, 0)),
            taken.eq(Mux(self.taken, served, 0)),
            over.eq((dead | gone) & ~(asked & ~arrived)),
            bounced.eq(Mux(self.filled, queued & ~tried, 0)),
            self.walked.eq((returned & served).any()),
            self.enters.eq((enters & served).any()),
            self.lost.eq((gone & served).any()),
            response.ready.eq(1),
        ]
        chosen = self._ask(m, ((queued & ~bounced) | Mux(self.walks, kept, 0) | back) & ~gone)
        candidates = (returned | again | (arrived & ~dead)) & ~gone
        released = used & (Mux(self.answered, with_port, 0) | over)
        if self._config.order == "request":
            released, candidates = self._in_order(m, place, kept, released, candidates)
        else:
            m.d.comb += place.eq(vacant & -vacant)
        self._serve(m, candidates, served)
        m.d.sync += [
            used.eq((used | kept) & ~released),
            queued.eq(((queued & ~bounced) | Mux(self.walks, kept, 0) | back) & ~chosen & ~gone),
            asked.eq((asked | chosen) & ~arrived),
            returned.eq((returned | (arrived & ~dead)) & ~taken & ~gone),
            again.eq((again | bounced | Mux(self.walks, 0, kept)) & ~taken & ~gone),
            tried.eq((tried | back) & ~kept),
            dead.eq((dead | gone) & ~kept),
        ]
        enterable = ~response.payload.fault & ~response.payload.stale
        m.d.sync += enters.eq(Mux(
            self.spoiled, 0, (enters & ~arrived) | Mux(enterable, arrived, 0)))
        with m.If(self.taken):
            m.d.sync += with_port.eq(served)
        self._keep_requests(m, kept, served)
        return m

    def _cancelled(self, m, kept, used):
        """Return the places whose requests are cancelled in this cycle."""
        if not self._config.cancel:
            return 0
        gone = []
        for number in range(self._config.misses):
            tag = Signal(self._config.tag_bits, name=f"tag_{number}", reset_less=True)
            with m.If(kept[number]):
                m.d.sync += tag.eq(self.request.access.tag)
            gone.append(tag == self.cancel.tag)
        matches = Signal(self._config.misses)
        m.d.comb += [one.eq(found) for one, found in zip(matches, gone, strict=True)]
        return Mux(self.cancel.valid, used & (matches | self.cancel.all.replicate(len(used))), 0)

    def _ask(self, m, waiting):
        """Ask for a walk for one of ``waiting`` after the other; return the one chosen, one-hot.

        What is offered stays, whatever happens to the request. None is chosen in the cycle of a
        response and the next one: the page of that response may be the one that it waits for.
        """
        asking, asked = Signal(), Signal(self._config.misses)
        chosen, responded, free = Signal.like(asked), Signal(), Signal()
        m.d.sync += responded.eq(self.walk.rsp.valid)
        m.d.comb += [
            free.eq((~asking | self.walk.req.ready) & ~self.walk.rsp.valid & ~responded),
            chosen.eq(Mux(free, _after(asked, waiting), 0)),
            self.walk.req.valid.eq(asking),
            self.walk.req.payload.port.eq(self._number),
            self.walk.req.payload.miss.eq(encode(asked)),
        ]
        with m.If(free & waiting.any()):
            m.d.sync += [asking.eq(1), asked.eq(chosen)]
        with m.Elif(self.walk.req.ready):
            m.d.sync += asking.eq(0)
        return chosen

    def _in_order(self, m, place, kept, finished, candidates):
        """Keep the order of the requests; return the place that is released, and who is next."""
        count = self._config.misses
        head, tail = Signal(count, init=1), Signal(count, init=1)  # the oldest, the next one kept
        first, released = Signal(count), Signal(count)
        m.d.comb += [
            place.eq(tail),
            released.eq(head & finished),
            first.eq(Mux(released.any(), head.rotate_left(1), head)),
        ]
        m.d.sync += head.eq(first)
        with m.If(kept.any()):
            m.d.sync += tail.eq(tail.rotate_left(1))
        return released, candidates & first

    def _serve(self, m, candidates, served):
        """Serve one of ``candidates`` after the other, if it is allowed."""
        serving, following = Signal(), Signal.like(served)
        m.d.comb += [
            self.serving.eq(serving),
            following.eq(Mux(serving, served, _after(served, candidates))),
        ]
        with m.If(serving):
            m.d.sync += serving.eq(~self.taken & ~self.lost)
        with m.Elif(self.allowed & candidates.any()):
            m.d.sync += [serving.eq(1), served.eq(following)]
        self._following = following

    def _keep_requests(self, m, kept, served):
        """Keep what was requested, and what walks have found."""
        depth = max(2, self._config.misses)
        m.submodules.requests = requests = memory.Memory(
            shape=kept_layout(self._config), depth=depth, init=[])
        m.submodules.results = results = memory.Memory(
            shape=walk_response_layout(self._config), depth=depth, init=[])
        write, ask, serve = (
            requests.write_port(), requests.read_port(domain="comb"),
            requests.read_port(domain="comb"))
        enter, leave = results.write_port(), results.read_port(domain="comb")
        request = self.walk.req.payload
        m.d.comb += [
            write.addr.eq(encode(kept)),
            write.data.eq(self.request),
            write.en.eq(self.keep),
            ask.addr.eq(request.miss),
            request.access.eq(ask.data.access),
            request.control.eq(ask.data.control),
            serve.addr.eq(encode(self._following)),
            self.upcoming.eq(serve.data),
            enter.addr.eq(self.walk.rsp.payload.miss),
            enter.data.eq(self.walk.rsp.payload),
            enter.en.eq(self.walk.rsp.valid),
            leave.addr.eq(encode(served)),
            self.result.eq(leave.data),
        ]


def _after(last, candidates):
    """Return the first of ``candidates`` after the place ``last``, round about, as one-hot bits."""
    later = candidates & ~(last | (last - 1))
    first = Mux(later.any(), later, candidates)
    return first & -first
