"""What the paging mode decides for the kernel, as data: one ``Platform`` for each mode.

A further mode is an entry of ``model.x86.MODES`` and a row of ``PLATFORMS``, with the layouts and
the entry format that the row names: nothing else in the kernel asks which mode it is.
5-level paging has no row yet.
"""

from dataclasses import dataclass

from ..address_space.auxv import Processor
from ..address_space.kernel_half.layout import AreaKind
from ..address_space.tables.software_entry import AMD64_ENTRIES, I686_ENTRIES, SoftwareFormat
from ..address_space.user_layout import USER_AMD64, USER_I686, UserBuild
from ..physical.gfp import Gfp
from ..physical.kernel_config import AMD64, I686, KernelConfig
from ..x86 import IA32, MODES, X86_64, Cr4, Efer
from .usercopy import ERMS, PENTIUM_III, Usercopy

__all__ = ["KERNEL_MODES", "PLATFORMS", "Platform"]


@dataclass(frozen=True, slots=True)
class Platform:
    """A kernel as it was built for one paging mode.

    Parameters
    ----------
    config
        Its zones, and its figures of physical memory.
    user
        Where the parts of a process go.
    entries
        How it encodes what a page-table entry holds that the hardware does not read.
    cr4, efer
        The registers as every boot sets them. CR4.SMAP, PCIDE and PKE come on top of that if they
        are wanted.
    kernel_half
        The lowest of the kernel's areas. Tables from there on are the same in all address spaces.
    preallocates_vmalloc
        Whether boot makes the tables of the whole vmalloc area that a root points to. Otherwise a
        new one is written to all roots. [preallocate_vmalloc_pages, arch_sync_kernel_mappings]
    hugetlb_gfp
        What huge pages that are set aside are allocated with: as movable where the kernel can
        move them. [htlb_alloc_mask, ARCH_ENABLE_HUGEPAGE_MIGRATION]
    hugetlb_minor
        Device number of the first mount of hugetlbfs, as Debian boots.
    swap_cluster
        Slots of a cluster of swap: as many as a huge page has pages where those are swapped as a
        whole. [SWAPFILE_CLUSTER, CONFIG_THP_SWAP]
    usercopy
        The routines that copy to and from user memory, by default those of an Intel processor.
    processor
        What programs are told of the processor: one with FXSAVE and no XSAVE; the features of every
        x86-64 processor, or those of a Pentium III.
    """

    config: KernelConfig
    user: UserBuild
    entries: SoftwareFormat
    cr4: int
    efer: int
    kernel_half: AreaKind
    preallocates_vmalloc: bool
    hugetlb_gfp: int
    hugetlb_minor: int
    swap_cluster: int
    usercopy: Usercopy
    processor: Processor


PLATFORMS = {
    X86_64.name: Platform(
        config=AMD64, user=USER_AMD64, entries=AMD64_ENTRIES,
        cr4=Cr4.PAE | Cr4.PGE | Cr4.SMEP, efer=Efer.LME | Efer.LMA | Efer.NXE,
        kernel_half=AreaKind.GUARD, preallocates_vmalloc=True,
        hugetlb_gfp=Gfp.HIGHUSER_MOVABLE, hugetlb_minor=15, swap_cluster=512, usercopy=ERMS,
        processor=Processor(b"x86_64", hwcap=0x078B_FBFF)),
    IA32.name: Platform(
        config=I686, user=USER_I686, entries=I686_ENTRIES,
        cr4=Cr4.PSE | Cr4.PGE, efer=0,
        kernel_half=AreaKind.DIRECT_MAP, preallocates_vmalloc=False,
        hugetlb_gfp=Gfp.HIGHUSER, hugetlb_minor=14, swap_cluster=256, usercopy=PENTIUM_III,
        processor=Processor(b"i686", hwcap=0x0383_FBFF)),
}
"""The platform of each paging mode, by the mode's name."""

KERNEL_MODES = {name: mode for name, mode in MODES.items() if name in PLATFORMS}
"""The paging modes that the kernel boots in, by name."""
