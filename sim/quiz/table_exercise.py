"""Translate addresses by hand: the real entries of 32-bit and 4-level paging, rights and all."""

from dataclasses import dataclass, field

import numpy as np

from ...model.mmu.control import Control
from ...model.mmu.walk import Access, Walk, walk
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import (
    IA32,
    PAGE_SHIFT,
    X86_64,
    AccessKind,
    Cr0,
    Cr4,
    Efer,
    Entry,
    Leaf,
    Level,
    PagingMode,
)
from .exercise import Exercise, Question

__all__ = ["table_exercise"]

PADDR_BITS = 40
QUESTIONS = 4
RESERVED = 1 << 50  # an address beyond MAXPHYADDR


@dataclass(slots=True)
class _Tables:
    """Page tables under construction: entries by the address of their table and their index."""

    mode: PagingMode
    rng: np.random.Generator
    frames: list[int]
    tables: dict[int, Level] = field(default_factory=dict)
    entries: dict[int, int] = field(default_factory=dict)

    def map(self, root: int, vaddr: int) -> None:
        """Put the entries for an address where there are none yet."""
        table = root
        for level in self.mode.levels:
            self.tables[table] = level
            paddr = table + self.mode.entry_bytes * _index(level, vaddr)
            if paddr not in self.entries:
                self.entries[paddr] = self._entry(level)
            entry = self.entries[paddr]
            if not entry & Entry.P or level.leaf is Leaf.ALWAYS or entry & Entry.PS:
                return
            table = entry & (1 << PADDR_BITS) - (1 << PAGE_SHIFT)

    def _entry(self, level: Level) -> int:
        """Return an entry that most often is present, writable, and a user's."""
        flags = {Entry.P: 0.92, Entry.RW: 0.8, Entry.US: 0.85}
        leaf = level.leaf is Leaf.ALWAYS
        if self.mode.has_execute_disable:
            flags |= {Entry.XD: 0.25 if leaf else 0.05, RESERVED: 0.03}
        entry = sum(bit for bit, chance in flags.items() if self.rng.random() < chance)
        if level.leaf is Leaf.IF_PS and level.shift < 30 and self.rng.random() < 0.2:
            return entry | Entry.PS | int(self.rng.integers(1, 64)) << level.shift
        return entry | self.frames.pop() << PAGE_SHIFT


def table_exercise(rng: np.random.Generator) -> Exercise:
    """Return four accesses, through tables whose entries are listed."""
    mode = (IA32, X86_64)[int(rng.integers(2))]
    made = _Tables(mode, rng, [int(frame) for frame in rng.permutation(np.arange(1, 256))])
    root = made.frames.pop() << PAGE_SHIFT
    control = _control(rng, mode, root)
    choices = [[int(one) for one in rng.integers(0, 1 << level.index_bits - 1, 2)]
               for level in mode.levels]
    addresses = []
    for _ in range(QUESTIONS):
        indices = [chosen[int(rng.integers(2))] for chosen in choices]
        addresses.append(sum(index << level.shift for index, level in
                             zip(indices, mode.levels, strict=True)) | int(rng.integers(4096)))
        made.map(root, addresses[-1])
    memory = _memory(made)
    questions = []
    for vaddr in addresses:
        kind = AccessKind(int(rng.integers(len(AccessKind))))
        access = Access(vaddr, kind, user=bool(rng.random() < 0.75))
        questions.append(_question(mode, walk(memory.copy(), mode, control, access, PADDR_BITS)))
    return Exercise("walk", f"Page tables of {mode.name}", _given(made, control),
                    tuple(questions))


def _control(rng: np.random.Generator, mode: PagingMode, root: int) -> Control:
    chosen = sum(bit for bit in (Cr4.SMEP, Cr4.SMAP) if rng.random() < 0.4)
    cr0 = Cr0.PG | (Cr0.WP if rng.random() < 0.7 else 0)
    if mode is IA32:
        return Control(root, cr0, Cr4.PSE | chosen, efer=0)
    return Control(root, cr0, Cr4.PAE | chosen, Efer.LME | Efer.LMA | Efer.NXE)


def _memory(made: _Tables) -> PhysicalMemory:
    frames = sorted({table >> PAGE_SHIFT for table in made.tables})
    memory = PhysicalMemory(len(frames))
    memory.add(frames)
    for paddr, entry in made.entries.items():
        memory.write(paddr, made.mode.entry_bytes, entry)
    return memory


def _index(level: Level, vaddr: int) -> int:
    return vaddr >> level.shift & (1 << level.index_bits) - 1


def _given(made: _Tables, control: Control) -> str:
    """Return the registers, and the tables with all entries that are not 0."""
    mode, size = made.mode, made.mode.entry_bytes
    what = "32-bit paging" if mode is IA32 else "4-level paging"
    lines = [
        f"{what}, CR3 = {control.cr3:#x}, CR0.WP = {bool(control.cr0 & Cr0.WP):d}, "
        + (f"CR4.PSE = {bool(control.cr4 & Cr4.PSE):d}, " if mode is IA32 else "EFER.NXE = 1, ")
        + f"CR4.SMEP = {bool(control.cr4 & Cr4.SMEP):d}, "
        f"CR4.SMAP = {bool(control.cr4 & Cr4.SMAP):d},",
        f"EFLAGS.AC = 0, no protection keys, MAXPHYADDR = {PADDR_BITS}. Entries that are not 0:",
        ""]
    for table, level in sorted(made.tables.items()):
        lines.append(f"{level.table} at {table:#x}")
        lines += [f"    entry {(paddr - table) // size:4}: 0x{entry:0{2 * size}x}"
                  for paddr, entry in sorted(made.entries.items())
                  if paddr >> PAGE_SHIFT == table >> PAGE_SHIFT and entry]
    return "\n".join(lines)


def _question(mode: PagingMode, done: Walk) -> Question:
    access = done.access
    who = "user" if access.user else "supervisor"
    prompt = (f"{who} {access.kind.name.lower()} at 0x{access.vaddr:0{mode.vaddr_bits // 4}x}: "
              "what is the physical address? If it faults: 'fault' and the error code.")
    why = "; ".join(f"{step.level.name} {_index(step.level, access.vaddr)} at {step.paddr:#x} is "
                    f"{step.entry:#x}" for step in done.steps)
    if done.fault is None:
        return Question(prompt, f"{done.paddr:#x}", why=why)
    code = f"{done.fault.error_code:#x}"
    return Question(prompt, f"fault {code}", (f"#PF {code}",), why)
