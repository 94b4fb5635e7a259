"""Page tables of a few entries, and pictures of their walks."""

import io

from rich.console import Console

from pagewalk.model.mmu.walk import Control, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.sim.report import walk_picture

LONG = Control(cr3=0x1000)
FOUR_LEVELS = {0x1000: 0x2067, 0x2000: 0x3067, 0x3000: 0x4067, 0x4000: 0x5067}


def tables(mode, entries):
    """Return a memory of frames 0 to 7 with these entries by address."""
    memory = PhysicalMemory()
    memory.add(range(8))
    for paddr, entry in entries.items():
        memory.write(paddr, mode.entry_bytes, entry)
    return memory


def picture(mode, control, access, entries):
    """Return the lines of the picture of a walk through these entries."""
    text = walk_picture(mode, control, walk(tables(mode, entries), mode, control, access))
    return text.plain.splitlines()


def plain(renderable):
    """Return what is printed to a pipe."""
    file = io.StringIO()
    Console(file=file, width=100).print(renderable, soft_wrap=True)
    return file.getvalue()
