"""The control registers of a processor, as files tell them or a user gives them."""

from dataclasses import dataclass

from ...model.mmu.control import Control
from ...model.x86 import Cr0, Cr4, Efer, PagingMode, selected_mode

__all__ = ["CpuState"]

LONG_EFER = Efer.LME | Efer.LMA | Efer.NXE
"""What EFER is taken to be in long mode where a file does not tell: Linux sets NXE."""


@dataclass(frozen=True, slots=True)
class CpuState:
    """A processor's name and the registers that select its page tables."""

    name: str
    control: Control

    @classmethod
    def of(cls, name: str, *, cr0: int, cr3: int, cr4: int, long_mode: bool) -> "CpuState":
        """Return the state of a processor of which EFER is not known, but whether in long mode."""
        return cls(name, Control(cr3, cr0, cr4, LONG_EFER if long_mode else 0))

    @classmethod
    def in_mode(cls, name: str, mode: PagingMode, cr3: int) -> "CpuState":
        """Return the state of a processor that runs ``mode``, the rest as Linux has it."""
        cr4 = Cr4.PGE | Cr4.PSE
        if mode.has_pcids:
            cr4 |= Cr4.PAE | (Cr4.LA57 if mode.translated_bits == 57 else 0)
        return cls.of(name, cr0=Cr0.PG | Cr0.WP, cr3=cr3, cr4=cr4, long_mode=mode.has_pcids)

    @property
    def paging(self) -> bool:
        """Whether paging is on."""
        return bool(self.control.cr0 & Cr0.PG)

    @property
    def mode(self) -> PagingMode | None:
        """The paging mode, None for PAE paging, which is not known here, and without paging."""
        return selected_mode(self.control.cr4, self.control.efer) if self.paging else None
