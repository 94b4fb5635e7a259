"""The misses of a request port that are not answered yet: what they ask, and how far they are."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .onehot import encode
from .permission import needs_layout
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

    ``needs`` is what its access asks of a page, ``translated`` says that it needs a translation,
    ``refused`` that its address is not canonical.
    """
    return data.StructLayout({
        "access": request_layout(config), "control": control_layout(config),
        "needs": needs_layout(config), "translated": 1, "refused": 1})


class MissFile(wiring.Component):
    """Keeps up to ``config.misses`` requests, has them walked, and gives them back to the port.

    A request that is kept either waits for a walk, which is asked for in the same cycle if no other
    waits for one, or else later in turn with the others, or it waits to be looked up again. Once
    its walk has responded, or it is to be looked up, it may be given back: with ``order`` ``"tag"``
    in turn with the others, with ``"request"`` only when it is the oldest. The turn goes to the
    next number after the one that had it last. One that is ``serving`` is the port's to take; its
    place is free when the port says that it is answered, but if its lookup found nothing it goes
    ``back`` to wait for a walk. The port may also answer a request in the cycle of its response:
    it is then given back to be entered only, and its place is free when it is taken.

    When a page was entered into the TLB, each request that waits for a walk that is not asked for
    yet may have become a hit: it is looked up again, though once only, so that each is walked in
    the end. So that this comes in time, no walk is asked for anew in the two cycles after that of a
    response, nor in that itself but for a request that is kept just then.

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
    upcoming : Out(kept_layout)
        The request that is served in the next cycle, if one is, and while one is.
    serving : Out(1), taken : In(1), lost : Out(1)
        A request is served, and stays so until the port has taken it; it is cancelled.
    walked : Out(1), result : Out(walk_response_layout), enters : Out(1)
        It was walked, with this result, and that may be entered into the TLB; else it is to be
        looked up.
    answered : In(1), back : In(1)
        What the port took last is answered, or has to be walked.
    arrives : Out(1), arrival : Out(kept_layout)
        A walk has responded, without a fault, to a request that may be answered before it is given
        back; and that request. ``arrival`` stays the same while ``holds``.
    holds : In(1), withdrawn : Out(1)
        The port still offers its answer to the last ``arrival``; that is cancelled.
    told : In(1), silent : Out(1)
        ``arrival`` is answered; what is served was answered so before.
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
            "spoiled": In(1), "filled": In(1),
            "upcoming": Out(kept_layout(config)),
            "serving": Out(1), "taken": In(1), "lost": Out(1),
            "walked": Out(1), "result": Out(walk_response_layout(config)), "enters": Out(1),
            "answered": In(1), "back": In(1),
            "arrives": Out(1), "arrival": Out(kept_layout(config)),
            "holds": In(1), "withdrawn": Out(1),
            "told": In(1), "silent": Out(1),
            "cancel": In(cancel_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        count = self._config.misses
        # One bit for each place; a place in use waits for one thing, or is with the port.
        used, queued, asked, returned, again, enters, tried, dead, told = (
            Signal(count, name=name) for name in (
                "used", "queued", "asked", "returned", "again", "enters", "tried", "dead", "told"))
        kept, place, arrived, gone, back, taken, over, bounced = (
            Signal(count, name=name) for name in (
                "kept", "place", "arrived", "gone", "back", "taken", "over", "bounced"))
        served, with_port, named = Signal(count), Signal(count), Signal(count)  # one-hot
        vacant, response, oldest = ~used, self.walk.rsp, Const(1).replicate(count)
        m.d.comb += [
            self.room.eq(vacant.any()),
            self.room_for_two.eq((vacant & (vacant - 1)).any()),
            self.empty.eq(vacant.all()),
            kept.eq(Mux(self.keep, place, 0)),
            named.eq(1 << response.payload.miss),
            arrived.eq(Mux(response.valid, named, 0)),
            gone.eq(self._cancelled(m, kept, used)),
            back.eq(Mux(self.back, with_port, 0)),
            taken.eq(Mux(self.taken, served, 0)),
            over.eq((dead | gone) & ~(asked & ~arrived)),
            bounced.eq(Mux(self.filled, queued & ~tried, 0)),
            self.walked.eq((returned & served).any()),
            self.enters.eq((enters & served).any()),
            self.lost.eq(self.serving & (gone & served).any()),
            self.silent.eq((told & served).any()),
            response.ready.eq(1),
        ]
        waiting = ((queued & ~bounced) | Mux(self.walks, kept, 0) | back) & ~gone
        chosen, asking, asked_number = self._ask(m, waiting, queued, place)
        candidates = (returned | again | (arrived & ~dead)) & ~gone
        released = used & (Mux(self.answered, with_port, 0) | (taken & told) | over)
        if self._config.order == "request":
            released, candidates, oldest = self._in_order(
                m, place, kept, released, candidates, with_port)
        else:
            m.d.comb += place.eq(vacant & -vacant)
        number = self._serve(m, candidates, served, gone)
        arrival, arrival_number = self._arrive(m, named, oldest & ~dead, gone)
        m.d.sync += [
            used.eq((used | kept) & ~released),
            queued.eq(((queued & ~bounced) | Mux(self.walks, kept, 0) | back) & ~chosen & ~gone),
            asked.eq((asked | chosen) & ~arrived),
            returned.eq((returned | (arrived & ~dead)) & ~taken & ~gone),
            again.eq((again | bounced | Mux(self.walks, 0, kept)) & ~taken & ~gone),
            tried.eq((tried | back) & ~kept),
            dead.eq((dead | gone) & ~kept),
            told.eq((told | Mux(self.told, arrival, 0)) & ~kept),
        ]
        enterable = ~response.payload.fault & ~response.payload.stale
        m.d.sync += enters.eq(Mux(
            self.spoiled, 0, (enters & ~arrived) | Mux(enterable, arrived, 0)))
        with m.If(self.taken):
            m.d.sync += with_port.eq(served)
        self._keep_requests(m, place, number, arrival_number, asking, asked_number)
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

    def _arrive(self, m, named, answerable, gone):
        """Say whether the request that a response ``named`` is ``answerable``; return its place.

        That, and its number, which is returned, too, stay the same while the port ``holds``.
        """
        response, last = self.walk.rsp, Signal.like(named)
        last_number = Signal.like(response.payload.miss)
        place, number = Signal.like(last), Signal.like(last_number)
        m.d.comb += [
            place.eq(Mux(self.holds, last, named)),
            number.eq(Mux(self.holds, last_number, response.payload.miss)),
            self.arrives.eq(response.valid & ~response.payload.fault & (named & answerable).any()),
            self.withdrawn.eq((place & gone).any()),
        ]
        m.d.sync += [last.eq(place), last_number.eq(number)]
        return place, number

    def _ask(self, m, waiting, queued, place):
        """Ask for a walk for one of ``waiting`` after the other; return those chosen, one-hot.

        What is kept in the cycle, at ``place``, is asked for at once if nothing is ``queued``; any
        other from the next cycle on. What is offered stays, whatever happens to the request. None
        is chosen in the cycle of a response and the next two: the page of that response may be the
        one that it waits for. What is kept in the first is, so that this follows from registers.
        """
        asking, asked, direct = Signal(), Signal(self._config.misses), Signal()
        chosen, responded, free = Signal.like(asked), Signal(2), Signal()
        request, response = self.walk.req, self.walk.rsp
        number = Signal.like(request.payload.miss)
        m.d.sync += responded.eq(Cat(response.valid, responded[0]))
        m.d.comb += [
            direct.eq(self.keep & self.walks & ~asking & ~queued.any() & ~responded.any()),
            free.eq((~asking | request.ready) & ~response.valid & ~responded.any()),
            chosen.eq(Mux(free | direct, _after(asked, waiting), 0)),
            request.valid.eq(asking | direct),
            request.payload.port.eq(self._number),
            request.payload.miss.eq(Mux(asking, number, encode(place))),
        ]
        with m.If((free | direct) & waiting.any()):
            m.d.sync += [asking.eq(~(direct & request.ready)), asked.eq(chosen),
                         number.eq(encode(chosen))]
        with m.Elif(request.ready):
            m.d.sync += asking.eq(0)
        return chosen, asking, number

    def _in_order(self, m, place, kept, finished, candidates, with_port):
        """Keep the order of the requests; return who is released, who is next, and the oldest.

        The turn is that of the oldest request, or of the one after it while the port has that.
        """
        count = self._config.misses
        head, tail, turn = (Signal(count, init=1, name=name) for name in ("head", "tail", "turn"))
        released, following = Signal(count), Signal(count)
        m.d.comb += [
            place.eq(tail),
            released.eq(head & finished),
            following.eq(Mux(self.taken, turn.rotate_left(1), turn)),
        ]
        m.d.sync += turn.eq(following)
        with m.If(released.any()):
            m.d.sync += head.eq(head.rotate_left(1))
            with m.If((head & turn).any() & ~self.taken):  # it was cancelled
                m.d.sync += turn.eq(turn.rotate_left(1))
        with m.If(self.back):
            m.d.sync += turn.eq(with_port)
        with m.If(kept.any()):
            m.d.sync += tail.eq(tail.rotate_left(1))
        return released, candidates & following & ~self.back.replicate(count), head

    def _serve(self, m, candidates, served, gone):
        """Serve one of ``candidates`` after the other; return the number of the one served.

        One is picked in one cycle, read in the next one, and served from then on.
        """
        picked, serving, following = Signal(), Signal(), Signal.like(served)
        number = Signal.like(self.walk.req.payload.miss)
        others = candidates & ~Mux(picked, served, 0)
        m.d.comb += [self.serving.eq(serving), following.eq(_after(served, others))]
        withdrawn = (gone & served).any()
        if self._config.order == "request":  # what is older has to be walked first
            withdrawn |= self.back
        with m.If(self.taken | ~picked):
            m.d.sync += [picked.eq(others.any()), serving.eq(0)]
            with m.If(others.any()):
                m.d.sync += [served.eq(following), number.eq(encode(following))]
        with m.Elif(withdrawn):
            m.d.sync += [picked.eq(0), serving.eq(0)]
        with m.Else():
            m.d.sync += serving.eq(1)
        return number

    def _keep_requests(self, m, place, number, arrival, asking, asked):
        """Keep what was requested, and what walks have found.

        ``number`` is served, ``arrival`` answered at once. What is ``asking`` has the number
        ``asked``; else what is kept in the cycle may be asked for.
        """
        depth = max(2, self._config.misses)
        m.submodules.requests = requests = memory.Memory(
            shape=kept_layout(self._config), depth=depth, init=[])
        m.submodules.results = results = memory.Memory(
            shape=walk_response_layout(self._config), depth=depth, init=[])
        write, (ask, serve, arrive) = requests.write_port(), (
            requests.read_port(domain="comb") for _ in range(3))
        enter, leave = results.write_port(), results.read_port(domain="comb")
        request = self.walk.req.payload
        m.d.comb += [
            write.addr.eq(encode(place)),
            write.data.eq(self.request),
            write.en.eq(self.keep),
            ask.addr.eq(asked),
            *(request[name].eq(Mux(asking, ask.data[name].as_value(),
                                   self.request[name].as_value()))
              for name in ("access", "control")),
            serve.addr.eq(number),
            self.upcoming.eq(serve.data),
            arrive.addr.eq(arrival),
            self.arrival.eq(arrive.data),
            enter.addr.eq(self.walk.rsp.payload.miss),
            enter.data.eq(self.walk.rsp.payload),
            enter.en.eq(self.walk.rsp.valid),
            leave.addr.eq(number),
            self.result.eq(leave.data),
        ]


def _after(last, candidates):
    """Return the first of ``candidates`` after the place ``last``, round about, as one-hot bits."""
    later = candidates & ~(last | (last - 1))
    first = Mux(later.any(), later, candidates)
    return first & -first
