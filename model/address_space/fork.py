"""The mappings of a forked process. [dup_mmap]

Its pages, which become copy-on-write, are ``kernel.fork_pages``.
"""

from .anon_vma import anon_vma_fork
from .hugetlb_mapping import open_huge
from .mm_state import MmState
from .vma import Vma, VmFlag

__all__ = ["copy_mappings"]

PLACES = ("start_code", "end_code", "start_data", "end_data", "start_brk", "brk_end",
          "start_stack", "arg_start", "arg_end", "env_start", "env_end", "auxv",
          "read_implies_exec")


def copy_mappings(parent: MmState, child: MmState) -> None:
    """Give a new address space, made with ``Mm.child``, what a fork copies. [dup_mmap]

    Mappings marked MADV_DONTFORK are left out; none is locked. Copying the page tables is the
    caller's: mappings marked MADV_WIPEONFORK start empty. Raise ``SysError(ENOMEM)`` if the
    child's pages cannot be promised. The child then has the lower ones of its mappings, and the
    caller must end it.
    """
    for name in PLACES:
        setattr(child, name, getattr(parent, name))
    child.pkeys = parent.pkeys.copy()
    for vma in parent.tree:
        if not vma.flags & VmFlag.DONTCOPY:
            _copy(parent, child, vma)


def _copy(parent: MmState, child: MmState, vma: Vma) -> None:
    if vma.flags & VmFlag.ACCOUNT:
        child.commit.charge(vma.pages, parent.total_vm, privileged=parent.privileged)
        child.committed += vma.pages
    copy = vma.duplicate()
    if copy.flags & VmFlag.HUGETLB:
        copy.resv_map, copy.resv_unmapped = None, False  # [hugetlb_dup_vma_private]
        open_huge(child, copy)
    if copy.flags & VmFlag.WIPEONFORK:
        copy.anon_vma = None
    else:
        anon_vma_fork(copy, vma)
    copy.flags &= ~VmFlag.LOCK_MASK
    child.tree.insert(copy)
    child.account(copy.flags, copy.pages)
