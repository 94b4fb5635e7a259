"""One mapping of an address space: what it maps, with which rights. [struct vm_area_struct]

Flags have the values of Linux 6.1 (include/linux/mm.h) and are plain ints, as every call tests
them.
"""

from dataclasses import dataclass, field, replace

from ..x86 import PAGE_BYTES, PAGE_SHIFT

__all__ = ["AnonVma", "File", "SpecialMapping", "VmFlag", "Vma", "page_align"]


def page_align(value: int) -> int:
    """Round bytes up to whole pages. [PAGE_ALIGN]"""
    return (value + PAGE_BYTES - 1) & -PAGE_BYTES


class VmFlag:
    """The flags of a mapping, and the combinations that rules ask for. [``VM_*``]"""

    READ = 1 << 0
    WRITE = 1 << 1
    EXEC = 1 << 2
    SHARED = 1 << 3
    MAYREAD = 1 << 4
    MAYWRITE = 1 << 5
    MAYEXEC = 1 << 6
    MAYSHARE = 1 << 7
    GROWSDOWN = 1 << 8
    PFNMAP = 1 << 10
    LOCKED = 1 << 13
    IO = 1 << 14
    SEQ_READ = 1 << 15
    RAND_READ = 1 << 16
    DONTCOPY = 1 << 17
    DONTEXPAND = 1 << 18
    LOCKONFAULT = 1 << 19
    ACCOUNT = 1 << 20
    NORESERVE = 1 << 21
    HUGETLB = 1 << 22
    SYNC = 1 << 23
    PAT = 1 << 24
    WIPEONFORK = 1 << 25
    DONTDUMP = 1 << 26
    SOFTDIRTY = 1 << 27
    MIXEDMAP = 1 << 28
    HUGEPAGE = 1 << 29
    NOHUGEPAGE = 1 << 30
    MERGEABLE = 1 << 31
    PKEY = 0xF << 32

    PKEY_SHIFT = 32
    MAY_SHIFT = 4
    ACCESS = READ | WRITE | EXEC
    MAY_ACCESS = ACCESS << MAY_SHIFT
    DATA_DEFAULT = READ | WRITE | MAY_ACCESS
    STACK = DATA_DEFAULT | GROWSDOWN | ACCOUNT
    LOCK_MASK = LOCKED | LOCKONFAULT
    SPECIAL = IO | DONTEXPAND | PFNMAP | MIXEDMAP
    DEVICE_MEMORY = IO | PFNMAP | DONTEXPAND | DONTDUMP | PAT
    """What a driver's ``mmap`` that maps page frames adds. [remap_pfn_range]"""


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """An open file that can be mapped. [struct file]

    Two mappings are of one file only if they hold the same object: opening a file twice makes
    two, which never merge.

    Parameters
    ----------
    name, major, minor, inode
        What ``/proc/PID/maps`` shows: the path as it is printed there, the device, the inode.
    readable, writable
        The mode that the file was opened in.
    vm_flags
        What its driver's ``mmap`` adds to the flags of a mapping, such as ``VmFlag.DEVICE_MEMORY``.
    has_close
        Whether its driver wants to hear of every mapping that ends: such mappings never merge.
    is_shmem
        Whether its pages are those of tmpfs or of shared memory.
    huge_page_bytes
        The page size of a hugetlbfs file, else 0.
    thp_aligned
        Whether its file system has large mappings begin where a huge page could: ext2, ext4, XFS
        and Btrfs do on 64-bit machines. [thp_get_unmapped_area]
    knows_sync
        Whether its file system knows MAP_SYNC, and so refuses it where memory is not the file
        itself: ext4 and XFS. [mmap_supported_flags, daxdev_mapping_supported]
    first
        The file that stands for the inode, where this one was opened later; None for itself.
    """

    name: str
    major: int = 0
    minor: int = 0
    inode: int = 0
    readable: bool = True
    writable: bool = True
    vm_flags: int = 0
    has_close: bool = False
    is_shmem: bool = False
    huge_page_bytes: int = 0
    thp_aligned: bool = False
    knows_sync: bool = False
    first: "File | None" = None

    @property
    def key(self) -> "File":
        """What the kernel knows the inode by. [file_inode]"""
        return self if self.first is None else self.first


@dataclass(frozen=True, slots=True, eq=False)
class SpecialMapping:
    """Pages that the kernel lends: ``[vdso]``, ``[vvar]``. [struct vm_special_mapping]"""

    name: str


@dataclass(slots=True, eq=False)
class AnonVma:
    """What the anonymous pages of related mappings point to. [struct anon_vma]

    Members
    -------
    parent, children
        The anon_vma that a fork made it from, and how many with mappings were made from it; a root
        is its own parent and child.
    active_vmas
        How many mappings have it as their own ``anon_vma``.
    vmas
        The mappings that a page may be in, oldest first.
    """

    parent: "AnonVma | None" = None
    children: int = 0
    active_vmas: int = 0
    vmas: "dict[Vma, None]" = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Vma:
    """The mapping of linear addresses from ``start`` up to ``end``, both page-aligned.

    Members
    -------
    flags
        Bits of ``VmFlag``.
    pgoff
        The page of the file that ``start`` maps; for anonymous memory the page number of the
        address where it was first touched.
    file, special
        What is mapped; both None for private anonymous memory.
    anon_vma, anon_vma_chain
        None until there is a private page; and all anon_vmas that pages may point to: that one, and
        those of the processes that this one was forked from.
    resv_map
        Of a private mapping that has reserved huge pages, the numbers in the file of those that
        have used up their reserve, else None. The parts of a mapping that was cut share one set.
        [HPAGE_RESV_OWNER]
    resv_unmapped
        Whether another process took away a huge page of this mapping, because there were too few.
        [HPAGE_RESV_UNMAPPED]
    """

    start: int
    end: int
    flags: int
    pgoff: int
    file: File | None = None
    special: SpecialMapping | None = None
    anon_vma: AnonVma | None = None
    anon_vma_chain: list[AnonVma] = field(default_factory=list)
    resv_map: set[int] | None = None
    resv_unmapped: bool = False

    @property
    def pages(self) -> int:
        """Length in pages. [vma_pages]"""
        return (self.end - self.start) >> PAGE_SHIFT

    @property
    def is_anonymous(self) -> bool:
        """Whether no file and no driver supplies the pages. [vma_is_anonymous]"""
        return self.file is None and self.special is None

    @property
    def has_close(self) -> bool:
        """Whether a driver wants to hear of its end; it then never merges. [vm_ops->close]"""
        return self.special is not None or (self.file is not None and self.file.has_close)

    @property
    def page_bytes(self) -> int:
        """Bytes of the mapping's pages, at whose borders it may be cut. [vma_kernel_pagesize]"""
        huge = self.file.huge_page_bytes if self.file is not None else 0
        return huge or PAGE_BYTES

    def pgoff_of(self, address: int) -> int:
        """Return the page offset that ``address`` has in this mapping. [linear_page_index]"""
        return self.pgoff + ((address - self.start) >> PAGE_SHIFT)

    def duplicate(self) -> "Vma":
        """Return a copy of this mapping that is linked to no anon_vma yet. [vm_area_dup]"""
        return replace(self, anon_vma_chain=[])
