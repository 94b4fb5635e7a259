"""The engine without hardware: the golden walk of every access, with empty TLBs."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...model.mmu.walk import Access, Control, Walk, walk
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import AccessKind, PagingMode
from .base import ANSWER, OP_ACCESS, OP_EXCHANGE, OP_READ, Run, peer_access

__all__ = ["ModelEngine", "golden_walk"]

REGISTERS = ("cr3", "cr0", "cr4", "efer", "pkru")
FLAGS = ("user", "implicit", "ac", "stack")
KINDS = tuple(AccessKind)


class ModelEngine:
    """Answers with ``model.mmu.walk``; invalidations and waits have nothing to do."""

    def __init__(self, mode: PagingMode, paddr_bits: int = 40) -> None:
        self.mode = mode
        self.paddr_bits = paddr_bits
        self._pages = {level: index for index, level in enumerate(mode.pages)}

    def run(self, memory: PhysicalMemory, commands: NDArray[np.void]) -> Run:
        """Carry out ``commands``; see ``Engine.run``."""
        # Plain tuples on the way in and out: storing into numpy row by row costs more than a walk.
        registers, flags = commands[list(REGISTERS)].tolist(), commands[list(FLAGS)].tolist()
        heads = commands[["op", "vaddr", "kind", "new"]].tolist()
        control_of = cache(Control)
        answers = []
        for (op, vaddr, kind, new), flag, values in zip(heads, flags, registers, strict=True):
            if op == OP_ACCESS:
                access = Access(vaddr, KINDS[kind], *map(bool, flag))
                result = walk(memory, self.mode, control_of(*values), access, self.paddr_bits)
                answers.append(self._answer(result))
            elif op in (OP_EXCHANGE, OP_READ):
                value, fault, vector = peer_access(memory, self.mode.entry_bytes, op, vaddr, new)
                answers.append((0, 0, 0, 0, value, 0, fault, vector, 0, 0))
            else:
                answers.append(NOTHING)
        return Run(np.array(answers, ANSWER))

    def _answer(self, result: Walk) -> tuple[int, ...]:
        """Return the outcome of a walk in the order of the fields of ``ANSWER``."""
        if result.fault is not None:
            fault = result.fault
            return 0, fault.vaddr, 0, 0, 0, fault.error_code, 1, fault.vector, 0, 0
        page = self._pages[result.page] if result.page is not None else 0
        return result.paddr, 0, 0, 0, 0, 0, 0, 0, page, result.memory_type


NOTHING = (0,) * len(ANSWER.names or ())


def golden_walk(
    memory: PhysicalMemory, mode: PagingMode, command: np.void, paddr_bits: int = 40
) -> tuple[Control, Walk]:
    """Return the registers and the walk of one access command, for those who want every level."""
    control = Control(*command[list(REGISTERS)].item())
    access = Access(int(command["vaddr"]), KINDS[command["kind"]],
                    *map(bool, command[list(FLAGS)].item()))
    return control, walk(memory, mode, control, access, paddr_bits)
