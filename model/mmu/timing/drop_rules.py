"""What an invalidating operation, or a page fault, drops. [SDM 4.10.4.1]"""

from ...x86 import PAGE_SHIFT, Cr0, Cr3, Cr4, InvalidateOp
from ..register_checks import raises_gp
from ..walk import is_canonical
from .control_view import ControlView
from .cycle import DropOrder, Operation

__all__ = ["is_gp_fault", "operation_drop", "page_fault_drop"]

BY_ADDRESS = (InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS)


def page_fault_drop(vpn: int, pcid: int) -> DropOrder:
    """Return what a page fault drops: all that its address and PCID could use."""
    return DropOrder(by_address=True, by_pcid=True, globals_too=True, tables_by_address=True,
                     vpn=vpn, pcid=pcid)


def is_gp_fault(operation: Operation, view: ControlView, paddr_bits: int) -> bool:
    """Return whether an operation is a general-protection fault."""
    return raises_gp(
        view.mode, view.registers, operation.op, kind=operation.kind, vaddr=operation.vaddr,
        descriptor=operation.descriptor, old=operation.old, new=operation.new,
        paddr_bits=paddr_bits)


def operation_drop(operation: Operation, view: ControlView) -> DropOrder | None:
    """Return what an operation drops under the registers before it, None if nothing."""
    op, mode = operation.op, view.mode
    if op in BY_ADDRESS:
        if not is_canonical(mode, operation.vaddr):
            return None
        vpn = (operation.vaddr & (1 << mode.translated_bits) - 1) >> PAGE_SHIFT
        if op is InvalidateOp.INVLPG:
            return DropOrder(by_address=True, by_pcid=True, globals_too=True, vpn=vpn,
                             pcid=view.pcid)
        return DropOrder(by_address=True, by_pcid=True, vpn=vpn, pcid=operation.pcid)
    if op is InvalidateOp.INVPCID_CONTEXT:
        return DropOrder(by_pcid=True, pcid=operation.pcid)
    if op is InvalidateOp.INVPCID_ALL:
        return DropOrder(globals_too=True)
    if op is InvalidateOp.INVPCID_ALL_NON_GLOBAL:
        return DropOrder()
    return _mov(operation, view)


def _mov(operation: Operation, view: ControlView) -> DropOrder | None:
    """Return what a MOV to a control register drops."""
    old, new = operation.old, operation.new
    if operation.op is InvalidateOp.MOV_CR3:
        if view.pcide and new & Cr3.NO_FLUSH:
            return None
        return DropOrder(by_pcid=True, pcid=new & Cr3.PCID if view.pcide else 0)
    if operation.op is InvalidateOp.MOV_CR0:
        return DropOrder(globals_too=True) if old & ~new & Cr0.PG else None
    if (old ^ new) & (Cr4.PGE | Cr4.PSE) or old & ~new & Cr4.PCIDE:
        return DropOrder(globals_too=True)
    if (old ^ new) & Cr4.PAE or new & ~old & Cr4.SMEP:
        return DropOrder(by_pcid=True, globals_too=True, pcid=view.pcid)
    return None
