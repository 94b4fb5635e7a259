"""What the second-level TLB does in which cycle."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .l2_geometry import L2Op
from .shapes import drop_layout

__all__ = ["L2Sequencer", "probe_layout"]


def probe_layout(geometry):
    """Return what a set is read for: pages of which size, and whether no other is read after it."""
    return data.StructLayout({"page": range(len(geometry.config.mode.pages)), "last": 1})


class L2Sequencer(wiring.Component):
    """Lets one operation after another use the array, drops before fills before all else.

    An operation reads sets. A set that is read in cycle *t* is compared in cycle *t* + 2, and the
    outcome is there in cycle *t* + 3. A lookup, a seek or a drop by address reads a set for each
    size of pages that may be held, the smallest first, in as many cycles; a sweep reads a set every
    other cycle, so that it can write in between.

    A drop begins in the cycle after ``drop`` and ends what is under way. Then it is ``busy`` for
    *n* + 2 cycles by address, *n* being the sizes looked for; 3 for a PCID without global pages, or
    each 16th time for the same PCID 2 * sets + 5; sets to drop all; 2 * sets + 2 for any other. A
    reset has all dropped.

    Parameters
    ----------
    geometry : :class:`L2Geometry`
        Parameters of the second-level TLB.

    Members
    -------
    drop : In(drop_layout)
        What to drop, while not ``busy``.
    lookup_waits : In(1)
        There is a request to look up.
    seek_waits : In(1)
        There is a page to look for, and no request waited in the cycle before.
    fill_waits : In(1), fill_page : In
        There is a page to enter, and its size.
    held : In, one bit for each size
        Sizes of which there may be pages; the smallest need not be told.
    stop : In(1)
        The operation needs none of the sets that it reads after the one at hand.
    finish : In(1)
        The lookup, seek or fill is over. It may be set from the cycle of its first outcome on.
    wraps : In(1)
        The generation of the PCID to drop cannot be raised without a sweep.
    op : Out(L2Op), active : Out(1)
        The operation under way, and whether there is one.
    looking_up : Out(1), sweeping : Out(1)
        The operation is a lookup, or it is a sweep: each a flip-flop, for what many wait for.
    busy : Out(1)
        It drops something.
    next_page : Out, next_set : Out
        Sizes of the pages that the operation under way reads a set for in the next cycle, if it
        does; the set that is read in the next cycle for a sweep.
    cleared_set : Out
        The set to clear, when all are dropped.
    read : Out(1), probe : Out(probe_layout)
        A set is read in this cycle, and what for.
    compare : Out(1), compared : Out(probe_layout)
        A set is compared in this cycle, and what for.
    outcome : Out(1), judged : Out(probe_layout)
        The outcome of a comparison is there in this cycle, and of which one.
    """

    def __init__(self, geometry):
        self._geometry = geometry
        probe = probe_layout(geometry)
        pages, index = range(len(geometry.config.mode.pages)), range(geometry.sets)
        super().__init__({
            "drop": In(drop_layout(geometry.config)),
            "lookup_waits": In(1),
            "seek_waits": In(1),
            "fill_waits": In(1),
            "fill_page": In(pages),
            "held": In(len(pages)),
            "stop": In(1),
            "finish": In(1),
            "wraps": In(1),
            "op": Out(L2Op),
            "active": Out(1),
            "looking_up": Out(1),
            "sweeping": Out(1),
            "busy": Out(1),
            "next_page": Out(pages),
            "next_set": Out(index),
            "cleared_set": Out(index),
            "read": Out(1),
            "probe": Out(probe),
            "compare": Out(1),
            "compared": Out(probe),
            "outcome": Out(1),
            "judged": Out(probe),
        })

    def elaborate(self, platform):
        m = Module()
        op, active = Signal(L2Op, init=L2Op.CLEAR), Signal(init=1)
        read, page, last_of_sweep = Signal(), Signal.like(self.probe.page), Signal()
        count = Signal(self._geometry.index_bits + 2)  # cycles of a sweep, two a set
        fetched, compare, outcome = Signal(), Signal(), Signal()
        fetched_probe, compared, judged = (
            Signal.like(self.probe, name=name, reset_less=True)
            for name in ("fetched_probe", "compared", "judged"))
        sweeping, by_size = self.sweeping, self.looking_up | (op == L2Op.ADDRESS)
        drops = (op != L2Op.LOOKUP) & (op != L2Op.FILL)
        if self._geometry.config.prefetches:
            by_size |= op == L2Op.SEEK
            drops &= op != L2Op.SEEK
        more = Signal()
        for number in reversed(range(1, len(self.held))):
            with m.If(self.held[number] & (page < number)):
                m.d.comb += [self.next_page.eq(number), more.eq(1)]
        ended = self.stop | self.drop.valid
        m.d.comb += [
            self.op.eq(op),
            self.active.eq(active),
            self.busy.eq(active & drops),
            self.next_set.eq(count[1:]),
            self.cleared_set.eq(count),
            self.read.eq(read),
            self.probe.page.eq(page),
            self.probe.last.eq(Mux(sweeping, last_of_sweep, ~(by_size & more))),
            self.compare.eq(compare),
            self.compared.eq(compared),
            self.outcome.eq(outcome),
            self.judged.eq(judged),
        ]
        m.d.sync += [
            count.eq(count + 1),
            last_of_sweep.eq(count[1:-1].all()),
            fetched.eq(read & ~ended), fetched_probe.eq(self.probe),
            compare.eq(fetched & ~ended), compared.eq(fetched_probe),
            outcome.eq(compare & ~ended), judged.eq(compared),
            read.eq(Mux(sweeping, active & ~count[0] & ~count[-1],
                        read & by_size & more & ~self.stop)),
        ]
        with m.If(read & by_size):
            m.d.sync += page.eq(self.next_page)
        self._end(m, op, active, read, count)
        self._begin(m, op, active, read, page, count)
        return m

    def _end(self, m, op, active, read, count):
        """End the operation under way, or go on from a generation to a sweep."""
        swept = self.compare & self.compared.last
        with m.Switch(op):
            with m.Case(L2Op.LOOKUP, L2Op.FILL, L2Op.SEEK):
                with m.If(self.finish):
                    m.d.sync += active.eq(0)
            with m.Case(L2Op.ADDRESS, L2Op.SWEEP):
                with m.If(swept):
                    m.d.sync += active.eq(0)
            with m.Case(L2Op.CONTEXT):
                with m.If(swept & self.wraps):
                    m.d.sync += [
                        op.eq(L2Op.SWEEP), self.sweeping.eq(1), read.eq(0), count.eq(0)]
                with m.Elif(swept):
                    m.d.sync += active.eq(0)
            with m.Case(L2Op.CLEAR):
                with m.If(self.cleared_set.all()):
                    m.d.sync += active.eq(0)

    def _begin(self, m, op, active, read, page, count):
        """Begin the next operation, if none is under way, or a drop ends it."""
        drop = self.drop
        with m.If(drop.valid):
            m.d.sync += [
                active.eq(1), page.eq(0), count.eq(0), self.looking_up.eq(0),
                read.eq(drop.by_address | (drop.by_pcid & ~drop.globals)),
                self.sweeping.eq(~drop.by_address & (drop.by_pcid == drop.globals))]
            with m.If(drop.by_address):
                m.d.sync += op.eq(L2Op.ADDRESS)
            with m.Elif(drop.by_pcid & ~drop.globals):
                m.d.sync += op.eq(L2Op.CONTEXT)
            with m.Elif(drop.by_pcid | ~drop.globals):
                m.d.sync += op.eq(L2Op.SWEEP)
            with m.Else():
                m.d.sync += op.eq(L2Op.CLEAR)
        with m.Elif(~active & self.fill_waits):
            m.d.sync += [active.eq(1), op.eq(L2Op.FILL), page.eq(self.fill_page), read.eq(1),
                         self.looking_up.eq(0), self.sweeping.eq(0)]
        with m.Elif(~active & self.seek_waits):
            m.d.sync += [active.eq(1), op.eq(L2Op.SEEK), page.eq(0), read.eq(1),
                         self.looking_up.eq(0), self.sweeping.eq(0)]
        with m.Elif(~active & self.lookup_waits):
            m.d.sync += [active.eq(1), op.eq(L2Op.LOOKUP), page.eq(0), read.eq(1),
                         self.looking_up.eq(1), self.sweeping.eq(0)]
