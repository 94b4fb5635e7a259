"""``/proc/PID/smaps`` and ``smaps_rollup`` as Linux prints them. [fs/proc/task_mmu.c]

Size, page sizes and flags follow from the mapping; what the page tables say of it is given as
``MemSizeStats``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .huge_memory import ThpEnabled, hugepage_vma_check, transhuge_vma_suitable
from .maps_text import maps_line
from .mm_state import MmState
from .vma import Vma, VmFlag

__all__ = ["MemSizeStats", "rollup_text", "smaps_entry", "smaps_text", "thp_eligible",
           "vm_flags_text"]


@dataclass(slots=True)
class MemSizeStats:
    """What the pages of mappings add up to, in bytes. [struct mem_size_stats]

    ``pss`` and the others named so count 1/n of a page that n entries map.
    """

    resident: int = 0
    pss: int = 0
    pss_dirty: int = 0
    pss_anon: int = 0
    pss_file: int = 0
    pss_shmem: int = 0
    shared_clean: int = 0
    shared_dirty: int = 0
    private_clean: int = 0
    private_dirty: int = 0
    referenced: int = 0
    anonymous: int = 0
    lazyfree: int = 0
    anonymous_thp: int = 0
    shmem_thp: int = 0
    file_thp: int = 0
    shared_hugetlb: int = 0
    private_hugetlb: int = 0
    swap: int = 0
    swap_pss: int = 0
    pss_locked: int = 0


STATS = {
    "Rss": "resident", "Pss": "pss", "Pss_Dirty": "pss_dirty", "Shared_Clean": "shared_clean",
    "Shared_Dirty": "shared_dirty", "Private_Clean": "private_clean",
    "Private_Dirty": "private_dirty", "Referenced": "referenced", "Anonymous": "anonymous",
    "LazyFree": "lazyfree", "AnonHugePages": "anonymous_thp", "ShmemPmdMapped": "shmem_thp",
    "FilePmdMapped": "file_thp", "Shared_Hugetlb": "shared_hugetlb",
    "Private_Hugetlb": "private_hugetlb", "Swap": "swap", "SwapPss": "swap_pss",
    "Locked": "pss_locked",
}
"""Fields of ``smaps`` in order, and where in ``MemSizeStats`` they are."""

KINDS = {"Pss_Anon": "pss_anon", "Pss_File": "pss_file", "Pss_Shmem": "pss_shmem"}
"""Fields that only ``smaps_rollup`` has, behind ``Pss_Dirty``."""

MNEMONICS = {
    VmFlag.READ: "rd", VmFlag.WRITE: "wr", VmFlag.EXEC: "ex", VmFlag.SHARED: "sh",
    VmFlag.MAYREAD: "mr", VmFlag.MAYWRITE: "mw", VmFlag.MAYEXEC: "me", VmFlag.MAYSHARE: "ms",
    VmFlag.GROWSDOWN: "gd", VmFlag.PFNMAP: "pf", VmFlag.LOCKED: "lo", VmFlag.IO: "io",
    VmFlag.SEQ_READ: "sr", VmFlag.RAND_READ: "rr", VmFlag.DONTCOPY: "dc",
    VmFlag.DONTEXPAND: "de", VmFlag.LOCKONFAULT: "??", VmFlag.ACCOUNT: "ac",
    VmFlag.NORESERVE: "nr", VmFlag.HUGETLB: "ht", VmFlag.SYNC: "sf", VmFlag.PAT: "ar",
    VmFlag.WIPEONFORK: "wf", VmFlag.DONTDUMP: "dd", VmFlag.SOFTDIRTY: "sd",
    VmFlag.MIXEDMAP: "mm", VmFlag.HUGEPAGE: "hg", VmFlag.NOHUGEPAGE: "nh",
    VmFlag.MERGEABLE: "mg",
}
"""Two letters for each flag, in the order of the bits; protection keys have a field of theirs."""


def smaps_text(mm: MmState, stats: Callable[[Vma], MemSizeStats],
               thp: ThpEnabled = ThpEnabled.ALWAYS) -> str:
    """Return the file; ``stats`` is asked for the pages of each mapping."""
    return "".join(smaps_entry(mm, vma, stats(vma), thp) for vma in mm.tree)


def smaps_entry(mm: MmState, vma: Vma, stats: MemSizeStats,
                thp: ThpEnabled = ThpEnabled.ALWAYS) -> str:
    """Return the lines of one mapping; ``thp`` is which mappings get huge pages."""
    sizes = {"Size": vma.end - vma.start, "KernelPageSize": vma.page_bytes,
             "MMUPageSize": vma.page_bytes}
    sizes |= {name: getattr(stats, field) for name, field in STATS.items()}
    lines = [_line(name, size) for name, size in sizes.items()]
    lines.append(f"THPeligible:    {thp_eligible(mm, vma, thp):d}\n")
    if mm.space.pkeys:
        lines.append(f"ProtectionKey:  {(vma.flags & VmFlag.PKEY) >> VmFlag.PKEY_SHIFT:8}\n")
    return maps_line(mm, vma) + "".join(lines) + f"VmFlags: {vm_flags_text(vma.flags)}\n"


def rollup_text(mm: MmState, stats: MemSizeStats) -> str:
    """Return ``smaps_rollup``; ``stats`` is of all mappings together. [show_smaps_rollup]"""
    vmas = list(mm.tree)
    start, end = (vmas[0].start, vmas[-1].end) if vmas else (0, 0)
    head = f"{start:08x}-{end:08x} ---p 00000000 00:00 0 ".ljust(24 + 6 * mm.space.word_bytes)
    names = list(STATS)
    behind = names.index("Pss_Dirty") + 1
    fields = STATS | KINDS
    return f"{head} [rollup]\n" + "".join(
        _line(name, getattr(stats, fields[name]))
        for name in (*names[:behind], *KINDS, *names[behind:]))


def _line(name: str, size: int) -> str:
    """Return the line of one figure in kB; a long name takes up columns left of the number."""
    width = max(16, len(name) + 2)
    return f"{name + ':':<{width}}{size >> 10:{24 - width}} kB\n"


def vm_flags_text(flags: int) -> str:
    """Return the letters of the flags, each pair with a blank after it."""
    return "".join(f"{letters} " for flag, letters in MNEMONICS.items() if flags & flag)


def thp_eligible(mm: MmState, vma: Vma, thp: ThpEnabled = ThpEnabled.ALWAYS) -> bool:
    """Return whether a transparent huge page could be there, with THP set to ``thp``.

    As in Linux 6.1, the address of the last huge page that fits wraps around if the mapping ends
    below the size of one, so that a mapping near 0 passes for eligible. [hugepage_vma_check]
    """
    last = vma.end - mm.space.huge_page_bytes
    return hugepage_vma_check(vma, thp) and transhuge_vma_suitable(mm.space, vma, last)
