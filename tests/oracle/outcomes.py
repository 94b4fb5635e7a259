"""What became of a case by emulator, golden walk or hardware, and how two of these differ."""

from dataclasses import dataclass, fields

import numpy as np

from pagewalk.model.mmu.walk import Walk, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import Vector

from .cases import Case
from .unicorn_oracle import MAXPHYADDR, Answer, UnicornOracle


@dataclass(frozen=True)
class Outcome:
    """The answer to an access, and page-table memory after it."""

    answer: Answer
    memory: PhysicalMemory


def by_unicorn(oracle: UnicornOracle, case: Case) -> Outcome:
    """Let the emulator do ``case``."""
    memory = case.memory()
    return Outcome(oracle.access(memory, case.control, case.access), memory)


def by_model(case: Case) -> tuple[Outcome, Walk]:
    """Do ``case`` by the golden walk; return the walk as well."""
    memory = case.memory()
    result = walk(memory, case.mode, case.control, case.access, MAXPHYADDR)
    fault = result.fault
    if fault is None:
        answer = Answer(paddr=result.paddr)
    else:
        cr2 = fault.vaddr if fault.vector is Vector.PF else None
        answer = Answer(fault.vector, fault.error_code, cr2)
    return Outcome(answer, memory), result


def difference(case: Case, one: Outcome, other: Outcome, names: tuple[str, str]) -> str:
    """Return in which fields and entries two outcomes of ``case`` differ; empty if in none."""
    lines = []
    for field in fields(Answer):
        values = [getattr(outcome.answer, field.name) for outcome in (one, other)]
        if values[0] != values[1]:
            lines.append((field.name, values))
    width = f"<u{case.mode.entry_bytes}"
    entries = [outcome.memory.frames.view(width) for outcome in (one, other)]
    pfns, rows = one.memory.index()
    frames = dict(zip(rows.tolist(), pfns.tolist(), strict=True))
    for row, index in np.argwhere(entries[0] != entries[1]).tolist():
        paddr = (frames[row] << 12) + index * case.mode.entry_bytes
        lines.append((f"entry at {paddr:#x} afterwards",
                      [int(memory[row, index]) for memory in entries]))
    return "\n".join([str(case), *(_line(what, names, values) for what, values in lines)]
                     if lines else [])


def _line(what: str, names: tuple[str, str], values: list[int | None]) -> str:
    shown = ("left alone" if value is None else f"{value:#x}" for value in values)
    return f"{what}: " + ", ".join(
        f"{value} ({name})" for name, value in zip(names, shown, strict=True))
