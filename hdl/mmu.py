"""The whole memory-management unit, which wires its components together."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .arbiter import WalkArbiter
from .config import Config
from .event_shapes import events_layout
from .invalidate import Invalidator
from .invalidation_pulse import InvalidationPulse
from .l2_tlb import L2Tlb
from .memory_register import MemoryRegister
from .miss_port import MissPort
from .operation_check import OperationCheck
from .page_crossing import PageCrossing
from .port import RequestPort
from .port_shapes import port_signature, sized_port_signature
from .shapes import (
    control_layout,
    drop_layout,
    ignored_registers,
    invalidate_layout,
    invalidate_pulse_layout,
    memory_signature,
)
from .walk_pool import WalkPool
from .walker import Walker

__all__ = ["Mmu"]


class Mmu(wiring.Component):
    """Translates linear addresses for several request ports, in one x86 paging mode.

    All timing is in clock cycles, for a hit latency of 1 and TLBs without sets. A port accepts a
    request in each cycle and answers a hit in the next cycle, in the order of the requests. While
    it waits for a walk it accepts nothing; other ports go on. In the cycle in which it answers a
    fault it accepts nothing either.

    A miss that finds the walker idle is answered 2 + (sum of the memory latencies) cycles after its
    request was accepted. There is one memory latency for each level that the walk cache does not
    hold and one for each A/D update; it counts from the cycle in which the MMU offers the
    page-table access to the cycle of the response. Memory must respond in a later cycle than it was
    asked. A miss that finds the walker busy waits for at most one walk of each other port.

    With a second-level TLB a miss is looked up there first. One that finds it idle and hits is
    answered 5 cycles after its request was accepted, and one cycle later for each smaller size of
    pages that may be held; one that misses there takes 3 + *n* cycles longer than without, *n*
    being the sizes that may be held. ``L2Tlb`` says which, and ``L2Sequencer`` how long the ports
    wait for a drop; after a reset they wait until all is dropped, a cycle for each set. With
    ``prefetch`` a walk ahead may hold up a request, by what ``L2Tlb`` says, and an operation, which
    waits until it has ended: for one access to memory, and at most five cycles.

    With several ``walkers``, or one of two ``walk_stages``, a miss waits for its turns at memory,
    and for a walker only if there are fewer than walks. Alone it is answered 5 + (sum of
    the memory latencies) cycles after its request was accepted, one more if the walk cache holds an
    entry of its way, and three more for each A/D update.

    With ``memory_response`` ``"registered"`` each page-table access takes a cycle more than memory
    does, in all that is said here: its latency counts to the cycle after the response.

    With several ``misses`` a port goes on behind a miss, while fewer than so many of its requests
    wait: with ``order`` ``"request"`` it answers in the order of the requests, with ``"tag"`` each
    as soon as it can, so that answers are to be told by their tags. Misses are walked at once, as
    far as there are walkers. A miss alone takes no longer than with one, but the fault of a
    walk comes three cycles later; ``MissPort`` says what waits for what. With ``cancel`` a
    requester can take back what it has asked for: it gets no answer from the next cycle on, but a
    walk that was asked for goes on, sets the flags, and is waited for by an invalidation.

    With ``access_bytes`` an access that crosses into another page is looked up in both, and the
    second lookup comes when the first is known: in the cycle in which that hits, or after its
    answer. So it takes a cycle more if both hit, with several ``misses`` two, with a hit latency of
    2 three. ``PageCrossing`` says what waits for it.

    A requester that does not take an answer keeps no other port waiting, neither for a walk nor for
    what a page fault drops. So answers may be taken in any order.

    An invalidation that is offered keeps all ports from accepting requests, and is accepted as soon
    as all answers are taken: a requester must take the answers it is due before it can see an
    invalidation accepted. In the cycle after an operation that drops anything the ports are at work
    on it, and accept no request, nor is another operation accepted. A page fault that was answered
    stops the ports in the same way for two cycles: in the next one the MMU drops what its address
    could use, and in the one after it the ports carry that out. If several ports answer page faults
    at once, that takes two cycles each. No walk begins in the cycle of a drop; one that is under
    way in it is answered, but nothing of it is cached from then on.

    With ``invalidation`` ``"pulse"`` an operation comes with ``invalidate.strobe`` in a cycle *t*,
    in which no request is accepted, and ``invalidate_busy`` is set from *t* + 1 on until all that
    it drops is dropped: as long as answers before it are not taken, for one cycle, and for those
    that the ports are at work. No request is accepted before it is over. ``control`` may hold the
    registers before the operation or after it in *t*, and anything afterwards.

    With a hit latency of 0 a hit is answered in the cycle of its request, and a port accepts one in
    each cycle in which it owes no answer. With one of 2 each answer comes a cycle later, and a port
    accepts one more request while it waits for a walk, but that is looked up after it. With sets,
    the ports are at work for two cycles on a drop by address, and for two more than there are sets
    on any other; after a reset they are for one more than there are sets.

    A request is judged by what ``control`` holds in the cycle in which the request is accepted.

    A reset empties all caches, takes back what is offered, and forgets the requests that wait: they
    are never answered. The MMU may be reset alone, while page-table memory has an access of its
    under way: memory does that access, and the response is ignored. ``memory_signature`` says how
    many there may be.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    control : In(control_layout)
        The registers that govern translation.
    <port> : In(port_signature, or sized_port_signature), one for each of ``config.ports``
        Requests to translate, their responses, and with ``config.cancel`` what is cancelled.
    invalidate : In(stream)
        Invalidating operations; ``control`` holds the registers before the operation. With
        ``invalidation`` ``"pulse"`` they are of ``invalidate_pulse_layout``, without a stream.
    invalidate_busy : Out(1), with ``invalidation`` ``"pulse"``
        An operation is under way. A strobe meanwhile is ignored.
    invalidate_refused : Out(1), with ``config.checks``
        The operation that ``invalidate`` offers in this cycle, or that is under way, is a
        general-protection fault, as ``OperationCheck`` has it: it is accepted, and does nothing.
    dropped : Out(drop_layout), with ``config.dropped``
        What the TLBs drop, in the cycle of the drop; ``tables_by_address`` is of the walk cache
        alone. A page that no drop has reached since it was answered may still be used.
    memory : Out(memory_signature)
        Accesses to page-table memory.
    events : Out(events_layout)
        What happens in this cycle, one bit for each event.

    Raises
    ------
    :exc:`TypeError`
        If ``config`` is not a :class:`Config`.
    """

    def __init__(self, config):
        if not isinstance(config, Config):
            raise TypeError(f"MMU parameters must be a Config, not {config!r}")
        self._config = config
        super().__init__({
            "control": In(control_layout(config)),
            **{port: In((sized_port_signature if config.access_bytes else port_signature)(config))
               for port in config.ports},
            **(_pulse_members(config) if config.invalidation == "pulse" else {
                "invalidate": In(stream.Signature(invalidate_layout(config)))}),
            **({"invalidate_refused": Out(1)} if config.checks else {}),
            **({"dropped": Out(drop_layout(config))} if config.dropped else {}),
            "memory": Out(memory_signature(config)),
            "events": Out(events_layout(config)),
        })

    @property
    def config(self):
        """Parameters of the MMU."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        has_l2, has_pool = self._config.l2_entries > 0, self._config.has_walk_pool
        m.submodules.arbiter = arbiter = WalkArbiter(self._config, late=has_l2 or has_pool)
        m.submodules.walker = walker = (
            WalkPool(self._config, late=not has_l2) if has_pool else Walker(self._config))
        m.submodules.invalidator = invalidator = Invalidator(self._config)
        control, ports = self._effective_control(m), []
        pause = invalidator.pause
        if self._config.invalidation == "pulse":
            pause = pause | self.invalidate.strobe
        for number, name in enumerate(self._config.ports):
            kind = MissPort if self._config.has_miss_file else RequestPort
            m.submodules[name] = port = kind(self._config, number)
            ports.append(port)
            if not self._config.access_bytes:
                connect(m, port.requests, flipped(getattr(self, name)))
            connect(m, port.walk, arbiter.ports[number])
            m.d.comb += [
                port.control.eq(control),
                port.drop.eq(invalidator.drop),
                port.fault_taken.eq(invalidator.faults_taken[number]),
                invalidator.page_faults[number].eq(port.page_fault),
                port.pause.eq(pause),
                self.events[name].eq(port.events),
            ]
        idle = [port.idle for port in ports]
        if self._config.access_bytes:
            idle += self._cross_pages(m, control, pause, invalidator, ports)
        busy = [walker.busy, *(port.busy for port in ports)]
        if has_l2:
            self._connect_l2(m, arbiter, walker, invalidator, pause, busy, idle)
        else:
            connect(m, arbiter.walk, walker.walk)
        registers = control
        if self._config.invalidation == "pulse":
            registers = self._take_pulses(m, invalidator)
        elif self._config.checks:
            self._check(m, invalidator)
        if self._config.dropped:
            m.d.comb += self.dropped.eq(invalidator.drop)
        self._connect_memory(m, walker)
        if self._config.invalidation == "stream":
            connect(m, invalidator.operation, flipped(self.invalidate))
        m.d.comb += [
            walker.drop.eq(invalidator.drop),
            invalidator.control.eq(registers),
            invalidator.busy.eq(Cat(busy).any()),
            invalidator.idle.eq(Cat(idle).all()),
            self.events.walk.eq(walker.events),
            self.events.flush.eq(invalidator.flush),
        ]
        return m

    def _cross_pages(self, m, control, pause, invalidator, ports):
        """Put before each port what looks up accesses in two pages; return whether they are idle.

        A lookup of a second page waits only for what is dropped, not for an operation on offer.
        """
        unsettled = Signal()
        m.d.comb += unsettled.eq(
            Cat(port.page_fault.valid for port in ports).any() | invalidator.busy)
        idle = []
        for name, port in zip(self._config.ports, ports, strict=True):
            m.submodules[f"{name}_crossing"] = crossing = PageCrossing(self._config)
            outer = getattr(self, name)
            connect(m, crossing.requests, flipped(outer))
            connect(m, crossing.lookups, port.requests)
            m.d.comb += [
                crossing.control.eq(control),
                crossing.pause.eq(pause),
                crossing.unsettled.eq(unsettled),
                port.control.eq(crossing.judged_by),
                port.pause.eq(crossing.stops),
                self.events[name].stall.eq(outer.req.valid & ~outer.req.ready),
            ]
            idle.append(crossing.idle)
        return idle

    def _connect_memory(self, m, walker):
        """Connect page-table memory, whose responses may go through a register."""
        accesses = walker.memory
        if self._config.memory_response == "registered":
            m.submodules.memory_register = register = MemoryRegister(self._config)
            connect(m, accesses, register.walker)
            accesses = register.memory
        connect(m, accesses, flipped(self.memory))

    def _check(self, m, invalidator):
        """Have the invalidator drop nothing for an operation on offer that raises #GP."""
        m.submodules.check = check = OperationCheck(self._config)
        m.d.comb += [
            check.operation.eq(self.invalidate.payload),
            check.control.eq(self.control),
            invalidator.refused.eq(check.refused),
            self.invalidate_refused.eq(self.invalidate.valid & check.refused),
        ]

    def _take_pulses(self, m, invalidator):
        """Have the invalidator carry out what comes as pulses; return the registers for it."""
        m.submodules.invalidation_pulse = pulse = InvalidationPulse(self._config)
        connect(m, pulse.operation, invalidator.operation)
        m.d.comb += [
            pulse.pulse.eq(self.invalidate),
            pulse.control.eq(self.control),
            pulse.flush.eq(invalidator.flush),
            pulse.working.eq(invalidator.busy),
            invalidator.refused.eq(pulse.refused),
            self.invalidate_busy.eq(pulse.busy),
        ]
        if self._config.checks:
            m.d.comb += self.invalidate_refused.eq(pulse.refused)
        return pulse.registers

    def _connect_l2(self, m, arbiter, walker, invalidator, pause, busy, idle):
        """Put the second-level TLB before the walker; add to what is ``busy`` and what ``idle``."""
        m.submodules.l2 = l2 = L2Tlb(self._config, late=True)
        connect(m, arbiter.walk, l2.walk)
        connect(m, l2.walkers, walker.walk)
        m.d.comb += [
            l2.vpn.eq(arbiter.vpn),
            l2.drop.eq(invalidator.drop),
            self.events.l2.eq(l2.events),
        ]
        busy.append(l2.busy)
        if self._config.prefetches:
            idle.append(l2.idle)
            m.d.comb += [
                l2.spare.eq(walker.spare),
                l2.crowded.eq(walker.crowded),
                walker.withdraw.eq(l2.withdraw),
                l2.pause.eq(pause),
            ]

    def _effective_control(self, m):
        """Return ``control`` with zeros for what the paging mode or CR4.PCIDE switches off.

        The components then need not ask again: without CR4.PCIDE all entries have PCID 0.
        """
        control = Signal.like(self.control)
        m.d.comb += [
            control.eq(self.control),
            control.pcid.eq(Mux(self.control.pcide, self.control.pcid, 0)),
        ]
        for name in ignored_registers(self._config.mode):
            m.d.comb += control[name].eq(0)
        return control


def _pulse_members(config):
    """Return the ports for invalidating operations that come as pulses."""
    return {"invalidate": In(invalidate_pulse_layout(config)), "invalidate_busy": Out(1)}
