"""What the recorded Linux 6.1 boots say of their address spaces.

The files are explained in the README beside them.
"""

from pathlib import Path

from pagewalk.model.physical.dmesg import read_dmesg
from pagewalk.model.physical.memory_map import MemoryMap

BOOTS = ("i686-A", "i686-B", "amd64-A", "amd64-B")
PAGE_SIZES = {"i686": (4096, 4 << 20), "amd64": (4096, 2 << 20, 1 << 30)}


def text(boot: str, name: str) -> str:
    """Return a file of a boot."""
    path = Path(__file__).parents[2] / "data" / "linux-6.1" / boot / name
    return path.read_text(encoding="utf-8")


def machine(boot: str) -> MemoryMap:
    """Return the machine that was booted."""
    return read_dmesg(text(boot, "dmesg.txt"))


def page_tables(boot: str, what: str) -> list[tuple]:
    """Return the lines of kernel-page-tables.txt that begin with ``what``, numbers as ints."""
    rows = (line.split() for line in text(boot, "kernel-page-tables.txt").splitlines())
    return [tuple(int(word, 16) if word.startswith("0x") else word for word in row[1:])
            for row in rows if row[0] == what]


def maps(boot: str, program: str, name: str) -> list[tuple[int, int]]:
    """Return where the areas called ``name`` of a program start and end."""
    rows = (line.split() for line in text(boot, f"{program}-special.maps").splitlines())
    return [tuple(int(part, 16) for part in row[0].split("-")) for row in rows if row[-1] == name]
