"""Which invalidating operations raise #GP(0), and so must drop nothing. [SDM vol. 2]"""

from amaranth import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import Cr0, Cr3, Cr4
from .bitfield import field
from .canonical import is_canonical
from .shapes import InvalidateOp, control_layout, invalidate_layout

__all__ = ["OperationCheck"]


class OperationCheck(wiring.Component):
    """Says which operations are no operations but general-protection faults. Combinational.

    It goes by the operands and by ``control`` as they are, not by CPL, CS.L or bits that are
    reserved for want of a feature of the processor: these are not shown to the MMU.

    - INVPCID: a type above 3, a bit of 63:12 of the descriptor, a PCID for types 0 and 1 without
      CR4.PCIDE, an address that is not canonical for type 0. INVLPG never.
    - MOV to CR3 (64-bit registers): a bit at or above MAXPHYADDR, but for bit 63 under CR4.PCIDE.
    - MOV to CR0: PG without PE, NW without CD, PG cleared under CR4.PCIDE, an upper half.
    - MOV to CR4: PCIDE set outside of IA-32e mode, or while CR3 has bits 11:0; in IA-32e mode PAE
      clear, or LA57 changed; an upper half.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    operation : In(invalidate_layout)
        The operation.
    control : In(control_layout)
        The registers before it, ``pcid`` being CR3 bits 11:0 whether or not CR4.PCIDE is set.
    refused : Out(1)
        It raises #GP(0).
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "operation": In(invalidate_layout(config)),
            "control": In(control_layout(config)),
            "refused": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        mode, operation, refused = self._config.mode, self.operation, self.refused
        long_mode = mode.entry_bytes == 8
        pcide = self.control.pcide if mode.has_pcids else Const(0)
        upper = operation.new[32:].any() if long_mode else Const(0)
        reserved = operation.type.any() | operation.reserved.any()
        no_pcid = ~pcide & operation.pcid.any()
        with m.Switch(operation.op):
            with m.Case(InvalidateOp.INVPCID_ADDRESS):
                m.d.comb += refused.eq(
                    reserved | no_pcid | ~is_canonical(mode, operation.vaddr))
            with m.Case(InvalidateOp.INVPCID_CONTEXT):
                m.d.comb += refused.eq(reserved | no_pcid)
            with m.Case(InvalidateOp.INVPCID_ALL, InvalidateOp.INVPCID_ALL_NON_GLOBAL):
                m.d.comb += refused.eq(reserved)
            with m.Case(InvalidateOp.MOV_CR3):
                if long_mode:
                    above = operation.new[self._config.paddr_bits:63].any()
                    m.d.comb += refused.eq(above | (field(operation.new, Cr3.NO_FLUSH) & ~pcide))
            with m.Case(InvalidateOp.MOV_CR0):
                m.d.comb += refused.eq(upper | self._bad_cr0(pcide))
            with m.Case(InvalidateOp.MOV_CR4):
                m.d.comb += refused.eq(upper | self._bad_cr4(long_mode))
        return m

    def _bad_cr0(self, pcide):
        old, new = self.operation.old, self.operation.new
        return Cat(
            field(new, Cr0.PG) & ~field(new, Cr0.PE),
            field(new, Cr0.NW) & ~field(new, Cr0.CD),
            field(old, Cr0.PG) & ~field(new, Cr0.PG) & pcide,
        ).any()

    def _bad_cr4(self, long_mode):
        old, new = self.operation.old, self.operation.new
        sets_pcide = field(new, Cr4.PCIDE) & ~field(old, Cr4.PCIDE)
        if not long_mode:
            return sets_pcide
        return Cat(
            sets_pcide & self.control.pcid.any(),
            ~field(new, Cr4.PAE),
            field(old, Cr4.LA57) ^ field(new, Cr4.LA57),
        ).any()
