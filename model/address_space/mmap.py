"""Making mappings. [do_mmap, mmap_region]"""

import errno

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .errors import SysError
from .hugetlb_mapping import map_huge
from .kernel_files import Seal
from .merge import can_merge_after, can_merge_before, expand
from .mm_state import MmState
from .munmap import unmap_range
from .populate import mm_populate
from .shmem_mapping import map_shmem
from .uapi import MapFlag, Prot
from .unmapped_area import get_unmapped_area
from .vma import File, Vma, VmFlag, page_align

__all__ = ["map_region", "mmap", "prot_flags"]


def prot_flags(prot: int, pkey: int) -> int:
    """Return the flags of a mapping with these rights and key. [calc_vm_prot_bits]"""
    return prot & VmFlag.ACCESS | pkey << VmFlag.PKEY_SHIFT


def mmap(
    mm: MmState, address: int, length: int, prot: int, flags: int, file: File | None, offset: int
) -> int:
    """Map memory or a file and return where; see ``Mm.mmap``. [ksys_mmap_pgoff, do_mmap]"""
    if offset & (PAGE_BYTES - 1):
        raise SysError(errno.EINVAL)
    if mm.read_implies_exec and prot & Prot.READ:
        prot |= Prot.EXEC
    if file is None and not flags & MapFlag.ANONYMOUS:
        raise SysError(errno.EBADF)
    if flags & MapFlag.ANONYMOUS:
        file = None
    if flags & MapFlag.HUGETLB:
        if file is None:
            file = mm.files.open_hugetlb(flags >> MapFlag.HUGE_SHIFT & MapFlag.HUGE_MASK)
        elif not file.huge_page_bytes:
            raise SysError(errno.EINVAL)
    if file is not None and file.huge_page_bytes:
        length = mm.space.word(length + -length % file.huge_page_bytes)
    pgoff = offset >> PAGE_SHIFT
    address, length = _place(mm, file, address, length, flags, pgoff)
    vm_flags = _vm_flags(mm, length, prot, flags, file, pgoff)
    if file is None:
        pgoff = 0 if vm_flags & VmFlag.SHARED else address >> PAGE_SHIFT
    map_region(mm, file, address, length, vm_flags, pgoff)
    if vm_flags & VmFlag.LOCKED or flags & (
            MapFlag.POPULATE | MapFlag.NONBLOCK) == MapFlag.POPULATE:
        mm_populate(mm, address, address + length)
    return address


def _place(
    mm: MmState, file: File | None, address: int, length: int, flags: int, pgoff: int
) -> tuple[int, int]:
    """Return address and length, in whole pages, that a new mapping is to have.

    [do_mmap, first half]
    """
    word = 1 << 8 * mm.space.word_bytes
    if not length:
        raise SysError(errno.EINVAL)
    if flags & MapFlag.FIXED_NOREPLACE:
        flags |= MapFlag.FIXED
    if not flags & MapFlag.FIXED:
        address &= -PAGE_BYTES
        if address:
            address = max(address, page_align(mm.space.mmap_min_addr))
    length = page_align(length)
    if not 0 < length < word:
        raise SysError(errno.ENOMEM)
    if pgoff + (length >> PAGE_SHIFT) >= word:
        raise SysError(errno.EOVERFLOW)
    if mm.map_count > mm.space.max_map_count:
        raise SysError(errno.ENOMEM)
    address = get_unmapped_area(mm, file, address, length, flags, pgoff)
    if flags & MapFlag.FIXED_NOREPLACE and mm.tree.intersection(address, address + length):
        raise SysError(errno.EEXIST)
    return address, length


def _vm_flags(
    mm: MmState, length: int, prot: int, flags: int, file: File | None, pgoff: int
) -> int:
    """Return the flags that a new mapping is to have, or raise ``SysError``.

    [do_mmap, second half]
    """
    pkey = mm.pkeys.for_execute_only() if prot == Prot.EXEC else 0
    vm_flags = prot_flags(prot, pkey) | mm.def_flags | VmFlag.MAY_ACCESS
    vm_flags |= VmFlag.GROWSDOWN if flags & MapFlag.GROWSDOWN else 0
    vm_flags |= VmFlag.SYNC if flags & MapFlag.SYNC else 0
    if flags & MapFlag.LOCKED:
        vm_flags |= VmFlag.LOCKED
        if not mm.may_lock:
            raise SysError(errno.EPERM)
    mm.check_lock_limit(vm_flags, length)
    if file is not None and pgoff > _largest_file(mm, file) - length >> PAGE_SHIFT:
        raise SysError(errno.EOVERFLOW)
    if _is_shared(file, flags):
        vm_flags |= VmFlag.SHARED | VmFlag.MAYSHARE
    may_grow = file is None and not vm_flags & VmFlag.SHARED
    if file is not None:
        vm_flags = _file_flags(mm, file, prot, vm_flags)
    if vm_flags & VmFlag.GROWSDOWN and not may_grow:
        raise SysError(errno.EINVAL)
    if flags & MapFlag.NORESERVE and (mm.commit.honours_noreserve or (
            file is not None and file.huge_page_bytes)):
        vm_flags |= VmFlag.NORESERVE
    return vm_flags


def _is_shared(file: File | None, flags: int) -> bool:
    """Return whether a mapping is shared.

    Raise ``SysError``: EINVAL if it is neither that nor private, EOPNOTSUPP for flags that the
    file does not support if the call wants to know.
    """
    kind = flags & MapFlag.TYPE
    if file is not None and kind == MapFlag.SHARED_VALIDATE:
        known = MapFlag.LEGACY | (MapFlag.SYNC if file.knows_sync else 0)
        if flags & ~known:
            raise SysError(errno.EOPNOTSUPP)
        return True
    if kind not in (MapFlag.PRIVATE, MapFlag.SHARED):
        raise SysError(errno.EINVAL)
    return kind == MapFlag.SHARED


def _largest_file(mm: MmState, file: File) -> int:
    """Return the most bytes that a file can have; a device has no limit. [file_mmap_size_max]"""
    if file.vm_flags:
        return 1 << 64
    return (1 << 63) - 1 if mm.space.word_bytes == 8 else ((1 << 32) - 1) << PAGE_SHIFT


def _file_flags(mm: MmState, file: File, prot: int, vm_flags: int) -> int:
    """Return ``vm_flags`` without those that the mode of the file or its seals forbid.

    Raise ``SysError(EACCES)`` if the mode forbids what was asked for.
    """
    if vm_flags & VmFlag.SHARED and not file.writable:
        if prot & Prot.WRITE:
            raise SysError(errno.EACCES)
        vm_flags &= ~(VmFlag.MAYWRITE | VmFlag.SHARED)
    elif _seals(mm, file) & Seal.ANY_WRITE and (
            vm_flags & (VmFlag.SHARED | VmFlag.WRITE) == VmFlag.SHARED):
        vm_flags &= ~VmFlag.MAYWRITE
    if not file.readable:
        raise SysError(errno.EACCES)
    return vm_flags


def _seals(mm: MmState, file: File | None) -> int:
    """Return what a file is sealed against, 0 if it is none of shared memory."""
    inode = mm.files.inodes.get(file.key) if file is not None and file.is_shmem else None
    return inode.seals if inode is not None else 0


def map_region(
    mm: MmState, file: File | None, start: int, length: int, flags: int, pgoff: int
) -> None:
    """Map a range in place of what is there, as part of its neighbours if possible.

    Raise ``SysError``: EPERM if the file is sealed against writing; ENOMEM if that exceeds a limit,
    or as the file's driver. What was in the range may then be unmapped. [mmap_region]
    """
    writable = VmFlag.SHARED | VmFlag.MAYWRITE
    if flags & writable == writable and _seals(mm, file) & Seal.WRITE:
        raise SysError(errno.EPERM)
    end, pages = start + length, length >> PAGE_SHIFT
    if not mm.may_expand(flags, pages):
        replaced = sum(min(end, vma.end) - max(start, vma.start)
                       for vma in mm.tree.overlapping(start, end)) >> PAGE_SHIFT
        if not mm.may_expand(flags, pages - replaced):
            raise SysError(errno.ENOMEM)
    try:
        unmap_range(mm, start, end)
    except SysError as error:
        raise SysError(errno.ENOMEM) from error
    is_huge = file is not None and file.huge_page_bytes
    if not is_huge and flags & (
            VmFlag.NORESERVE | VmFlag.SHARED | VmFlag.WRITE) == VmFlag.WRITE:
        mm.charge(pages)
        flags |= VmFlag.ACCOUNT
    vma = _merge_new(mm, file, start, end, flags, pgoff)
    if vma is None:
        try:
            vma = _new_mapping(mm, file, start, end, flags, pgoff)
        except SysError:
            mm.uncharge(pages if flags & VmFlag.ACCOUNT else 0)
            raise
        flags = vma.flags
    mm.account(flags, pages)
    if flags & VmFlag.LOCKED:
        if flags & (VmFlag.SPECIAL | VmFlag.HUGETLB):
            vma.flags &= ~VmFlag.LOCK_MASK
        else:
            mm.locked_vm += pages
    vma.flags |= mm.soft_dirty


def _merge_new(
    mm: MmState, file: File | None, start: int, end: int, flags: int, pgoff: int
) -> Vma | None:
    """Let a neighbour of a hole grow over it; return the neighbour, None if none can."""
    if flags & VmFlag.SPECIAL:
        return None
    following, previous = mm.tree.find_with_previous(start)
    grown, low, high = None, start, end
    if following is not None and following.start == end and can_merge_before(
            following, flags, None, file, pgoff + ((end - start) >> PAGE_SHIFT)):
        grown, high = following, following.end
    anon_vma = grown.anon_vma if grown is not None else None
    if previous is not None and previous.end == start and can_merge_after(
            previous, flags, anon_vma, file, pgoff):
        grown, low = previous, previous.start
    if grown is not None:
        expand(mm, grown, low, high)
    return grown


def _new_mapping(
    mm: MmState, file: File | None, start: int, end: int, flags: int, pgoff: int
) -> Vma:
    """Add a mapping to the tree, after asking the driver of its file. [file->f_op->mmap]

    Raise ``SysError``: ENOMEM for shared anonymous memory that cannot be promised; EPERM for what
    is sealed against being written from now on; EOPNOTSUPP for MAP_SYNC of a file on a disk; or as
    ``map_huge``.
    """
    if not ~flags & (VmFlag.SHARED | VmFlag.WRITE) and _seals(mm, file) & Seal.ANY_WRITE:
        raise SysError(errno.EPERM)
    if file is None and flags & VmFlag.SHARED:
        file = map_shmem(mm, end - start, flags)
    vma = Vma(start, end, flags, pgoff, file)
    if file is not None:
        vma.flags |= file.vm_flags
        if file.knows_sync and flags & VmFlag.SYNC:
            raise SysError(errno.EOPNOTSUPP)
        if file.huge_page_bytes:
            map_huge(mm, vma)
    mm.tree.insert(vma)
    return vma
