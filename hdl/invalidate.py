"""INVLPG, INVPCID, MOV CR3, MOV CR4 and MOV CR0: what to drop where. [SDM 4.10.4.1]"""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT, Cr0, Cr3, Cr4
from .shapes import InvalidateOp, control_layout, drop_layout, invalidate_layout

__all__ = ["Invalidator"]


class Invalidator(wiring.Component):
    """Carries out one invalidation at a time, once nothing is under way.

    As long as an operation is offered, the ports accept no requests; it is accepted, and its
    entries are dropped, in the first cycle in which no request waits for its answer. So every
    answer given after an operation is accepted comes from a walk that began after it.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    operation : In(stream)
        The operation.
    control : In(control_layout)
        Control state before the operation; ``pcid`` is 0 unless ``pcide`` is set.
    idle : In(1)
        No request waits for its answer.
    pause : Out(1)
        The ports must accept no requests.
    drop : Out(drop_layout)
        What the TLBs drop in this cycle.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "operation": In(stream.Signature(invalidate_layout(config))),
            "control": In(control_layout(config)),
            "idle": In(1),
            "pause": Out(1),
            "drop": Out(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        operation, drop = self.operation.payload, self.drop
        needed = Signal()
        m.d.comb += [
            self.pause.eq(self.operation.valid),
            self.operation.ready.eq(self.idle),
            drop.valid.eq(self.operation.valid & self.idle & needed),
            drop.vpn.eq(operation.vaddr[PAGE_SHIFT:]),
        ]
        with m.Switch(operation.op):
            with m.Case(InvalidateOp.INVLPG):
                m.d.comb += [needed.eq(1), drop.by_address.eq(1), drop.by_pcid.eq(1),
                             drop.globals.eq(1), drop.pcid.eq(self.control.pcid)]
            with m.Case(InvalidateOp.INVPCID_ADDRESS):
                m.d.comb += [needed.eq(1), drop.by_address.eq(1), drop.by_pcid.eq(1),
                             drop.pcid.eq(operation.pcid)]
            with m.Case(InvalidateOp.INVPCID_CONTEXT):
                m.d.comb += [needed.eq(1), drop.by_pcid.eq(1), drop.pcid.eq(operation.pcid)]
            with m.Case(InvalidateOp.INVPCID_ALL):
                m.d.comb += [needed.eq(1), drop.globals.eq(1)]
            with m.Case(InvalidateOp.INVPCID_ALL_NON_GLOBAL):
                m.d.comb += needed.eq(1)
            with m.Case(InvalidateOp.MOV_CR3):
                keep = self.control.pcide & operation.new[_bit(Cr3.NO_FLUSH)]
                pcid = Mux(self.control.pcide, operation.new & Cr3.PCID, 0)
                m.d.comb += [needed.eq(~keep), drop.by_pcid.eq(1), drop.pcid.eq(pcid)]
            with m.Case(InvalidateOp.MOV_CR4):
                self._mov_cr4(m, needed)
            with m.Case(InvalidateOp.MOV_CR0):
                paging = _bit(Cr0.PG)
                m.d.comb += [needed.eq(operation.old[paging] & ~operation.new[paging]),
                             drop.globals.eq(1)]
        return m

    def _mov_cr4(self, m, needed):
        """Drop everything, the current PCID's and global entries, or nothing."""
        operation, drop = self.operation.payload, self.drop
        changed = operation.old ^ operation.new
        cleared, set_ = operation.old & ~operation.new, ~operation.old & operation.new
        # PSE changes what a PDE means in 32-bit paging; the SDM's list for PGE holds for it too.
        everything = (changed & (Cr4.PGE | Cr4.PSE)).any() | (cleared & Cr4.PCIDE).any()
        current = (changed & Cr4.PAE).any() | (set_ & Cr4.SMEP).any()
        m.d.comb += [
            needed.eq(everything | current),
            drop.globals.eq(1),
            drop.by_pcid.eq(~everything),
            drop.pcid.eq(self.control.pcid),
        ]


def _bit(mask):
    """Return the position of the one bit of ``mask``."""
    return mask.bit_length() - 1
