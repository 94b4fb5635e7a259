"""What an access is, and the registers it is made under."""

from dataclasses import dataclass, field

from ..x86 import PAGE_BYTES, AccessKind, Cr0, Cr4, Efer, Purpose
from .widths import check_width

__all__ = ["QUIET", "REGISTER_WIDTHS", "Access", "Control"]

QUIET = (Purpose.PROBE, Purpose.LOOKUP)
"""What has no effect, and is told of no fault."""

REGISTER_WIDTHS = {"cr3": 64, "cr0": 64, "cr4": 64, "efer": 64, "pkru": 32}
"""The width in bits of each register in ``Control``. [SDM 2.5, 2.2.1, 4.6.2]"""


@dataclass(frozen=True, slots=True)
class Control:
    """The registers that govern translation, with the values that software wrote to them.

    PKRU has 32 bits, the others 64, of which 32-bit paging looks at the low half. A value that is
    wider or negative is a ``ValueError``, one that is no integer a ``TypeError``.
    """

    cr3: int
    cr0: int = Cr0.PG | Cr0.WP
    cr4: int = Cr4.PSE | Cr4.PAE | Cr4.PGE
    efer: int = Efer.LME | Efer.LMA | Efer.NXE
    pkru: int = 0

    def __post_init__(self) -> None:
        try:
            sound = not ((self.cr3 | self.cr0 | self.cr4 | self.efer) >> 64 or self.pkru >> 32)
        except (TypeError, OverflowError):
            sound = False
        if not sound:
            for name, bits in REGISTER_WIDTHS.items():
                check_width(name.upper(), getattr(self, name), bits)


@dataclass(frozen=True, slots=True)
class Access:
    """One access to a linear address.

    ``user`` is an access at CPL 3, ``implicit`` one to a system structure, which is a supervisor
    access at any CPL; ``ac`` is EFLAGS.AC; ``stack`` marks an access through SS, which ends in
    #SS and not #GP if its address is not canonical. ``purpose`` says whether it takes place, or is
    only asked about. ``size`` is how many bytes it is of, from ``vaddr`` on; ``walk`` judges the
    first of them, ``crossing.walk_pages`` all. ``vaddr`` has at most 64 bits, and no more than the
    paging mode translates once there is one; without paging the low 32 count.

    Raises
    ------
    ValueError
        If ``vaddr`` is negative or wider, or ``size`` not from 1 to the 4096 bytes of a page.
    TypeError
        If ``vaddr`` or ``size`` is no integer, or ``kind`` no ``AccessKind``.
    """

    vaddr: int
    kind: AccessKind = AccessKind.READ
    user: bool = False
    implicit: bool = False
    ac: bool = False
    stack: bool = False
    purpose: Purpose = field(default=Purpose.ACCESS, kw_only=True)
    size: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if self.vaddr.__class__ is not int or self.vaddr >> 64:  # as a rule all is told by this
            check_width("Linear address", self.vaddr, 64)
        if self.kind.__class__ is not AccessKind:
            raise TypeError(f"Access kind must be an AccessKind, not {self.kind!r}")
        if self.size != 1:
            self._check_size()

    def _check_size(self) -> None:
        if not isinstance(self.size, int):
            raise TypeError(f"Access size must be an integer, not {self.size!r}")
        if not 1 <= self.size <= PAGE_BYTES:
            raise ValueError(f"Access size must be from 1 to {PAGE_BYTES} bytes, not {self.size}")
