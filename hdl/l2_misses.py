"""The requests that the second-level TLB has accepted, and those that wait for a walk."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .shapes import PCID_BITS, control_layout, walk_request_layout, walk_signature

__all__ = ["L2Misses", "walk_id", "walk_id_bits", "walked_layout"]


def walk_id(payload):
    """Return what tells a walk request from all others that are under way, as one value."""
    return Cat(payload.miss, payload.port)


def walk_id_bits(config):
    """Return the width of ``walk_id``."""
    return len(walk_id(Signal(walk_request_layout(config))))


def walked_layout(config):
    """Return what is kept of a request for the page that its walk finds: page number and PCID.

    With ``config.prefetches`` there is what else the way of its walk depends on, too, and CR4.PGE.
    """
    control = control_layout(config).members
    more = ("root", "pse", "pge", "nxe") if config.prefetches else ()
    return data.StructLayout({
        "vpn": config.vpn_bits, "pcid": PCID_BITS, **{name: control[name] for name in more}})


class L2Misses(wiring.Component):
    """Keeps each request from its acceptance to its answer, and offers those that missed.

    There is a place for every request that can be under way, so that none is ever full. A request
    that misses is offered to the walkers in the same cycle, or else after those that missed before.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    accept : In(1), request : In(walk_request_layout)
        Keep that request.
    miss : In(1), missed : In
        The request of that ``walk_id``, accepted in an earlier cycle, needs a walk.
    walk : Out(walk_signature)
        The walkers. Their responses are not looked at here, but for whose they are.
    queued : Out(1)
        A request that missed in an earlier cycle waits to be accepted.
    key : Out(walked_layout)
        What is kept of the request that ``walk.rsp.payload`` is for.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "accept": In(1),
            "request": In(walk_request_layout(config)),
            "miss": In(1),
            "missed": In(walk_id_bits(config)),
            "walk": Out(walk_signature(config)),
            "queued": Out(1),
            "key": Out(walked_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        config, walk = self._config, self.walk
        id_bits = walk_id_bits(config)
        m.submodules.requests = requests = memory.Memory(
            shape=walk_request_layout(config), depth=1 << id_bits, init=[])
        m.submodules.keys = keys = memory.Memory(
            shape=self.key.shape(), depth=1 << id_bits, init=[])
        m.submodules.queue = queue = memory.Memory(shape=id_bits, depth=1 << id_bits, init=[])
        first, last = Signal(id_bits), Signal(id_bits)
        waiting = Signal()  # requests stand in the queue, from `first` to before `last`
        push, pop = Signal(), Signal()

        request_write, request_read = requests.write_port(), requests.read_port(domain="comb")
        key_write, key_read = keys.write_port(), keys.read_port(domain="comb")
        queue_write, queue_read = queue.write_port(), queue.read_port(domain="comb")
        vaddr, control = self.request.access.vaddr, self.request.control
        m.d.comb += [
            request_write.addr.eq(walk_id(self.request)),
            request_write.data.eq(self.request),
            request_write.en.eq(self.accept),
            key_write.addr.eq(walk_id(self.request)),
            key_write.data.vpn.eq(vaddr[PAGE_SHIFT:]),
            *(key_write.data[name].eq(control[name])
              for name in self.key.shape().members if name != "vpn"),
            key_write.en.eq(self.accept),
            key_read.addr.eq(walk_id(walk.rsp.payload)),
            self.key.eq(key_read.data),
            queue_write.addr.eq(last),
            queue_write.data.eq(self.missed),
            queue_write.en.eq(push),
            queue_read.addr.eq(first),
            request_read.addr.eq(Mux(waiting, queue_read.data, self.missed)),
            walk.req.payload.eq(request_read.data),
            walk.req.valid.eq(waiting | self.miss),
            walk.rsp.ready.eq(1),
            self.queued.eq(waiting),
            push.eq(self.miss & (waiting | ~walk.req.ready)),
            pop.eq(waiting & walk.req.ready),
        ]
        with m.If(pop):
            m.d.sync += first.eq(first + 1)
        with m.If(push):
            m.d.sync += last.eq(last + 1)
        with m.If(push):
            m.d.sync += waiting.eq(1)
        with m.Elif(pop & (last == (first + 1)[:id_bits])):
            m.d.sync += waiting.eq(0)
        return m
