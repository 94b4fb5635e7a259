"""The registers of an emulated processor, by name."""

from typing import Any

from .emulator import Emulator

__all__ = ["FLAGS", "CpuRegisters"]

FLAGS = "eflags"
USER_FLAGS = 0x24_0DD5  # CF, PF, AF, ZF, SF, TF, DF, OF, AC, ID
ALWAYS_FLAGS = 1 << 9 | 1 << 1  # IF
NAMES = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip")
WORDS = frozenset({FLAGS, *(f"r{number}" for number in range(8, 16)),
                   *(prefix + name for prefix in "er" for name in NAMES)})
"""CpuRegisters of one word, which are read and written often."""


class CpuRegisters:
    """The registers of an emulator.

    Parameters
    ----------
    emulator
        Whose they are.
    is_long
        Whether they have 64 bits.
    """

    def __init__(self, emulator: Emulator, is_long: bool) -> None:
        self._unicorn, self._uc = emulator, emulator.uc
        self._numbers: dict[str, int] = {}
        self._pc, self._sp, self._ax = (
            ("rip", "rsp", "rax") if is_long else ("eip", "esp", "eax"))

    def read(self, register: str) -> int:
        """Return a register by its name in lower case, ``fs_base`` and ``xmm0`` among them."""
        if register == FLAGS:
            # After CMPXCHG8B Unicorn may have anything there.
            return self._unicorn.read_word(self._number(FLAGS)) & USER_FLAGS | ALWAYS_FLAGS
        if register in WORDS:
            return self._unicorn.read_word(self._number(register))
        value: int = self._uc.reg_read(self._number(register))
        return value

    def write(self, register: str, value: int) -> None:
        """Write a register."""
        if register in WORDS:
            self._unicorn.write_word(self._number(register), value)
        else:
            self._uc.reg_write(self._number(register), value)

    def read_x87(self, place: int) -> tuple[int, int]:
        """Return mantissa and exponent, with the sign, of an x87 register, by its place."""
        mantissa, exponent = self._uc.reg_read(self._number(f"fp{place}"))
        return int(mantissa), int(exponent)

    def write_x87(self, place: int, mantissa: int, exponent: int) -> None:
        """Write an x87 register, by its place; ``fpsw`` says which is the top of the stack."""
        self._uc.reg_write(self._number(f"fp{place}"), (mantissa, exponent))

    def _number(self, register: str) -> int:
        if register not in self._numbers:
            self._numbers[register] = self._unicorn.register(register)
        return self._numbers[register]

    @property
    def pc(self) -> int:
        """The address of the next instruction."""
        return self.read(self._pc)

    @pc.setter
    def pc(self, address: int) -> None:
        self.write(self._pc, address)

    @property
    def sp(self) -> int:
        """The stack pointer."""
        return self.read(self._sp)

    @sp.setter
    def sp(self, address: int) -> None:
        self.write(self._sp, address)

    def save(self) -> Any:
        """Return all registers, for ``restore``."""
        return self._uc.context_save()
