"""A machine on whose page tables a test plays software, one access or operation after the other."""

from dataclasses import dataclass, replace

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import X86_64, AccessKind, Cr0, Cr3, Cr4, Efer, InvalidateOp
from pagewalk.sim.engine import create
from pagewalk.sim.engine.base import accesses, invalidation

from ..hdl.tables import Tables

FETCH_PORT, DATA_PORT = 0, 1


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
