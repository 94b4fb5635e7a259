"""Arguments of the memory system calls. [include/uapi/asm-generic/mman*.h, linux/mman.h]

Plain ints, to be combined; values are those of x86.
"""

__all__ = ["Madvise", "MapFlag", "MlockallFlag", "MremapFlag", "MsyncFlag", "Prot"]


class Prot:
    """What ``mmap`` and ``mprotect`` permit. [``PROT_*``]"""

    NONE = 0
    READ = 1 << 0
    WRITE = 1 << 1
    EXEC = 1 << 2
    SEM = 1 << 3
    GROWSDOWN = 1 << 24
    GROWSUP = 1 << 25


class MapFlag:
    """How ``mmap`` maps. [``MAP_*``] ``TYPE`` masks the first three, which exclude each other.

    The log2 of the page size of a ``HUGETLB`` mapping stands from bit ``HUGE_SHIFT`` on, 0 for
    the default. ``BELOW_2G`` is MAP_32BIT. ``LEGACY`` are the flags that every file takes, whether
    they mean anything or not; SHARED_VALIDATE refuses any other that a file does not support.
    [LEGACY_MAP_MASK]
    """

    SHARED = 1
    PRIVATE = 2
    SHARED_VALIDATE = 3
    TYPE = 0xF
    FIXED = 1 << 4
    ANONYMOUS = 1 << 5
    BELOW_2G = 1 << 6
    GROWSDOWN = 1 << 8
    DENYWRITE = 1 << 11
    EXECUTABLE = 1 << 12
    LOCKED = 1 << 13
    NORESERVE = 1 << 14
    POPULATE = 1 << 15
    NONBLOCK = 1 << 16
    STACK = 1 << 17
    HUGETLB = 1 << 18
    SYNC = 1 << 19
    FIXED_NOREPLACE = 1 << 20
    UNINITIALIZED = 1 << 26
    HUGE_SHIFT = 26
    HUGE_MASK = 0x3F
    HUGE_2MB = 21 << HUGE_SHIFT
    HUGE_1GB = 30 << HUGE_SHIFT
    LEGACY = (SHARED | PRIVATE | FIXED | ANONYMOUS | DENYWRITE | EXECUTABLE | UNINITIALIZED
              | GROWSDOWN | LOCKED | NORESERVE | POPULATE | NONBLOCK | STACK | HUGETLB | BELOW_2G
              | HUGE_2MB | HUGE_1GB)


class MremapFlag:
    """How ``mremap`` moves. [``MREMAP_*``]"""

    MAYMOVE = 1 << 0
    FIXED = 1 << 1
    DONTUNMAP = 1 << 2


class MsyncFlag:
    """How ``msync`` writes. [``MS_*``]"""

    ASYNC = 1
    INVALIDATE = 2
    SYNC = 4


class MlockallFlag:
    """What ``mlockall`` locks. [``MCL_*``]"""

    CURRENT = 1
    FUTURE = 2
    ONFAULT = 4


class Madvise:
    """What ``madvise`` is told. [``MADV_*``]"""

    NORMAL = 0
    RANDOM = 1
    SEQUENTIAL = 2
    WILLNEED = 3
    DONTNEED = 4
    FREE = 8
    REMOVE = 9
    DONTFORK = 10
    DOFORK = 11
    MERGEABLE = 12
    UNMERGEABLE = 13
    HUGEPAGE = 14
    NOHUGEPAGE = 15
    DONTDUMP = 16
    DODUMP = 17
    WIPEONFORK = 18
    KEEPONFORK = 19
    COLD = 20
    PAGEOUT = 21
    POPULATE_READ = 22
    POPULATE_WRITE = 23
    DONTNEED_LOCKED = 24
    COLLAPSE = 25
    HWPOISON = 100
    SOFT_OFFLINE = 101
