"""The registers that govern translation, as the MMU's ``control`` port has them."""

from collections.abc import Mapping
from functools import lru_cache

from ...x86 import PAGE_SHIFT, Cr0, Cr4, Efer, PagingMode
from ..control import Control
from ..entry_format import EntryFormat

__all__ = ["ControlView", "view_of"]


class ControlView:
    """The registers with what the mode or CR4.PCIDE switches off as 0, and what follows from them.

    Parameters
    ----------
    mode : PagingMode
        The paging mode.
    paddr_bits : int
        Width of a physical address.
    values : mapping
        The fields of the port by name: ``root``, ``pcid``, ``pkru``, and the bits ``pg``, ``wp``,
        ``pse``, ``pge``, ``pcide``, ``smep``, ``smap``, ``pke`` and ``nxe``.
    """

    __slots__ = ("control", "format", "mode", "nxe", "pcid", "pcide", "pg", "pge", "registers",
                 "root")

    def __init__(self, mode: PagingMode, paddr_bits: int, values: Mapping[str, int]) -> None:
        self.mode = mode
        self.pg, self.pge = bool(values["pg"]), bool(values["pge"])
        self.pcide = bool(values["pcide"] and mode.has_pcids)
        self.pcid = values["pcid"] if self.pcide else 0
        self.nxe = bool(values["nxe"] and mode.has_execute_disable)
        has_keys = mode.has_protection_keys
        bits = (
            (Cr4.PSE, values["pse"] and mode.has_pse), (Cr4.PGE, self.pge),
            (Cr4.SMEP, values["smep"]), (Cr4.SMAP, values["smap"]),
            (Cr4.PKE, values["pke"] and has_keys),
            (Cr4.PAE, mode.has_execute_disable))  # as it must be in this mode
        self.control = Control(
            values["root"] << PAGE_SHIFT,
            cr0=Cr0.PG * self.pg | (Cr0.WP if values["wp"] else 0),
            cr4=sum(bit for bit, is_set in bits if is_set),
            efer=Efer.NXE * self.nxe, pkru=values["pkru"] if has_keys else 0)
        # What operations are checked by: the PCID whether or not it is in use.
        self.registers = Control(values["root"] << PAGE_SHIFT | values["pcid"],
                                 cr4=Cr4.PCIDE * self.pcide)
        self.format = EntryFormat(mode, self.control, paddr_bits)
        self.root = self.format.table_address(self.control.cr3)


@lru_cache(maxsize=4096)
def _view(mode: PagingMode, paddr_bits: int, items: tuple[tuple[str, int], ...]) -> ControlView:
    return ControlView(mode, paddr_bits, dict(items))


def view_of(mode: PagingMode, paddr_bits: int, values: Mapping[str, int]) -> ControlView:
    """Return the view of these values; the same for the same ones, as long as it is kept."""
    return _view(mode, paddr_bits, tuple(values.items()))
