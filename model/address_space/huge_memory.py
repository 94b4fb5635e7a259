"""Which mappings may have transparent huge pages. [mm/huge_memory.c, include/linux/huge_mm.h]"""

from enum import Enum

from .limits import UserSpace
from .vma import Vma, VmFlag

__all__ = ["NEVER_HUGE", "ThpEnabled", "hugepage_vma_check", "transhuge_vma_suitable"]

NEVER_HUGE = VmFlag.NOHUGEPAGE | VmFlag.SPECIAL | VmFlag.HUGETLB


class ThpEnabled(Enum):
    """Which mappings get huge pages. [/sys/kernel/mm/transparent_hugepage/enabled]"""

    ALWAYS = "always"
    MADVISE = "madvise"
    NEVER = "never"


def hugepage_vma_check(vma: Vma, enabled: ThpEnabled) -> bool:
    """Return whether flags and kind of a mapping, and the setting, permit huge pages there.

    Files have none: not those of shared memory, for which there is a setting of its own that is
    "never" by default, nor others without CONFIG_READ_ONLY_THP_FOR_FS. [hugepage_vma_check]
    """
    if vma.flags & NEVER_HUGE or not vma.is_anonymous:
        return False
    if enabled is ThpEnabled.MADVISE:
        return bool(vma.flags & VmFlag.HUGEPAGE)
    return enabled is ThpEnabled.ALWAYS


def transhuge_vma_suitable(space: UserSpace, vma: Vma, address: int) -> bool:
    """Return whether the aligned huge page of an address lies within a mapping.

    ``address`` is taken as a register holds it. [transhuge_vma_suitable]
    """
    start = space.word(address) & -space.huge_page_bytes
    return vma.start <= start and space.word(start + space.huge_page_bytes) <= vma.end
