"""The state of one address space and its accounts. [struct mm_struct]

The system calls that change it stand in files of their own names; ``mm.Mm`` brings them together.
Pages that are present (RSS) are counted where page-table entries change: ``kernel.user_tables``.
"""

import errno

import numpy as np

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .anon_vma import anon_vma_prepare, unlink_anon_vmas
from .errors import BrokenMm, SysError
from .kernel_files import KernelFiles
from .limits import Commit, Rlimits, UserSpace
from .page_table_ops import NoPageTables, PageTableOps
from .pkeys import ProtectionKeys
from .vma import Vma, VmFlag
from .vma_tree import VmaTree

__all__ = ["MmState"]


class MmState:
    """Mappings, the pages they count for, and the places that exec chose; see ``mm.Mm``.

    Addresses are bytes, accounts pages; parameters are those of ``mm.Mm``.

    Members
    -------
    tree
        The mappings.
    pkeys
        The protection keys in use.
    total_vm, hiwater_vm
        All pages of the mappings, and the most that they were before they last became fewer.
    exec_vm, stack_vm, data_vm
        The pages of code, of stacks, and of private writable memory.
    locked_vm, committed
        The pages that count as locked, VmLck, and those that ``commit`` has promised.
    locked_unmarked
        How many of ``locked_vm`` are those of mappings that MREMAP_DONTUNMAP took the lock from.
    def_flags, soft_dirty
        Flags that every new mapping gets.
    start_code, end_code, start_data, end_data, start_brk, brk_end, start_stack
        Where exec put the parts of the program; ``brk_end`` is the end of the heap.
    arg_start, arg_end, env_start, env_end
        Where the strings of its arguments and of its environment are.
    auxv
        The auxiliary vector that it was given. [saved_auxv]
    read_implies_exec
        Whether the program may execute what it may read. [READ_IMPLIES_EXEC]
    """

    def __init__(
        self,
        space: UserSpace,
        mmap_base: int,
        *,
        topdown: bool = True,
        rlimits: Rlimits | None = None,
        page_tables: PageTableOps | None = None,
        commit: Commit | None = None,
        files: KernelFiles | None = None,
        privileged: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.space = space
        self.mmap_base = mmap_base
        self.topdown = topdown
        self.rlimits = rlimits if rlimits is not None else Rlimits()
        self.page_tables = page_tables if page_tables is not None else NoPageTables()
        self.commit = commit if commit is not None else Commit()
        self.files = files if files is not None else KernelFiles()
        self.privileged = privileged
        self.rng = rng
        self.tree = VmaTree(self.files)
        self.pkeys = ProtectionKeys(available=space.pkeys)
        self.soft_dirty = VmFlag.SOFTDIRTY if space.soft_dirty else 0
        self.def_flags = 0
        self.total_vm = self.exec_vm = self.stack_vm = self.data_vm = self.hiwater_vm = 0
        self.locked_vm = self.locked_unmarked = self.committed = 0
        self.start_code = self.end_code = self.start_data = self.end_data = 0
        self.start_brk = self.brk_end = self.start_stack = 0
        self.arg_start = self.arg_end = self.env_start = self.env_end = 0
        self.auxv = b""
        self.read_implies_exec = False

    @property
    def map_count(self) -> int:
        """The number of mappings."""
        return len(self.tree)

    def start_gap(self, vma: Vma) -> int:
        """Return where the guard gap below a mapping begins. [vm_start_gap]"""
        gap = self.space.stack_guard_gap if vma.flags & VmFlag.GROWSDOWN else 0
        return max(0, vma.start - gap)

    def forget(self, vma: Vma) -> None:
        """Take a mapping out of the tree and of its anon_vmas; the accounts do not change."""
        self.tree.remove(vma)
        unlink_anon_vmas(vma)

    def account(self, flags: int, pages: int) -> None:
        """Add ``pages`` of a mapping with ``flags``; they may be negative. [vm_stat_account]"""
        self.total_vm += pages
        if flags & (VmFlag.EXEC | VmFlag.WRITE | VmFlag.GROWSDOWN) == VmFlag.EXEC:
            self.exec_vm += pages
        elif flags & VmFlag.GROWSDOWN:
            self.stack_vm += pages
        elif _is_data(flags):
            self.data_vm += pages

    def may_expand(self, flags: int, pages: int) -> bool:
        """Return whether RLIMIT_AS and RLIMIT_DATA leave room for pages. [may_expand_vm]"""
        if self.total_vm + pages > self.rlimits.address_space >> PAGE_SHIFT:
            return False
        return not _is_data(flags) or self.data_vm + pages <= self.rlimits.data >> PAGE_SHIFT

    def check_lock_limit(self, flags: int, length: int) -> None:
        """Raise ``SysError(EAGAIN)`` if RLIMIT_MEMLOCK forbids a mapping. [mlock_future_check]

        The mapping has ``flags`` and ``length`` bytes; it only counts if it is locked.
        """
        if flags & VmFlag.LOCKED and not self.privileged:
            locked = self.locked_vm + (length >> PAGE_SHIFT)
            if locked > self.rlimits.memlock >> PAGE_SHIFT:
                raise SysError(errno.EAGAIN)

    @property
    def may_lock(self) -> bool:
        """Whether the process may lock any memory. [can_do_mlock]"""
        return self.privileged or self.rlimits.memlock != 0

    def charge(self, pages: int) -> None:
        """Have pages promised, or raise ``SysError(ENOMEM)``. [security_vm_enough_memory_mm]"""
        self.commit.charge(pages, self.total_vm, privileged=self.privileged)
        self.committed += pages

    def uncharge(self, pages: int) -> None:
        """Give promised pages back. [vm_unacct_memory]"""
        self.commit.uncharge(pages)
        self.committed -= pages

    def prepare_anon_vma(self, vma: Vma) -> None:
        """Give a mapping an anon_vma before its first private page, as a write fault does.

        From then on the mapping merges only with those that share it. [anon_vma_prepare]
        """
        previous, following = self.tree.neighbours(vma)
        anon_vma_prepare(vma, previous, following)

    def check(self) -> None:
        """Raise ``BrokenMm`` if mappings overlap or an account is wrong. [validate_mm]"""
        end, pages, committed, locked = 0, 0, 0, self.locked_unmarked
        recount = MmState(self.space, self.mmap_base)
        for vma in self.tree:
            self._check_vma(vma, end)
            end = vma.end
            pages += vma.pages
            recount.account(vma.flags, vma.pages)
            committed += vma.pages if vma.flags & VmFlag.ACCOUNT else 0
            locked += vma.pages if vma.flags & VmFlag.LOCKED else 0
        for name in ("total_vm", "exec_vm", "stack_vm", "data_vm"):
            if getattr(self, name) != getattr(recount, name):
                raise BrokenMm(f"{name} is {getattr(self, name)}, but mappings have "
                               f"{getattr(recount, name)} such pages")
        if (committed, locked) != (self.committed, self.locked_vm):
            raise BrokenMm(f"{self.committed} pages committed and {self.locked_vm} locked, but "
                           f"mappings have {committed} and {locked}")

    def _check_vma(self, vma: Vma, previous_end: int) -> None:
        if not previous_end <= vma.start < vma.end <= self.space.task_size:
            raise BrokenMm(f"Mapping {vma.start:#x}-{vma.end:#x} overlaps another or is nowhere")
        if (vma.start | vma.end) & (PAGE_BYTES - 1) or vma not in self.tree:
            raise BrokenMm(f"Mapping {vma.start:#x}-{vma.end:#x} is not at its place in the tree")
        if vma.pgoff < 0:
            raise BrokenMm(f"Mapping {vma.start:#x}-{vma.end:#x} has page offset {vma.pgoff}")
        own = vma.anon_vma
        if own is not None and (own not in vma.anon_vma_chain or own.active_vmas < 1):
            raise BrokenMm(f"Mapping {vma.start:#x}-{vma.end:#x} is not linked to its anon_vma")
        if any(vma not in anon_vma.vmas for anon_vma in vma.anon_vma_chain):
            raise BrokenMm(f"An anon_vma does not know mapping {vma.start:#x}-{vma.end:#x}")


def _is_data(flags: int) -> bool:
    """Return whether a mapping is private, writable and no stack. [is_data_mapping]"""
    return flags & (VmFlag.WRITE | VmFlag.SHARED | VmFlag.GROWSDOWN) == VmFlag.WRITE
