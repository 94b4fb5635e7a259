"""Which page is walked ahead for the second-level TLB, and when."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .l2_misses import walked_layout
from .shapes import AccessKind, walk_request_layout

__all__ = ["L2Prefetch"]


class L2Prefetch(wiring.Component):
    """Has the page after one that was walked looked for, and walked if it is not held.

    It is the first page beyond the one that was walked, whatever the size of this one: all that is
    nearer is in the page itself. Its own size is what its walk finds. There is none beyond the end
    of a canonical half or, in 32-bit paging, of linear addresses.

    One page is dealt with at a time. As long as it is not looked for, the page after one that was
    walked later takes its place; after that such a page is passed over. The lookup is ``cut`` for a
    request, and made again. The walk is offered when it keeps nobody waiting, and withdrawn when a
    request waits for a walker. ``pause`` ends all of it: what is not walked yet is forgotten, and a
    walk is withdrawn.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU, with ``prefetches``.

    Members
    -------
    walked : In(1), cause : In(walked_layout), page : In
        A walk has found a page of a size that is to be entered, and for which request.
    pause : In(1)
        There is a drop in this cycle, or requests wait until there was one.
    vpn : Out, pcid : Out
        The page that is dealt with.
    wants : Out(1), begun : In(1)
        It is to be looked for, and that begins in this cycle.
    seeking : Out(1), held : In(1), absent : In(1), cut : In(1)
        It is looked for. In the last cycle of that: it is held, is not, or nobody knows yet.
    offers : Out(1), request : Out(walk_request_layout), accepted : In(1)
        It is to be walked, and begins to be in this cycle. The walk is a read by the supervisor
        that every page permits, under the registers on which the way of the walk before depended.
    ended : In(1)
        Its walk has ended.
    crowded : In(1), withdraw : Out(1)
        A request waits for a walker; the walk is to be ended.
    idle : Out(1)
        No walk is under way or about to be.
    """

    def __init__(self, config):
        self._config = config
        cause = walked_layout(config)
        super().__init__({
            "walked": In(1), "cause": In(cause), "page": In(range(len(config.mode.pages))),
            "pause": In(1),
            "vpn": Out(cause["vpn"].shape), "pcid": Out(cause["pcid"].shape),
            "wants": Out(1), "begun": In(1),
            "seeking": Out(1), "held": In(1), "absent": In(1), "cut": In(1),
            "offers": Out(1), "request": Out(walk_request_layout(config)), "accepted": In(1),
            "ended": In(1), "crowded": In(1), "withdraw": Out(1), "idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        subject = Signal(self.cause.shape(), reset_less=True)
        page = Signal.like(self.page, reset_less=True)
        following, exists = self._after(m, subject.vpn, page)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.idle.eq(1)
                self._take(m, subject, page)
            with m.State("Step"):
                m.d.comb += self.idle.eq(1)
                m.d.sync += subject.vpn.eq(following)
                m.next = "Idle"
                with m.If(exists & ~self.pause):
                    m.next = "Wanted"
            with m.State("Wanted"):
                m.d.comb += [self.idle.eq(1), self.wants.eq(1)]
                with m.If(self.pause):
                    m.next = "Idle"
                with m.Elif(self.begun):
                    m.next = "Seek"
                with m.Else():
                    self._take(m, subject, page)
            with m.State("Seek"):
                m.d.comb += [self.idle.eq(1), self.seeking.eq(1)]
                with m.If(self.pause | self.held):
                    m.next = "Idle"
                with m.Elif(self.absent):
                    m.next = "Offer"
                with m.Elif(self.cut):
                    m.next = "Wanted"
            with m.State("Offer"):
                m.d.comb += self.offers.eq(1)
                m.d.sync += self.withdraw.eq(0)
                with m.If(self.accepted):
                    m.next = "Walk"
                with m.Elif(self.pause):
                    m.next = "Idle"
            with m.State("Walk"):
                with m.If(self.pause | self.crowded):
                    m.d.sync += self.withdraw.eq(1)
                with m.If(self.ended):
                    m.next = "Idle"
        self._ask(m, subject)
        return m

    def _take(self, m, subject, page):
        """Go on to the page after one that was walked, if one was."""
        with m.If(self.walked & ~self.pause):
            m.d.sync += [subject.eq(self.cause), page.eq(self.page)]
            m.next = "Step"

    def _after(self, m, vpn, page):
        """Return the number of the page after ``vpn``, and whether there is one."""
        mode = self._config.mode
        following = Signal.like(vpn)
        smallest, *larger = (level.shift - PAGE_SHIFT for level in mode.pages)
        value = vpn[smallest:] + 1
        for number, low in enumerate(larger, start=1):
            value = Mux(page == number, Cat(Const(0, low), vpn[low:] + 1), value)
        m.d.comb += following.eq(value)
        if mode.translated_bits == mode.vaddr_bits:
            return following, following.any()
        return following, following[-1] == vpn[-1]

    def _ask(self, m, subject):
        """Make the request for the walk."""
        request = self.request
        m.d.comb += [
            self.vpn.eq(subject.vpn),
            self.pcid.eq(subject.pcid),
            request.prefetch.eq(1),
            request.access.vaddr.eq(Cat(Const(0, PAGE_SHIFT), subject.vpn)),
            request.access.kind.eq(AccessKind.READ),
            *(request.control[name].eq(subject[name])
              for name in subject.shape().members if name != "vpn"),
        ]
