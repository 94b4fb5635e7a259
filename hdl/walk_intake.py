"""Where requests for walks come into the pool: a place to wait, and which walk each one joins."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .onehot import encode
from .shapes import AccessKind, Purpose, control_layout, walk_request_layout
from .walk_context import birth_layout
from .walk_shapes import key_layout

__all__ = ["WalkIntake", "candidate_layout"]

REGISTERS = ("root", "pcid", "pse", "nxe")
"""The registers on which the way of a walk depends, and not only what it is judged by."""


def registers_layout(config):
    """Return the registers of a request on which the way of its walk depends."""
    control = control_layout(config).members
    return data.StructLayout({name: control[name] for name in REGISTERS})


def candidate_layout(config):
    """Return what is to be known of a context to give it a request, or to join its walk."""
    return data.StructLayout({"free": 1, "joinable": 1, "vpn": config.vpn_bits})


class WalkIntake(wiring.Component):
    """Holds the request that comes next, has it looked up, and gives it to a context.

    A request that is accepted in a cycle is looked up in the next one, and given to a free context
    in the same cycle, or later if none is free, or the walk cache has something else to do. It is
    ``merged`` if a context walks for the same page with the same root, PCID, PSE and NXE. Registers
    are compared with those of the request before alone: a walk whose registers were not those of
    each request since cannot be joined any more.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    late : bool
        Whether the payload of a request comes in the cycle after it was accepted, and stays until
        another is, as ``WalkArbiter`` has it. Else the intake keeps it.

    Members
    -------
    requests : In(stream)
        Requests, of ``walk_request_layout``.
    contexts : In(candidate_layout), one for each context
        The contexts.
    ask : Out(1), key : Out(key_layout)
        Look up a request in the next cycle, in which the key follows.
    looking : In(1)
        The lookup is done in this cycle.
    drop : In(1)
        Something is dropped.
    coming : Out(1), number : Out
        Whether a request waits, and the free context that it gets.
    take : Out(1), request : Out(walk_request_layout), birth : Out(birth_layout)
        The context ``number`` takes this request.
    forget : Out(1)
        It has other registers than the one before.
    """

    def __init__(self, config, *, late=False):
        self._config = config
        self._late = late
        super().__init__({
            "requests": In(stream.Signature(walk_request_layout(config))),
            "contexts": In(candidate_layout(config)).array(config.walkers),
            "ask": Out(1), "key": Out(key_layout(config)), "looking": In(1),
            "drop": In(1),
            "coming": Out(1), "number": Out(range(max(2, config.walkers))),
            "take": Out(1), "request": Out(walk_request_layout(config)),
            "birth": Out(birth_layout(config)), "forget": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        new, request = self.requests, Signal.like(self.request, reset_less=True)
        waits, same = Signal(), Signal()
        stays = Signal()
        matches = Signal(len(self.contexts))
        last = Signal(registers_layout(self._config), reset_less=True)  # of the request before
        free = Cat(context.free for context in self.contexts)
        vpn, takes_place, quiet = self._vpn(request), Const(1), Const(0)
        if "purpose" in request.access.shape().members:
            purpose = request.access.purpose
            takes_place = purpose == Purpose.ACCESS
            quiet = (purpose == Purpose.PROBE) | (purpose == Purpose.LOOKUP)
        if self._config.prefetches:
            quiet |= request.prefetch
            m.d.comb += self.birth.prefetch.eq(request.prefetch)
        m.d.comb += [
            self.coming.eq(waits),
            self.request.eq(request),
            self.take.eq(waits & self.looking & free.any()),
            stays.eq(waits & ~self.take),
            new.ready.eq(~stays),
            self.ask.eq(stays | new.valid),
            self.key.vpn.eq(vpn),
            self.key.pcid.eq(request.control.pcid),
            matches.eq(Cat(context.joinable & (context.vpn == vpn) for context in self.contexts)),
            self.forget.eq(self.take & ~same),
            self.number.eq(encode(free & -free)),
            self.birth.vpn.eq(vpn),
            self.birth.pse.eq(request.control.pse),
            self.birth.nxe.eq(request.control.nxe),
            self.birth.write.eq((request.access.kind == AccessKind.WRITE) & takes_place),
            self.birth.quiet.eq(quiet),
            self.birth.stale.eq(self.drop),
        ]
        m.d.sync += waits.eq(stays | new.valid)
        if self._late:
            m.d.comb += request.eq(new.payload)
        else:
            with m.If(new.ready):
                m.d.sync += request.eq(new.payload)
        if len(self.contexts) > 1:  # a single context takes a request only when it has no walk
            m.d.comb += [
                same.eq(Cat(last[name] == request.control[name] for name in REGISTERS).all()),
                self.birth.merged.eq(same & matches.any() & ~quiet),
                self.birth.leader.eq(encode(matches)),
            ]
            with m.If(self.take):
                m.d.sync += [last[name].eq(request.control[name]) for name in REGISTERS]
        return m

    def _vpn(self, request):
        return request.access.vaddr[PAGE_SHIFT:self._config.mode.translated_bits]
