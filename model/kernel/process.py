"""Processes: an address space with its page tables, and a register. [struct task_struct]"""

from dataclasses import dataclass, field, replace

from ..address_space.exec_arguments import Credentials
from ..address_space.exec_program import ProgramStart
from ..address_space.mm import Mm
from ..x86 import PAGE_SHIFT
from .file_table import FileTable
from .table_check import check_user_tables
from .user_tables import UserTables
from .vfs.resolve import FsState
from .vfs.vnode import VfsNode

__all__ = ["INIT_PID", "INIT_PKRU", "Process"]

INIT_PID = 1

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
    oom_score_adj, oom_score_adj_min
        How much sooner it is killed for its memory than others, -1000 to 1000, and what only the
        administrator may go below.
    is_oom_origin
        Whether it is the first to be killed, as it empties a swap area. [OOM_FLAG_ORIGIN]
    credentials
        Whose it is.
    start
        Where its program begins, None if it was given none.
    fs
        Where it is in the file system, None if it has none.
    exe
        The file that it runs, None if that is none of the file system. [mm->exe_file]
    """

    pid: int
    name: str
    space: UserTables
    files: FileTable
    pkru: int = 0
    oom_score_adj: int = 0
    oom_score_adj_min: int = 0
    is_oom_origin: bool = False
    credentials: Credentials = field(default_factory=Credentials)
    start: ProgramStart | None = None
    fs: FsState | None = None
    exe: VfsNode | None = None

    @property
    def is_init(self) -> bool:
        """Whether it is the first process of the machine, which must not end. [is_global_init]"""
        return self.pid == INIT_PID

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

    def copy(self, pid: int, space: UserTables, *, shares_files: bool = False,
             shares_fs: bool = False) -> "Process":
        """Return a child, whose address space is made already. [copy_process]

        It has its own open files, and its own place in the file system, if it does not share them.
        """
        files = self.files.share() if shares_files else self.files.copy()
        fs = self.fs if shares_fs or self.fs is None else self.fs.copy()
        return replace(self, pid=pid, space=space, files=files, is_oom_origin=False, fs=fs)

    def free(self) -> None:
        """Give back all that it has; the process is then of no use any more. [exit_mm]"""
        self.files.put()
        self.space.put()

    def check(self) -> None:
        """Raise ``BrokenInvariant`` or ``BrokenMm`` if mappings and page tables contradict."""
        self.mm.check()
        check_user_tables(self.space)
