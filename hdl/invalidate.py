"""What INVLPG, INVPCID and moves to CR0, CR3 and CR4 drop from the caches. [SDM 4.10.4.1]"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT, Cr0, Cr3, Cr4
from .bitfield import field
from .canonical import is_canonical
from .shapes import (
    InvalidateOp,
    control_layout,
    drop_layout,
    invalidate_layout,
    page_fault_layout,
)

__all__ = ["Invalidator"]


class Invalidator(wiring.Component):
    """Turns invalidating operations and page faults into drops, one after the other.

    As long as an operation is offered, the ports accept no requests. The operation is accepted, and
    its entries are dropped, in the first cycle in which no request waits for its answer. So every
    answer that is given after an operation was accepted comes from a walk that began after it.

    A drop is given in one cycle. While a component is ``busy`` with it, the ports accept no
    requests, and no other drop is given: the operation after it is not accepted, and the next page
    fault not taken.

    A page fault drops the entries that its address and PCID could use, from the TLBs of all ports
    as INVLPG would, but from the walk cache only the tables on the way to the address. It waits for
    no answer: it is dealt with in the cycle in which a port tells it, or where several do, one a
    cycle, before any operation. The ports accept no requests before that is over: a fault that was
    answered tells software that nothing stale is left for its address. Walks may be under way then;
    they see to it themselves that nothing of them is cached.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    operation : In(stream)
        The operation that software asks for, of ``invalidate_layout``.
    control : In(control_layout)
        Control state before the operation; ``pcid`` is 0 unless ``pcide`` is set.
    page_faults : In(page_fault_layout), one for each port
        The page fault that the port has answered and that nothing was dropped for yet.
    faults_taken : Out, one bit for each port
        Whether the drop for the port's page fault is made in this cycle.
    refused : In(1)
        The operation is a general-protection fault, and drops nothing.
    busy : In(1)
        Whether a component is still at work on a drop of an earlier cycle.
    idle : In(1)
        Whether no port holds a request that waits for its answer, and nothing is walked ahead.
        Operations wait for it.
    pause : Out(1)
        Whether the ports must accept no requests.
    drop : Out(drop_layout)
        What the TLBs and the walk cache drop in this cycle.
    flush : Out(1)
        Whether the drop of this cycle is because of an operation, not of a page fault.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "operation": In(stream.Signature(invalidate_layout(config))),
            "control": In(control_layout(config)),
            "page_faults": In(page_fault_layout(config)).array(len(config.ports)),
            "faults_taken": Out(len(config.ports)),
            "refused": In(1),
            "busy": In(1),
            "idle": In(1),
            "pause": Out(1),
            "drop": Out(drop_layout(config)),
            "flush": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        needed = Signal()
        pending = Cat(fault.valid for fault in self.page_faults).any()
        m.d.comb += [
            self.pause.eq(self.operation.valid | pending | self.busy),
            self.operation.ready.eq(self.idle & ~pending & ~self.busy),
            self.flush.eq(self.operation.valid & self.operation.ready & needed & ~self.refused),
            self.drop.valid.eq(self.flush | (pending & ~self.busy)),
        ]
        with m.If(pending):
            self._page_fault(m)
        with m.Else():
            self._operation(m, needed)
        return m

    def _page_fault(self, m):
        """Drop what the first of the pending page faults could use. [SDM 4.10.4.1]"""
        m.d.comb += [
            self.drop.by_address.eq(1), self.drop.by_pcid.eq(1), self.drop.globals.eq(1),
            self.drop.tables_by_address.eq(1)]
        for number, fault in reversed([*enumerate(self.page_faults)]):
            with m.If(fault.valid):
                m.d.comb += [
                    self.drop.vpn.eq(fault.vpn),
                    self.drop.pcid.eq(fault.pcid),
                    self.faults_taken.eq(Mux(self.busy, 0, 1 << number)),
                ]

    def _operation(self, m, needed):
        """Drive ``drop`` with what the operation reaches, ``needed`` with whether it drops it.

        An operation names an address, a PCID, both or neither; what it does not name, it reaches
        whatever it is. ``globals`` is a third question, as global entries belong to no PCID: only
        INVLPG and the operations that reach everything drop them.
        """
        operation, drop = self.operation.payload, self.drop
        canonical = is_canonical(self._config.mode, operation.vaddr)
        m.d.comb += drop.vpn.eq(operation.vaddr[PAGE_SHIFT:])
        with m.Switch(operation.op):
            with m.Case(InvalidateOp.INVLPG):
                m.d.comb += [needed.eq(canonical), drop.by_address.eq(1), drop.by_pcid.eq(1),
                             drop.globals.eq(1), drop.pcid.eq(self.control.pcid)]
            with m.Case(InvalidateOp.INVPCID_ADDRESS):
                m.d.comb += [needed.eq(canonical), drop.by_address.eq(1), drop.by_pcid.eq(1),
                             drop.pcid.eq(operation.pcid)]
            with m.Case(InvalidateOp.INVPCID_CONTEXT):
                m.d.comb += [needed.eq(1), drop.by_pcid.eq(1), drop.pcid.eq(operation.pcid)]
            with m.Case(InvalidateOp.INVPCID_ALL):
                m.d.comb += [needed.eq(1), drop.globals.eq(1)]
            with m.Case(InvalidateOp.INVPCID_ALL_NON_GLOBAL):
                m.d.comb += needed.eq(1)
            with m.Case(InvalidateOp.MOV_CR3):
                keep = self.control.pcide & field(operation.new, Cr3.NO_FLUSH)
                pcid = Mux(self.control.pcide, field(operation.new, Cr3.PCID), 0)
                m.d.comb += [needed.eq(~keep), drop.by_pcid.eq(1), drop.pcid.eq(pcid)]
            with m.Case(InvalidateOp.MOV_CR4):
                self._mov_cr4(m, needed)
            with m.Case(InvalidateOp.MOV_CR0):
                was_on, is_on = field(operation.old, Cr0.PG), field(operation.new, Cr0.PG)
                m.d.comb += [needed.eq(was_on & ~is_on), drop.globals.eq(1)]

    def _mov_cr4(self, m, needed):
        """Drop everything, or the entries of the current PCID and global ones, or nothing."""
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
