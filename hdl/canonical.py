"""Canonical linear addresses. [SDM 3.3.7.1]"""

from amaranth import Const

__all__ = ["is_canonical"]


def is_canonical(mode, vaddr):
    """Return one bit: whether ``vaddr`` is canonical in the paging mode ``mode``. Combinational.

    A linear address is canonical if all bits above those that paging translates equal the highest
    of these: in 4-level paging, if bits 63:48 equal bit 47. Where paging translates every bit, as
    in 32-bit paging, each address is canonical.

    Parameters
    ----------
    mode : :class:`PagingMode`
        Paging mode, which says how many bits are translated.
    vaddr : value-like
        Linear address of ``mode.vaddr_bits`` bits.
    """
    if mode.translated_bits == mode.vaddr_bits:
        return Const(1)
    sign_and_above = vaddr[mode.translated_bits - 1:]
    return sign_and_above.all() | ~sign_and_above.any()
