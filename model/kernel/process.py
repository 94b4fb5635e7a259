"""Processes: an address space, its page tables, and what it has cost. [struct task_struct]"""

from dataclasses import dataclass

from ..address_space.mm import Mm
from ..physical.errors import BrokenInvariant
from .table_check import check_user_tables
from .user_tables import UserTables

__all__ = ["INIT_PKRU", "Process"]

INIT_PKRU = 0x5555_5554
"""PKRU of a program that starts: no access to pages of any key but 0. [init_pkru_value]"""


@dataclass(slots=True, eq=False)
class Process:
    """A process that may run.

    ``pkru`` is its register of protection keys. ``min_flt`` and ``maj_flt`` count its page faults
    without and with a read from disk.
    """

    pid: int
    name: str
    mm: Mm
    space: UserTables
    pkru: int = 0
    min_flt: int = 0
    maj_flt: int = 0

    @property
    def badness(self) -> int:
        """How many pages would be free without it, swap included. [oom_badness]"""
        tables = (self.space.tables.pgtables_bytes >> 12) + len(self.space.thp.deposits)
        return self.space.rss + self.space.swapped + tables

    def check(self) -> None:
        """Raise ``BrokenInvariant`` or ``BrokenMm`` if mappings and page tables contradict."""
        self.mm.check()
        check_user_tables(self.space)
        if self.space.mm is not self.mm:
            raise BrokenInvariant(f"Process {self.pid} has the page tables of another")
