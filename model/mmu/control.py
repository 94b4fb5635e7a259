"""What an access is, and the registers it is made under."""

from dataclasses import dataclass

from ..x86 import AccessKind, Cr0, Cr4, Efer

__all__ = ["Access", "Control"]


@dataclass(frozen=True, slots=True)
class Control:
    """The registers that govern translation, with the values that software wrote to them."""

    cr3: int
    cr0: int = Cr0.PG | Cr0.WP
    cr4: int = Cr4.PSE | Cr4.PAE | Cr4.PGE
    efer: int = Efer.LME | Efer.LMA | Efer.NXE
    pkru: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """One access to a linear address.

    ``user`` is an access at CPL 3, ``implicit`` one to a system structure, which is a supervisor
    access at any CPL; ``ac`` is EFLAGS.AC; ``stack`` marks an access through SS, which ends in
    #SS and not #GP if its address is not canonical.
    """

    vaddr: int
    kind: AccessKind = AccessKind.READ
    user: bool = False
    implicit: bool = False
    ac: bool = False
    stack: bool = False
