"""Golden walks that leave no trace, from the root or from entries that were read earlier."""

from collections.abc import Iterable
from typing import NamedTuple

from page_tables import PADDR_BITS, Tables
from streams import COMPARE_EXCHANGE, READ

from pagewalk.model.mmu.walk import Access, Control, Walk, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import PagingMode


class PageTableAccess(NamedTuple):
    """An access to page-table memory; the values belong to an exchange."""

    op: int
    address: int
    expected: int = 0
    desired: int = 0


class Rehearsal(PhysicalMemory):
    """A memory to walk in once: keeps what is written to itself, and notes accesses.

    The first reads find the entries ``known``, whatever ``memory`` holds by now, and are not noted.
    """

    def __init__(self, memory: PhysicalMemory, known: Iterable[int] = ()) -> None:
        self._memory = memory
        self._known = list(known)
        self._written: dict[int, int] = {}
        self.accesses: list[PageTableAccess] = []

    def read(self, paddr: int, size: int) -> int:
        if self._known:
            return self._known.pop(0)
        self.accesses.append(PageTableAccess(READ, paddr))
        return self._written.get(paddr, self._memory.read(paddr, size))

    def compare_exchange(self, paddr: int, _size: int, expected: int, desired: int) -> int:
        self.accesses.append(PageTableAccess(COMPARE_EXCHANGE, paddr, expected, desired))
        self._written[paddr] = desired
        return expected


def rehearse(
    tables: Tables, access: Access, control: Control, known: Iterable[int] = ()
) -> tuple[Walk, list[PageTableAccess]]:
    """Return the golden walk of an access, and the page-table accesses it takes.

    ``known`` are entries from the root down that need not be read, as something cached them.
    """
    memory = Rehearsal(tables.shadow, known)
    return walk(memory, tables.mode, control, access, PADDR_BITS), memory.accesses


def repeat(result: Walk, mode: PagingMode, control: Control) -> Walk:
    """Walk through the entries of ``result`` once more, under other registers."""
    memory = Rehearsal(PhysicalMemory(), [step.entry for step in result.steps])
    return walk(memory, mode, control, result.access, PADDR_BITS)


def outcome(result: Walk) -> tuple[object, ...]:
    """Return what a requester sees of a walk."""
    return result.fault, result.paddr, result.page, result.memory_type
