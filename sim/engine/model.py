"""The engine without hardware: the golden walk of every access, with empty TLBs."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...model.mmu.batch import Accesses, Controls, EntrySource, FrameSource, walk_batch
from ...model.mmu.walk import Access, Control, Walk, walk
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import AccessKind, PagingMode
from .base import (
    ANSWER,
    OP_ACCESS,
    OP_DATA,
    OP_EXCHANGE,
    OP_READ,
    Run,
    access_memory,
    check_sizes,
)

__all__ = ["ModelEngine", "golden_walk"]

REGISTERS = ("cr3", "cr0", "cr4", "efer", "pkru")
FLAGS = ("user", "implicit", "ac", "stack")
KINDS = tuple(AccessKind)


class ModelEngine:
    """Answers with the golden walk; invalidations and waits have nothing to do."""

    SHORTEST_BATCH = 28
    """So many accesses in a row are walked together; fewer are faster one by one (measured)."""

    def __init__(self, mode: PagingMode, paddr_bits: int = 40) -> None:
        self.mode = mode
        self.paddr_bits = paddr_bits
        self._pages = {level: index for index, level in enumerate(mode.pages)}

    def run(
        self, memory: PhysicalMemory, commands: NDArray[np.void], *, stop_on_fault: bool = False
    ) -> Run:
        """Carry out ``commands``; see ``Engine.run``."""
        check_sizes(commands)
        if stop_on_fault:  # walked together, all would set flags
            return self._one_by_one(memory, commands, stop_on_fault=True)
        runs = _long_runs(commands["op"] == OP_ACCESS, self.SHORTEST_BATCH)
        if not runs:
            return self._one_by_one(memory, commands)
        answers, source, done = np.zeros(len(commands), ANSWER), FrameSource(memory, self.mode), 0
        for first, stop in runs:
            answers[done:first] = self._one_by_one(memory, commands[done:first]).answers
            answers[first:stop] = self.answers(source, commands[first:stop])
            done = stop
        answers[done:] = self._one_by_one(memory, commands[done:]).answers
        return Run(answers)

    def answers(self, source: EntrySource, commands: NDArray[np.void]) -> NDArray[np.void]:
        """Return the answers to access ``commands`` through the page tables in ``source``."""
        control = Controls(*(commands[name] for name in REGISTERS))
        access = Accesses(commands["vaddr"], commands["kind"], *(commands[name] for name in FLAGS))
        walks = walk_batch(source, self.mode, control, access, self.paddr_bits)
        answers = np.zeros(len(commands), ANSWER)
        for name in ("paddr", "vaddr", "error", "fault", "vector", "memory_type"):
            answers[name] = getattr(walks, name)
        answers["page"] = np.maximum(walks.page, 0)
        return answers

    def _one_by_one(
        self, memory: PhysicalMemory, commands: NDArray[np.void], *, stop_on_fault: bool = False
    ) -> Run:
        # Plain tuples on the way in and out: storing into numpy row by row costs more than a walk.
        registers, flags = commands[list(REGISTERS)].tolist(), commands[list(FLAGS)].tolist()
        heads = commands[["op", "vaddr", "kind", "new", "size"]].tolist()
        control_of = cache(Control)
        answers = []
        for (op, vaddr, kind, new, size), flag, values in zip(
                heads, flags, registers, strict=True):
            if op in (OP_ACCESS, OP_DATA):
                access = Access(vaddr, KINDS[kind], *map(bool, flag))
                result = walk(memory, self.mode, control_of(*values), access, self.paddr_bits)
                answer = self._answer(memory, result, new, size if op == OP_DATA else 0)
                answers.append(answer)
                if stop_on_fault and answer[FAULT]:
                    return Run(np.array(answers, ANSWER), stopped=True)
            elif op in (OP_EXCHANGE, OP_READ):
                value, fault, vector = access_memory(
                    memory, vaddr, self.mode.entry_bytes, new=new if op == OP_EXCHANGE else None)
                answers.append((0, 0, 0, 0, value, 0, fault, vector, 0, 0))
            else:
                answers.append(NOTHING)
        return Run(np.array(answers, ANSWER))

    def _answer(
        self, memory: PhysicalMemory, result: Walk, new: int, size: int
    ) -> tuple[int, ...]:
        """Return the outcome of a walk in the order of the fields of ``ANSWER``.

        Access ``size`` bytes of data if it is without fault, and store ``new`` if it is a write.
        """
        access, fault, value = result.access, result.fault, 0
        if fault is not None:
            return 0, fault.vaddr, 0, 0, 0, fault.error_code, 1, fault.vector, 0, 0
        if size:
            is_write = access.kind is AccessKind.WRITE
            value, failed, vector = access_memory(
                memory, result.paddr, size, new=new if is_write else None)
            if failed:
                return 0, access.vaddr, 0, 0, 0, 0, 1, vector, 0, 0
        page = self._pages[result.page] if result.page is not None else 0
        return result.paddr, 0, 0, 0, value, 0, 0, 0, page, result.memory_type


NOTHING = (0,) * len(ANSWER.names or ())
FAULT = (ANSWER.names or ()).index("fault")


def _long_runs(chosen: NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    """Return first and last, exclusive, of ``shortest`` or more ``chosen`` ones in a row."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).reshape(-1, 2)
    runs = edges[edges[:, 1] - edges[:, 0] >= shortest]
    return [(int(first), int(stop)) for first, stop in runs]


def golden_walk(
    memory: PhysicalMemory, mode: PagingMode, command: np.void, paddr_bits: int = 40
) -> tuple[Control, Walk]:
    """Return the registers and the walk of one access command, for those who want every level."""
    control = Control(*command[list(REGISTERS)].item())
    access = Access(int(command["vaddr"]), KINDS[command["kind"]],
                    *map(bool, command[list(FLAGS)].item()))
    return control, walk(memory, mode, control, access, paddr_bits)
