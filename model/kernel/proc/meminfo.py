"""``/proc/meminfo``. [meminfo_proc_show in fs/proc/meminfo.c]

It lacks the lines of what is not modelled: zswap, slabs, stacks of the kernel, per-CPU memory,
pages that hardware has corrupted, and CMA; and those of the direct map, which the kernel goes on to
split after boot.
"""

from ..kernel import Kernel
from ..reclaim.lru import LruList
from .memory_counts import MemoryCounts

__all__ = ["meminfo"]

PAGE_KBYTES = 4


def meminfo(kernel: Kernel) -> str:
    """Return the file: a line for each figure."""
    counts = MemoryCounts(kernel)
    commit, area = kernel.commit, kernel.layout.vmalloc
    promises = {"CommitLimit": commit.commit_limit, "Committed_AS": commit.committed}
    # On x86-64 the macro of its end names the last byte.
    vmalloc_bytes = area.end - area.start - (kernel.mode.vaddr_bits == 64)
    return (_lines(_memory(counts) | _high(kernel, counts) | _use(counts) | promises)
            + _line("VmallocTotal", vmalloc_bytes >> 10)
            + _lines({"VmallocUsed": counts.vmalloc, "VmallocChunk": 0})
            + _lines(_transparent(kernel, counts)) + _huge_pages(kernel))


def _lines(pages: dict[str, int]) -> str:
    """Return a line for each count of pages."""
    return "".join(_line(name, count * PAGE_KBYTES) for name, count in pages.items())


def _line(name: str, kbytes: int) -> str:
    """Return a line as Linux pads it. [show_val_kb]"""
    return f"{name + ':':<16}{kbytes:8} kB\n"


def _memory(counts: MemoryCounts) -> dict[str, int]:
    """Return what there is, and what is on the lists of reclaim."""
    active = {kind: counts.lru(lru) for kind, lru in (
        ("anon", LruList.ACTIVE_ANON), ("file", LruList.ACTIVE_FILE))}
    inactive = {kind: counts.lru(lru) for kind, lru in (
        ("anon", LruList.INACTIVE_ANON), ("file", LruList.INACTIVE_FILE))}
    unevictable = counts.lru(LruList.UNEVICTABLE)
    return {
        "MemTotal": counts.total, "MemFree": counts.free, "MemAvailable": counts.available,
        "Buffers": 0, "Cached": counts.file, "SwapCached": counts.swap_cached,
        "Active": sum(active.values()), "Inactive": sum(inactive.values()),
        "Active(anon)": active["anon"], "Inactive(anon)": inactive["anon"],
        "Active(file)": active["file"], "Inactive(file)": inactive["file"],
        "Unevictable": unevictable, "Mlocked": unevictable,
    }


def _high(kernel: Kernel, counts: MemoryCounts) -> dict[str, int]:
    """Return the shares of highmem, of a kernel that may have some. [CONFIG_HIGHMEM]"""
    if kernel.map.pkmap is None:
        return {}
    total, free = counts.high
    return {"HighTotal": total, "HighFree": free, "LowTotal": counts.total - total,
            "LowFree": counts.free - free}


def _use(counts: MemoryCounts) -> dict[str, int]:
    """Return swap, and what pages are used for."""
    swap, free_swap = counts.swap
    anon, file = counts.mapped
    return {"SwapTotal": swap, "SwapFree": free_swap, "Dirty": counts.dirty, "Writeback": 0,
            "AnonPages": anon, "Mapped": file, "Shmem": counts.shmem,
            "PageTables": counts.page_tables, "SecPageTables": 0, "NFS_Unstable": 0, "Bounce": 0,
            "WritebackTmp": 0}


def _transparent(kernel: Kernel, counts: MemoryCounts) -> dict[str, int]:
    """Return the transparent huge pages; those of files are not modelled."""
    return {"AnonHugePages": counts.huge * kernel.state.thp.page_count, "ShmemHugePages": 0,
            "ShmemPmdMapped": 0, "FileHugePages": 0, "FilePmdMapped": 0}


def _huge_pages(kernel: Kernel) -> str:
    """Return the lines of huge pages that are set aside. [hugetlb_report_meminfo]"""
    pools = kernel.state.hugetlb.values()
    pool = next(iter(pools))
    counts = {"HugePages_Total": pool.total, "HugePages_Free": len(pool.free_list),
              "HugePages_Rsvd": pool.reserved, "HugePages_Surp": pool.surplus}
    text = "".join(f"{name + ':':<19}{count:5}\n" for name, count in counts.items())
    text += _line("Hugepagesize", pool.page_bytes >> 10)
    return text + _line("Hugetlb", sum(one.total * one.page_bytes for one in pools) >> 10)
