"""Cases for the paging oracle: one access each, on page tables of its own, under random registers.

A case is made from a ``Shape``, which says what is out of the ordinary in its page tables and which
hypothesis can shrink, and from a seed for all the rest. Shape and seed make the same case again.
"""

from dataclasses import dataclass, field

from hypothesis import strategies as st
from numpy.random import Generator, default_rng

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import MODES, AccessKind, Cr4, Entry, Leaf, Level, PagingMode

from ..hdl.tables import bits, canonical, random_control

# Frames that tables lie in, by mode: both ends of what entries can point to, and bits of all sorts.
FRAMES = {
    "ia32": (0x1, 0x0, 0x12345, 0xEDCBA, 0xFFFFF),
    "x86_64": (0x1, 0x0, 0x12345, 0xABCDEF0, 0x5432101, 0xFFFFFFF),
    "la57": (0x1, 0x0, 0x12345, 0xABCDEF0, 0x5432101, 0x76543, 0xFFFFFFF),
}
PADDR_BITS = 40

CHANCES = ((Entry.RW, 0.8), (Entry.US, 0.85), (Entry.PWT, 0.3), (Entry.PCD, 0.3), (Entry.A, 0.5),
           (Entry.D, 0.5), (Entry.G, 0.3))


@dataclass(frozen=True)
class Shape:
    """Page tables in outline.

    ``tables`` has an index into ``FRAMES[mode]`` for each level, the root's first: tables that are
    the same frame map themselves, above all if they are used at one ``alike`` index on every level.
    The page is of size ``page``, an index into ``PagingMode.pages``. The entry of level ``absent``
    is not present but full of bits; ``flipped`` is a level and the bit that is inverted there.
    """

    mode: str
    tables: tuple[int, ...]
    page: int = 0
    alike: bool = False
    absent: int | None = None
    flipped: tuple[int, int] | None = None
    is_canonical: bool = True


def shapes(mode: PagingMode) -> st.SearchStrategy[Shape]:
    """Return hypothesis' way to draw shapes."""
    levels = st.integers(0, len(mode.levels) - 1)
    frames = st.integers(0, len(FRAMES[mode.name]) - 1)
    return st.builds(
        Shape,
        st.just(mode.name),
        st.tuples(*[frames for _ in mode.levels]),
        page=st.integers(0, len(mode.pages) - 1),
        alike=st.booleans(),
        absent=st.none() | levels,
        flipped=st.none() | st.tuples(levels, st.integers(0, 8 * mode.entry_bytes - 1)),
        is_canonical=st.just(True) if mode.vaddr_bits == mode.translated_bits else st.booleans(),
    )


def random_shape(rng: Generator, mode: PagingMode) -> Shape:
    """Draw a shape: most often a plain one, at times out of the ordinary in several ways."""
    level_count, frame_count = len(mode.levels), len(FRAMES[mode.name])
    distinct = rng.random() < 0.7
    flipped = int(rng.integers(level_count)), int(rng.integers(8 * mode.entry_bytes))
    return Shape(
        mode.name,
        tuple(rng.choice(frame_count, level_count, replace=not distinct).tolist()),
        page=int(rng.integers(len(mode.pages))),
        alike=rng.random() < 0.15,
        absent=int(rng.integers(level_count)) if rng.random() < 0.1 else None,
        flipped=flipped if rng.random() < 0.25 else None,
        is_canonical=mode.vaddr_bits == mode.translated_bits or rng.random() < 0.97,
    )


@dataclass(frozen=True)
class Case:
    """One access and all that it depends on; ``entries`` are those that ``shape`` put in memory."""

    shape: Shape
    seed: int
    control: Control
    access: Access
    entries: dict[int, int] = field(repr=False)

    @property
    def mode(self) -> PagingMode:
        """The paging mode."""
        return MODES[self.shape.mode]

    def memory(self) -> PhysicalMemory:
        """Return the page tables, fresh."""
        memory = PhysicalMemory()
        memory.add(FRAMES[self.shape.mode][table] for table in self.shape.tables)
        for paddr, entry in self.entries.items():
            memory.write(paddr, self.mode.entry_bytes, entry)
        return memory

    def __str__(self) -> str:
        """Return the call that makes this case again, and what it is."""
        access, control = self.access, self.control
        registers = (f"{name.upper()} {getattr(control, name):#x}"
                     for name in ("cr0", "cr3", "cr4", "efer", "pkru"))
        who = "user" if access.user else "supervisor"
        return "\n".join([
            f"make_case({self.shape}, seed={self.seed})",
            f"{who} {access.kind.name.lower()} at {access.vaddr:#x}, AC {access.ac:d}",
            ", ".join(registers),
            *(f"entry at {paddr:#x}: {entry:#x}" for paddr, entry in self.entries.items()),
        ])


def random_cases(mode: PagingMode, seed: int, count: int) -> list[Case]:
    """Return ``count`` cases; the same for the same seed."""
    rng = default_rng(seed)
    return [make_case(random_shape(rng, mode), bits(rng, 32)) for _ in range(count)]


def make_case(shape: Shape, seed: int) -> Case:
    """Return the case of a shape and a seed."""
    rng, mode = default_rng(seed), MODES[shape.mode]
    root = FRAMES[shape.mode][shape.tables[0]] << 12
    control = random_control(rng, mode, root | bits(rng, 12))
    if shape.page and mode.entry_bytes == 4:  # without it there are no large pages
        control = Control(control.cr3, control.cr0, control.cr4 | Cr4.PSE, control.efer,
                          control.pkru)
    vaddr = _vaddr(rng, shape, mode)
    user, ac = rng.random(2) < 0.5
    access = Access(vaddr, AccessKind(int(rng.integers(3))), user=bool(user), ac=bool(ac))
    return Case(shape, seed, control, access, _entries(rng, shape, mode, control, vaddr))


def _vaddr(rng: Generator, shape: Shape, mode: PagingMode) -> int:
    """Return an address; its last byte in the page now and then, where code would run over."""
    vaddr = 0xFFF if rng.random() < 0.05 else bits(rng, 12)
    index = bits(rng, 10)
    for level in mode.levels:
        if not shape.alike:
            index = bits(rng, 10)
        vaddr |= (index & (1 << level.index_bits) - 1) << level.shift
    vaddr = canonical(mode, vaddr)
    if not shape.is_canonical:
        vaddr ^= 1 << int(rng.integers(mode.translated_bits, mode.vaddr_bits))
    return vaddr


def _entries(
    rng: Generator, shape: Shape, mode: PagingMode, control: Control, vaddr: int
) -> dict[int, int]:
    """Return the entries on the way to the page by their addresses.

    Where tables are the same, the way may come to an entry again, which then stays as it is.
    """
    entries: dict[int, int] = {}
    frames = [FRAMES[shape.mode][table] << 12 for table in shape.tables]
    table_bits = (1 << min(PADDR_BITS, 8 * mode.entry_bytes)) - 0x1000
    table = frames[0]
    for depth, level in enumerate(mode.levels):
        index = vaddr >> level.shift & (1 << level.index_bits) - 1
        paddr = table + index * mode.entry_bytes
        is_leaf = level is mode.pages[shape.page]
        if paddr not in entries:
            target = None if is_leaf else frames[depth + 1]
            entries[paddr] = _entry(rng, shape, mode, control, depth, target)
        if is_leaf or depth == shape.absent:
            break
        table = entries[paddr] & table_bits
    return entries


def _entry(rng, shape, mode, control, depth, target) -> int:
    """Return an entry that points to the table at ``target``, or maps a page if that is None."""
    level, width = mode.levels[depth], 8 * mode.entry_bytes
    if depth == shape.absent:
        return bits(rng, width) & ~Entry.P
    entry = Entry.P | bits(rng, 3) << 9 | sum(bit for bit, chance in CHANCES
                                              if rng.random() < chance)
    if width == 64:
        entry |= bits(rng, 11) << 52 | (rng.random() < 0.07) * Entry.XD
    if target is None:
        entry |= _leaf_bits(rng, shape, mode, level)
    else:
        entry |= target
        if width == 32 and not control.cr4 & Cr4.PSE:
            entry |= bits(rng, 1) * Entry.PS  # ignored
    if shape.flipped and shape.flipped[0] == depth:
        bit = 1 << shape.flipped[1]
        # But the walk is not to leave the tables.
        if not bit & (_leaf_only(level) if target is None else _address(width)):
            entry ^= bit
    return entry


def _leaf_bits(rng: Generator, shape: Shape, mode: PagingMode, level: Level) -> int:
    """Return address, PS and PAT of a page: anywhere, or the frame of a table."""
    pat = bits(rng, 1)
    if level.leaf is Leaf.ALWAYS:
        if rng.random() < 0.15:
            return FRAMES[shape.mode][int(rng.choice(shape.tables))] << 12 | pat * Entry.PAT
        return bits(rng, PADDR_BITS) & _address(8 * mode.entry_bytes) | pat * Entry.PAT
    large = Entry.PS | pat * Entry.PAT_LARGE
    if mode.entry_bytes == 8:
        return bits(rng, PADDR_BITS) & -level.page_bytes | large
    # PSE-36: bits 20:13 are address bits 39:32. Bit 21 is the one reserved bit of ia32.
    reserved = (rng.random() < 0.07) << 21
    return bits(rng, 10) << 22 | reserved | bits(rng, 8) << 13 | large


def _leaf_only(level: Level) -> int:
    return Entry.PS if level.leaf is Leaf.IF_PS else 0


def _address(width: int) -> int:
    return (1 << min(PADDR_BITS, width)) - 0x1000
