"""A machine on whose page tables a test plays software, one access or operation after the other."""

from dataclasses import dataclass, replace

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import X86_64, AccessKind, Cr0, Cr3, Cr4, Efer, InvalidateOp
from pagewalk.sim.engine import create
from pagewalk.sim.engine.command import accesses, invalidation

from ..hdl.tables import PERMISSIVE, Tables

FETCH_PORT, DATA_PORT = 0, 1
PAGE, NEIGHBOUR, FAR = 0x1234_5000, 0x1234_6000, 0x7654_3000
ALL_LEVELS = tuple(level.name for level in X86_64.levels)


@dataclass(frozen=True, slots=True)
class Seen:
    """The answer to an access, and what it took: ``walks``, and the levels whose entry was read.

    ``frame`` is the 4-Kbyte frame number, None on a fault; ``error`` is None without one.
    """

    frame: int | None
    error: int | None
    walks: int
    reads: tuple[str, ...]


class Machine:
    """The MMU in Amaranth's simulator, its page tables and its registers."""

    def __init__(self, mode=X86_64, **parameters):
        self.mode = mode
        self.tables = Tables(mode)
        self.control = Control(self.tables.cr3, cr0=Cr0.PG | Cr0.WP,
                               cr4=Cr4.PGE | (Cr4.PAE if mode is X86_64 else Cr4.PSE),
                               efer=Efer.LME | Efer.LMA | Efer.NXE if mode is X86_64 else 0)
        config = Config(mode=mode, **{"entries": 8, "walk_cache": 4, "policy": "lru"} | parameters)
        self._engine = create("amaranth", config)

    def _run(self, commands):
        return self._engine.run(self.tables.memory, commands)

    def access(self, vaddr, kind=AccessKind.READ, *, port=None, **flags):
        """Make an access, by default through the port of its kind."""
        if port is None:
            port = FETCH_PORT if kind is AccessKind.FETCH else DATA_PORT
        run = self._run(accesses(self.control, vaddr, kind, port=port, **flags))
        answer, = run.answers
        reads = tuple(level.name for level in self.mode.levels
                      for _ in range(run.events[f"walk_read_{level.name.lower()}"]))
        hits = sum(count for name, count in run.events.items()
                   if "_hit_" in name and not name.startswith("walk_"))
        assert hits + run.events["walk_start"] == 1, "one entry hits, or there is a walk"
        faulted = bool(answer["fault"])
        return Seen(None if faulted else int(answer["paddr"]) >> 12,
                    int(answer["error"]) if faulted else None, run.events["walk_start"], reads)

    def read(self, vaddr, **flags):
        return self.access(vaddr, **flags)

    def write(self, vaddr, **flags):
        return self.access(vaddr, AccessKind.WRITE, **flags)

    def fetch(self, vaddr, **flags):
        return self.access(vaddr, AccessKind.FETCH, **flags)

    def invalidate(self, op, **operands):
        self._run(invalidation(self.control, op, **operands))

    def invlpg(self, vaddr):
        self.invalidate(InvalidateOp.INVLPG, vaddr=vaddr)

    def mov_cr3(self, root, pcid=0, *, keep=False):
        self.invalidate(InvalidateOp.MOV_CR3, new=root | pcid | (Cr3.NO_FLUSH if keep else 0))
        self.control = replace(self.control, cr3=root | pcid)

    def mov_cr4(self, *, set_=0, clear=0):
        new = self.control.cr4 & ~clear | set_
        self.invalidate(InvalidateOp.MOV_CR4, old=self.control.cr4, new=new)
        self.control = replace(self.control, cr4=new)

    def mov_cr0(self, *, set_=0, clear=0):
        new = self.control.cr0 & ~clear | set_
        self.invalidate(InvalidateOp.MOV_CR0, old=self.control.cr0, new=new)
        self.control = replace(self.control, cr0=new)


def with_pages(machine, flags=PERMISSIVE):
    """Return ``machine`` with three pages mapped, two of them in one table."""
    for frame, vaddr in enumerate((PAGE, NEIGHBOUR, FAR), start=0xA0):
        machine.tables.map(vaddr, frame << 12, flags)
    return machine


def path(machine, vaddr=PAGE):
    """Return the addresses of the entries of a walk, from the root down."""
    tables, table, found = machine.tables, machine.control.cr3 & ~0xFFF, []
    for level in machine.mode.levels:
        found.append(tables.entry_address(table, level, vaddr))
        table = tables.read(found[-1]) & 0xFFFF_F000
    return found


def change(machine, paddr, *, set_=0, clear=0):
    """Set and clear bits of an entry, as another processor does."""
    machine.tables.write(paddr, machine.tables.read(paddr) & ~clear | set_)


def move(machine, vaddr, frame):
    """Let the last entry for ``vaddr`` map another frame."""
    leaf = path(machine, vaddr)[-1]
    change(machine, leaf, set_=frame << 12, clear=0xFFFF_F000)


def two_contexts(flags=PERMISSIVE):
    """Return a machine with PCIDs on, under PCID 1, with two ``roots`` that both map the pages."""
    machine = Machine()
    machine.roots = []
    for _ in range(2):
        machine.tables.cr3 = machine.tables.new_table()
        machine.roots.append(machine.tables.cr3)
        machine.control = replace(machine.control, cr3=machine.tables.cr3)
        with_pages(machine, flags)
    machine.mov_cr3(machine.roots[0])
    machine.mov_cr4(set_=Cr4.PCIDE)
    machine.mov_cr3(machine.roots[0], 1)
    return machine


def cached(machine, vaddr=PAGE):
    """Return whether an access to ``vaddr`` hits, and whether its walk would be shortened."""
    hit = machine.read(vaddr).walks == 0
    return hit, machine.read(NEIGHBOUR).reads == ("PTE",)
