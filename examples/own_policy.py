"""A replacement policy of one's own, in the TLB of the hardware: most recently used goes first.

It is a subclass of ``Policy`` and an entry of ``POLICIES``; nothing of pagewalk is changed. A loop
over one page more than there are entries shows why one might want it: LRU never hits.
"""

import numpy as np
from amaranth import Module

from pagewalk.hdl.config import Config
from pagewalk.hdl.replacement import POLICIES, Policy
from pagewalk.model.mmu.control import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import X86_64, Entry
from pagewalk.sim.engine import create
from pagewalk.sim.engine.command import accesses

ENTRIES, PAGES, ROUNDS = 4, 5, 20
USABLE = Entry.P | Entry.RW | Entry.US


class Mru(Policy):
    """Give up the entry that was used last. Any number of entries."""

    def elaborate(self, platform):
        m = Module()
        with m.If(self.touch):
            m.d.sync += self.victim.eq(self.slot)
        return m


POLICIES["mru"] = Mru


def page_tables():
    """Return a memory whose tables, from frame 0, map the first pages to frames from 16."""
    memory = PhysicalMemory(frame_count=4)
    memory.add(range(4))
    for table in range(3):
        memory.write(table << 12, 8, table + 1 << 12 | USABLE)
    for page in range(PAGES):
        memory.write((3 << 12) + 8 * page, 8, 16 + page << 12 | USABLE)
    return memory


def main():
    """Run the loop under two policies in Amaranth's simulator."""
    pages = np.tile(np.arange(PAGES), ROUNDS)
    commands = accesses(Control(cr3=0), pages << 12)
    for policy in ("lru", "mru"):
        config = Config(X86_64, ports=("data",), entries=ENTRIES, policy=policy)
        run = create("amaranth", config).run(page_tables(), commands)
        assert (run.answers["paddr"] == 16 + pages << 12).all()
        print(f"{policy}: {run.events['data_hit_4k']} hits of {len(commands)}")


if __name__ == "__main__":
    main()
