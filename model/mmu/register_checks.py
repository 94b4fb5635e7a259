"""Which operations on control registers and TLBs raise #GP(0) and do nothing.

[SDM volume 2, INVPCID, and MOV, Move to/from Control Registers; volume 3A, 2.5, 4.1, 4.10.1]
"""

from ..x86 import Cr0, Cr3, Cr4, InvalidateOp, PagingMode
from .control import Control
from .walk import is_canonical

__all__ = ["raises_gp"]

HIGHEST_TYPE = 3
PCID_LIMIT = 1 << 12


def raises_gp(
    mode: PagingMode,
    control: Control,
    op: InvalidateOp,
    *,
    kind: int = 0,
    vaddr: int = 0,
    descriptor: int = 0,
    old: int = 0,
    new: int = 0,
    paddr_bits: int = 40,
) -> bool:
    """Return whether ``op`` raises #GP(0) under the registers ``control``, at CPL 0.

    ``kind`` is the register operand of INVPCID, its type, ``descriptor`` the low 64 bits of its
    memory operand and ``vaddr`` the high ones; ``new`` is what a MOV to CR0, CR3 or CR4 writes, of
    64 bits, and ``old`` what CR0 or CR4 held. ``paddr_bits`` is MAXPHYADDR. Bits that are reserved
    for want of a feature of the processor are not told of here, nor is CS.L.
    """
    long_mode = mode.entry_bytes == 8
    if op in (InvalidateOp.MOV_CR0, InvalidateOp.MOV_CR3, InvalidateOp.MOV_CR4):
        if not long_mode:
            new &= 0xFFFF_FFFF  # what MOV writes outside of 64-bit mode
        if op is InvalidateOp.MOV_CR3:
            return _bad_cr3(control, new, paddr_bits) if long_mode else False
        if new >> 32:
            return True
        if op is InvalidateOp.MOV_CR0:
            return _bad_cr0(control, old, new, long_mode=long_mode)
        return _bad_cr4(control, old, new, long_mode=long_mode)
    if op is InvalidateOp.INVLPG:
        return False  # not even for an address that is not canonical
    return _bad_invpcid(mode, control, kind, vaddr, descriptor)


def _bad_invpcid(
    mode: PagingMode, control: Control, kind: int, vaddr: int, descriptor: int
) -> bool:
    if kind > HIGHEST_TYPE or descriptor >= PCID_LIMIT:
        return True
    enabled = bool(control.cr4 & Cr4.PCIDE) and mode.has_pcids
    if kind in (0, 1) and descriptor and not enabled:
        return True
    return kind == 0 and not is_canonical(mode, vaddr)


def _bad_cr3(control: Control, new: int, paddr_bits: int) -> bool:
    """Whether a bit above the address is set, other than 63 under CR4.PCIDE. [SDM 4.5]"""
    if control.cr4 & Cr4.PCIDE:
        new &= ~Cr3.NO_FLUSH
    return new >= 1 << paddr_bits


def _bad_cr0(control: Control, old: int, new: int, *, long_mode: bool) -> bool:
    if new & Cr0.PG and not new & Cr0.PE:
        return True
    if new & Cr0.NW and not new & Cr0.CD:
        return True
    cleared = old & ~new
    return bool(cleared & Cr0.PG and control.cr4 & Cr4.PCIDE and long_mode)


def _bad_cr4(control: Control, old: int, new: int, *, long_mode: bool) -> bool:
    if new & ~old & Cr4.PCIDE and (control.cr3 & Cr3.PCID or not long_mode):
        return True  # PCIDs begin as 0, and in IA-32e mode alone
    if not long_mode:
        return False
    # IA-32e mode needs PAE, and does not change the number of levels.
    return bool(not new & Cr4.PAE or (old ^ new) & Cr4.LA57)
