"""Page tables to walk: made by hand, or at random so that most walks succeed but not all."""

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import AccessKind, Cr0, Cr4, Efer, Entry, Leaf

PERMISSIVE = Entry.P | Entry.RW | Entry.US | Entry.A | Entry.D
"""An entry that permits everything and needs no update."""


class Tables:
    """Page tables under one root, in frames of their own of ``memory``."""

    def __init__(self, mode):
        self.mode = mode
        self.memory = PhysicalMemory()
        self.cr3 = self.new_table()

    def new_table(self):
        """Return the address of a new, empty table."""
        pfn = 0x100 + len(self.memory)
        self.memory.add([pfn])
        return pfn << 12

    def read(self, paddr):
        return self.memory.read(paddr, self.mode.entry_bytes)

    def write(self, paddr, entry):
        self.memory.write(paddr, self.mode.entry_bytes, entry)

    def entry_address(self, table, level, vaddr):
        """Return where ``table`` has the entry of ``level`` for ``vaddr``."""
        index = vaddr >> level.shift & (1 << level.index_bits) - 1
        return table + index * self.mode.entry_bytes

    def map(self, vaddr, paddr, flags=PERMISSIVE, *, page=0, upper=PERMISSIVE):
        """Map the page of size ``page`` at ``vaddr``; return the addresses of its entries.

        Entries on the way that exist stay as they are, new ones get the flags ``upper``.
        """
        table, path = self.cr3, []
        for level in self.mode.levels:
            path.append(self.entry_address(table, level, vaddr))
            if level is self.mode.pages[page]:
                break
            if not self.read(path[-1]) & Entry.P:
                self.write(path[-1], self.new_table() | upper)
            table = self.read(path[-1]) & 0xFFFF_F000
        self.write(path[-1], paddr | flags | (Entry.PS if page else 0))
        return path


def bits(rng, count):
    """Return ``count`` random bits."""
    return int.from_bytes(rng.bytes(-(-count // 8)), "little") & (1 << count) - 1


def indices(level):
    """Return the indices that random tables use at ``level``: the ends, and a value between."""
    return 0, 0x155, (1 << level.index_bits) - 1


def random_tables(rng, mode, paddr_bits=40):
    """Return random ``Tables`` that cover all addresses of ``random_vaddr``."""
    tables = Tables(mode)
    _fill(rng, tables, tables.cr3, mode.levels, min(paddr_bits, mode.max_paddr_bits))
    return tables


def _fill(rng, tables, table, levels, paddr_bits):
    level, *below = levels
    for index in indices(level):
        target = None
        if level.leaf is Leaf.NEVER or (level.leaf is Leaf.IF_PS and rng.random() < 0.7):
            target = tables.new_table()
            _fill(rng, tables, target, below, paddr_bits)
        entry = random_entry(rng, tables.mode, level, paddr_bits, target)
        tables.write(table + index * tables.mode.entry_bytes, entry)


CHANCES = ((Entry.P, 0.97), (Entry.RW, 0.85), (Entry.US, 0.85), (Entry.PWT, 0.3),
           (Entry.PCD, 0.3), (Entry.A, 0.7), (Entry.D, 0.5), (Entry.G, 0.3))


def random_entry(rng, mode, level, paddr_bits, target):
    """Return an entry that points to the table ``target``, or maps a random page if None."""
    long = mode.entry_bytes == 8
    entry = bits(rng, 3) << 9 | sum(bit for bit, chance in CHANCES if rng.random() < chance)
    if target is not None:
        entry |= target
    elif long or level.leaf is Leaf.ALWAYS:
        entry |= bits(rng, paddr_bits if long else 32) & -level.page_bytes
    else:
        # PSE-36: bits 20:13 are physical-address bits 39:32.
        entry |= bits(rng, 10) << 22 | bits(rng, paddr_bits - 32) << 13
    if target is None and level.leaf is Leaf.IF_PS:
        entry |= Entry.PS | bits(rng, 1) * Entry.PAT_LARGE
    elif target is None:
        entry |= bits(rng, 1) * Entry.PAT
    if long:
        entry |= bits(rng, 11) << 52 | (rng.random() < 0.07) * Entry.XD
    if rng.random() < 0.04:  # any bit, reserved ones among them
        entry ^= 1 << int(rng.integers(8 * mode.entry_bytes))
    return entry


def random_vaddr(rng, mode):
    """Return a canonical address that random tables cover."""
    vaddr = bits(rng, 12)
    for level in mode.levels:
        vaddr |= int(rng.choice(indices(level))) << level.shift
    return canonical(mode, vaddr)


def canonical(mode, vaddr):
    """Return the linear address whose translated bits are those of ``vaddr``."""
    negative = vaddr >> (mode.translated_bits - 1) & 1
    upper = (1 << mode.vaddr_bits) - (1 << mode.translated_bits)
    return vaddr & ~upper | (upper if negative else 0)


def random_access(rng, vaddr):
    """Return a random access to ``vaddr``."""
    kind = AccessKind(int(rng.integers(3)))
    user, ac, stack = (rng.random() < 0.5 for _ in range(3))
    return Access(vaddr, kind, user=user, implicit=rng.random() < 0.15, ac=ac, stack=stack)


def random_control(rng, mode, cr3, *, lasting=None):
    """Return random registers; with ``lasting``, only those that need no flush when they change.

    ``lasting`` is an earlier ``Control``, whose PSE, PGE and PCIDE are kept.
    """
    cr4 = bits(rng, 32) & (Cr4.SMEP | Cr4.SMAP | Cr4.PKE)
    if lasting is None:
        cr4 |= sum(bit for bit in (Cr4.PSE, Cr4.PGE) if rng.random() < 0.7)
    else:
        cr4 |= lasting.cr4 & (Cr4.PSE | Cr4.PGE | Cr4.PCIDE)
    efer = Efer.LME | Efer.LMA | (rng.random() < 0.7) * Efer.NXE
    # PAE and LA57 select the paging mode; in 32-bit paging both are clear.
    cr4 |= Cr4.PAE if mode.entry_bytes == 8 else 0
    cr4 |= Cr4.LA57 if len(mode.levels) == 5 else 0
    cr0 = Cr0.PG | bits(rng, 1) * Cr0.WP
    pkru = bits(rng, 32) & bits(rng, 32)
    return Control(cr3, cr0=cr0, cr4=cr4, efer=efer, pkru=pkru)
