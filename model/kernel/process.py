"""Processes: an address space with its page tables, and a register. [struct task_struct]"""

from dataclasses import dataclass

from ..address_space.mm import Mm
from ..x86 import PAGE_SHIFT
from .file_table import FileTable
from .table_check import check_user_tables
from .user_tables import UserTables

__all__ = ["INIT_PKRU", "Process"]

INIT_PKRU = 0x5555_5554
"""PKRU of a program that starts: no access to pages of any key but 0. [init_pkru_value]"""


@dataclass(slots=True, eq=False)
class Process:
    """A process that may run.

    Members
    -------
    pid, name
        What it is known by.
    space
        Its page tables, which have its mappings. ``exec`` replaces them.
    files
        What it has open.
    pkru
        Its register of protection keys.
    """

    pid: int
    name: str
    space: UserTables
    files: FileTable
    pkru: int = 0

    @property
    def mm(self) -> Mm:
        """The mappings."""
        return self.space.mm

    @property
    def min_flt(self) -> int:
        """How many page faults it has had without a read from disk."""
        return self.space.min_flt

    @property
    def maj_flt(self) -> int:
        """How many page faults it has had with a read from disk."""
        return self.space.maj_flt

    @property
    def badness(self) -> int:
        """How many pages would be free without it, swap included. [oom_badness]"""
        tables = self.space.tables.pgtables_bytes >> PAGE_SHIFT
        return self.space.rss + self.space.swapped + tables

    def free(self) -> None:
        """Give back all memory that it has; the process is then of no use any more. [exit_mm]"""
        self.space.mm.exit()
        self.space.free()

    def check(self) -> None:
        """Raise ``BrokenInvariant`` or ``BrokenMm`` if mappings and page tables contradict."""
        self.mm.check()
        check_user_tables(self.space)
