"""Where in one row of numbers each TLB and each level of the walk cache has its entries.

A *place* is an index into that row. A *bank* is a set-associative array with a replacement policy:
the TLB of a port, or if that is in sets, the one for 4-Kbyte pages and the one for larger pages;
and the second-level TLB. A fully associative one is a bank of a single set. The records are:

======  ============================================================================================
header  the names below, from ``LEVELS`` on; then the bank of each port and page size
bank    ``POLICY``, ``WAYS``, ``SET_BITS``, ``FOLDED``, ``SETS`` (the place of its first set),
        ``LFSR`` (the state of its random numbers)
set     ``USED`` (how many of its entries are valid), ``FOLLOWS`` (the way after the one filled
        last), then its entries
entry   ``TAG`` (a page or -1), ``FRESH`` (whether it is dirty), ``STAMP`` (when it was used last),
        ``TREE`` (a node of the tree of its set), ``HOME`` (the place of its set), ``OLD`` (in the
        second level, the page of an entry that only its generation has dropped, or -1)
level   of the walk cache: ``ENTRIES``, ``OLDEST`` (which to fill next), then the nodes, or -1
======  ============================================================================================
"""

from dataclasses import dataclass

from ...hdl.config import Config
from ...hdl.shapes import page_name
from ...model.x86 import PAGE_SHIFT

__all__ = ["TlbLayout"]

# The header.
(LEVELS, SIZES, BANKS, L2, FLUSHES, SPACE, CLOCK, PAGE_STRIDE, BANK_AT, LEVEL_AT, COUNTS, PER_PORT,
 L2_COUNTS, WALK_COUNTS, FLUSH_COUNT, SHIFTS) = range(16)
MOST_SIZES = 3
BANK_OF = SHIFTS + MOST_SIZES

POLICY, WAYS, SET_BITS, FOLDED, SETS, LFSR, BANK_RECORD = range(7)
USED, FOLLOWS, SET_HEAD = range(3)
TAG, FRESH, STAMP, TREE, HOME, OLD, ENTRY_RECORD = range(7)
ENTRIES, OLDEST, LEVEL_HEAD = range(3)

# The record of a page, in a row of its own, where the first node is NODE, and the places behind.
VPN, SIZE, LEAF, PAGE_SPACE, FLAGS, NODE = range(6)
MAPPED, ACCESSED, DIRTY = 1, 2, 4

# The record of a node, a table of page tables below the root, in a row of its own.
PRESENT, HELD, NODE_RECORD = range(3)

PLRU, LRU, FIFO, RANDOM = range(4)
POLICY_NUMBERS = {"plru": PLRU, "lru": LRU, "fifo": FIFO, "random": RANDOM}

LFSR_START = 0xACE1


@dataclass(frozen=True, slots=True)
class Bank:
    """One bank: how many sets of how many ways, their policy, and whether the index is folded."""

    sets: int
    ways: int
    policy: str
    folded: bool = False

    @property
    def set_record(self) -> int:
        """How many numbers a set takes."""
        return SET_HEAD + self.ways * ENTRY_RECORD


class TlbLayout:
    """The banks and levels of an MMU, and the names of what is counted.

    Parameters
    ----------
    config
        The hardware.
    flushes
        Whether a switch to another address space drops all that is cached.

    Members
    -------
    banks
        The banks, in order.
    names
        The names of the counts, those of the hardware's events.
    """

    def __init__(self, config: Config, *, flushes: bool = True) -> None:
        self.config, self._flushes = config, flushes
        sizes = len(config.mode.pages)
        self.banks: list[Bank] = []
        self._bank_of: list[int] = []
        for _ in config.ports:
            first = len(self.banks)
            if config.ways:
                self.banks += [Bank(config.sets, config.ways, config.policy,
                                    config.index == "folded"),
                               Bank(1, config.large_entries, config.policy)]
                self._bank_of += [first] + [first + 1] * (sizes - 1)
            else:
                self.banks.append(Bank(1, config.entries, config.policy))
                self._bank_of += [first] * sizes
        self._l2 = -1
        if config.l2_entries:
            self._l2 = len(self.banks)
            self.banks.append(Bank(config.l2_entries // config.l2_ways, config.l2_ways,
                                   config.l2_policy))
        upper = len(config.mode.levels) - 1
        self._cache = [max(config.walk_cache >> upper - 1 - number, 1) if config.walk_cache else 0
                       for number in range(upper)]
        self.names = self._names()

    def _names(self) -> list[str]:
        config = self.config
        hits = [f"hit_{page_name(page)}" for page in config.mode.pages]
        levels = [level.name.lower() for level in config.mode.levels]
        names = [f"{port}_{what}" for port in config.ports
                 for what in ("lookup", *hits, "miss", "fault")]
        names += [f"l2_{what}" for what in ("lookup", *hits, "miss")]
        names += [f"walk_{what}" for what in (
            "start", "end", *(f"hit_{one}" for one in levels[:-1]),
            *(f"read_{one}" for one in levels), "update", "fault")]
        return [*names, "flush"]

    @property
    def page_record(self) -> int:
        """How many numbers a page takes: what it is, its nodes, its place in each bank."""
        return NODE + len(self.config.mode.levels) - 1 + len(self.banks)

    def row(self) -> list[int]:
        """Return the row of numbers, with all entries empty."""
        mode, sizes = self.config.mode, len(self.config.mode.pages)
        row = [0] * BANK_OF + self._bank_of
        values = {LEVELS: len(mode.levels), SIZES: sizes, BANKS: len(self.banks), L2: self._l2,
                  FLUSHES: int(self._flushes), SPACE: -1, PAGE_STRIDE: self.page_record,
                  PER_PORT: 3 + sizes, COUNTS: len(row)}
        values[L2_COUNTS] = len(row) + (3 + sizes) * len(self.config.ports)
        values[WALK_COUNTS] = values[L2_COUNTS] + 2 + sizes
        values[FLUSH_COUNT] = len(row) + len(self.names) - 1
        for number, page in enumerate(mode.pages):
            values[SHIFTS + number] = page.shift - PAGE_SHIFT
        row += [0] * len(self.names)
        values[BANK_AT] = len(row)
        row += [0] * BANK_RECORD * len(self.banks)
        for number, bank in enumerate(self.banks):
            at = values[BANK_AT] + number * BANK_RECORD
            row[at:at + BANK_RECORD] = [POLICY_NUMBERS[bank.policy], bank.ways,
                                        bank.sets.bit_length() - 1, int(bank.folded), len(row),
                                        LFSR_START]
            for _ in range(bank.sets):
                row += [0] * SET_HEAD + [-1, 0, 0, 0, len(row), -1] * bank.ways
        values[LEVEL_AT] = len(row)
        row += [0] * len(self._cache)  # where each level is
        for number, entries in enumerate(self._cache):
            row[values[LEVEL_AT] + number] = len(row)
            row += [entries, 0, *[-1] * entries]
        for place, value in values.items():
            row[place] = value
        return row
