"""How a program calls the kernel: where the number and the arguments are. [syscall(2)]"""

from collections.abc import Mapping
from dataclasses import dataclass

from .call_names import I386_NAMES, X86_64_NAMES
from .cpu import Cpu
from .stop import CallKind

__all__ = ["ABIS", "Abi"]


@dataclass(frozen=True, slots=True)
class Abi:
    """One way to call the kernel.

    Members
    -------
    kind
        The instruction.
    names
        The name of each number.
    number
        The register with the number, and then with the result.
    arguments
        The registers with the arguments, in their order.
    word_bytes
        The size of a register.
    clobbered
        Registers that get the address to return to, and the flags.
    """

    kind: CallKind
    names: Mapping[int, str]
    number: str
    arguments: tuple[str, ...]
    word_bytes: int
    clobbered: tuple[str, ...] = ()

    @property
    def number_of(self) -> dict[str, int]:
        """The number of each name."""
        return {name: number for number, name in self.names.items()}

    def take(self, cpu: Cpu) -> tuple[str, tuple[int, ...]]:
        """Return the name and the arguments of the call that a program makes."""
        number = cpu.read(self.number) & 0xFFFF_FFFF
        name = self.names.get(number, f"number {number}")
        return name, tuple(cpu.read(register) for register in self.arguments)

    def answer(self, cpu: Cpu, result: int) -> None:
        """Give the program its result. [do_syscall_64, do_int80_syscall_32]"""
        if self.clobbered:
            address, flags = self.clobbered
            cpu.write(address, cpu.pc)
            cpu.write(flags, cpu.read("eflags"))
        cpu.write(self.number, result & (1 << 8 * self.word_bytes) - 1)


ABIS = {
    True: Abi(CallKind.SYSCALL, X86_64_NAMES, "rax", ("rdi", "rsi", "rdx", "r10", "r8", "r9"), 8,
              ("rcx", "r11")),
    False: Abi(CallKind.INT80, I386_NAMES, "eax", ("ebx", "ecx", "edx", "esi", "edi", "ebp"), 4),
}
"""That of a program, by whether it has 64 bits."""
