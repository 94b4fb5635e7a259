"""A small address space for tests of single rules, and page tables that only take notes."""

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.fork import copy_mappings
from pagewalk.model.address_space.limits import UserSpace
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.uapi import MapFlag, Prot

PAGE = 0x1000
BASE = 0x40_0000
MMAP_BASE = 0x6000_0000
ANON = MapFlag.PRIVATE | MapFlag.ANONYMOUS
FIXED = ANON | MapFlag.FIXED
RW = Prot.READ | Prot.WRITE

SPACE = UserSpace(word_bytes=8, task_size=0x8000_0000, huge_page_bytes=2 << 20, pkeys=True)


class Recorder:
    """Page tables that note what they are told, as tuples in ``calls``.

    A call that stands in ``errors`` then raises what stands there. Where mappings are cut is noted
    apart, in ``cuts``.
    """

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.cuts: list[int] = []
        self.errors: dict[str, Exception] = {}

    def cut(self, address):
        self.cuts.append(address)

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, *arguments))
            if name in self.errors:
                raise self.errors[name]
        return call


def small_mm(space=SPACE, **options) -> Mm:
    options.setdefault("page_tables", Recorder())
    return Mm(space, MMAP_BASE, **options)


def forked(mm: Mm, page_tables=None) -> Mm:
    """Return a child that has the mappings of ``mm``, as the kernel makes it; nothing if it fails.
    """
    child = mm.child(page_tables)
    try:
        copy_mappings(mm, child)
    except SysError:
        child.exit()
        raise
    return child


def at(page: int) -> int:
    """Return the address of a page counted from ``BASE``."""
    return BASE + page * PAGE


def ranges(mm: Mm) -> list[tuple[int, int]]:
    """Return the mappings as pages counted from ``BASE``, start and end."""
    return [((vma.start - BASE) // PAGE, (vma.end - BASE) // PAGE) for vma in mm]


def touch(mm: Mm, page: int) -> None:
    """Write to a page, as far as mappings are concerned."""
    mm.prepare_anon_vma(mm.tree.lookup(at(page)))
