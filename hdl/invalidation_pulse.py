"""Invalidating operations that come as a pulse, and are answered by being busy."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .operation_check import OperationCheck
from .separate import separate_register
from .shapes import (
    control_layout,
    invalidate_layout,
    invalidate_pulse_layout,
)

__all__ = ["InvalidationPulse"]


class InvalidationPulse(wiring.Component):
    """Holds an operation from its ``strobe`` on, until all that it drops is dropped.

    With a strobe in cycle *t* the operation is offered from *t* + 1 on, one cycle later than one
    that comes by the stream, and ``busy`` is set from then on to the last cycle in which a
    component is at work on it. The ports must accept no request in *t* either. A strobe while
    ``busy`` is set is ignored.

    The registers are looked at in the cycle of the strobe alone, and may hold what they were before
    the operation, or what they are after it: it drops the same. INVLPG and MOV to CR4 go by CR3
    bits 11:0, which they do not change. CR4.PCIDE is changed by MOV to CR4 alone: if it clears it,
    everything goes, and it may set it only while these bits are 0.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    pulse : In(invalidate_pulse_layout)
        The operation that software asks for.
    control : In(control_layout)
        The registers, before or after it.
    operation : Out(stream), registers : Out(control_layout)
        The operation for the ``Invalidator``, and of the registers what that goes by: ``pcide``,
        and ``pcid``, 0 without ``pcide``. The rest is 0.
    refused : Out(1)
        The operation under way is a general-protection fault, as ``OperationCheck`` has it.
        Without ``config.checks`` it is none.
    flush : In(1), working : In(1)
        Whether the operation drops something in this cycle, and whether a component is still at
        work on a drop of an earlier one.
    busy : Out(1)
        Whether an operation is under way.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "pulse": In(invalidate_pulse_layout(config)),
            "control": In(control_layout(config)),
            "operation": Out(stream.Signature(invalidate_layout(config))),
            "registers": Out(control_layout(config)),
            "refused": Out(1),
            "flush": In(1),
            "working": In(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        pulse, operation = self.pulse, self.operation
        held = separate_register(operation.payload.shape(), "held")
        dropping = Signal()  # what was held was accepted, and dropped something
        taken = Signal()
        pcide = self.control.pcide if self._config.mode.has_pcids else Const(0)
        m.d.comb += [
            taken.eq(pulse.strobe & ~self.busy),
            operation.payload.eq(held),
            self.busy.eq(operation.valid | (dropping & self.working)),
        ]
        with m.If(taken):
            m.d.sync += [
                operation.valid.eq(1),
                dropping.eq(0),
                *(held[name].eq(pulse[name]) for name in held.shape().members),
                self.registers.pcide.eq(pcide),
                self.registers.pcid.eq(Mux(pcide, self.control.pcid, 0)),
            ]
        with m.Elif(operation.ready & operation.valid):
            m.d.sync += [operation.valid.eq(0), dropping.eq(self.flush)]
        with m.Elif(~self.working):
            m.d.sync += dropping.eq(0)
        if self._config.checks:
            self._check(m, taken)
        return m

    def _check(self, m, taken):
        """Judge the operation in the cycle of its strobe, and tell while it is held."""
        m.submodules.check = check = OperationCheck(self._config)
        refused = Signal()
        m.d.comb += [
            *(check.operation[name].eq(self.pulse[name])
              for name in check.operation.shape().members),
            check.control.eq(self.control),
            self.refused.eq(refused & self.operation.valid),
        ]
        with m.If(taken):
            m.d.sync += refused.eq(check.refused)
