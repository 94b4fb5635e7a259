"""``/proc/vmstat``. [vmstat_text, vmstat_start in mm/vmstat.c]

It lacks the counters of what is not modelled, or not counted: of allocations by zone, of
slabs, of writing back in the background, of compaction, of readahead.
"""

from ..kernel import Kernel
from ..reclaim.lru import LruList
from .memory_counts import MemoryCounts

__all__ = ["vmstat"]

LISTS = {"inactive_anon": LruList.INACTIVE_ANON, "active_anon": LruList.ACTIVE_ANON,
         "inactive_file": LruList.INACTIVE_FILE, "active_file": LruList.ACTIVE_FILE,
         "unevictable": LruList.UNEVICTABLE}
REFAULTS = [f"workingset_{what}_{kind}" for what in ("refault", "activate", "restore")
            for kind in ("anon", "file")]
RECLAIM = ["pgrefill", "pgsteal_kswapd", "pgsteal_direct", "pgscan_kswapd", "pgscan_direct",
           "pgscan_anon", "pgscan_file", "pgsteal_anon", "pgsteal_file"]
PAGE_KBYTES = 4


def vmstat(kernel: Kernel) -> str:
    """Return the file: a counter a line."""
    counts = MemoryCounts(kernel)
    lists = {name: counts.lru(lru) for name, lru in LISTS.items()}
    lines = (_zones(counts, lists) | _numa(kernel) | _nodes(kernel, counts, lists)
             | _events(kernel))
    return "".join(f"{name} {count}\n" for name, count in lines.items())


def _zones(counts: MemoryCounts, lists: dict[str, int]) -> dict[str, int]:
    """Return the counters of all zones together. [zone_stat_item]"""
    return {"nr_free_pages": counts.free,
            **{f"nr_zone_{name}": count for name, count in lists.items()},
            "nr_zone_write_pending": counts.dirty, "nr_mlock": lists["unevictable"],
            "nr_bounce": 0, "nr_free_cma": 0}


def _numa(kernel: Kernel) -> dict[str, int]:
    """Return where allocations went, of a kernel that knows nodes. [numa_stat_item]"""
    if not kernel.platform.config.numa:
        return {}
    zones = [zone.numa for zone in kernel.state.allocator.populated]
    return {f"numa_{name}": sum(getattr(one, name) for one in zones)
            for name in zones[0].__slots__}


def _nodes(kernel: Kernel, counts: MemoryCounts, lists: dict[str, int]) -> dict[str, int]:
    """Return the counters of all nodes together. [node_stat_item]"""
    events, (anon, file) = kernel.state.lruvec.vmstat, counts.mapped
    return {**{f"nr_{name}": count for name, count in lists.items()},
            "nr_isolated_anon": 0, "nr_isolated_file": 0,
            **{name: events[name] for name in REFAULTS},
            "nr_anon_pages": anon, "nr_mapped": file,
            "nr_file_pages": counts.file + counts.swap_cached, "nr_dirty": counts.dirty,
            "nr_writeback": 0, "nr_writeback_temp": 0, "nr_shmem": counts.shmem,
            "nr_shmem_hugepages": 0, "nr_shmem_pmdmapped": 0, "nr_file_hugepages": 0,
            "nr_file_pmdmapped": 0, "nr_anon_transparent_hugepages": counts.huge,
            "nr_page_table_pages": counts.page_tables, "nr_sec_page_table_pages": 0,
            "nr_swapcached": counts.swap_cached}


def _events(kernel: Kernel) -> dict[str, int]:
    """Return what has happened since boot; what was read and written in kbytes. [vm_event_item]"""
    state, events = kernel.state, kernel.state.lruvec.vmstat
    cache, swap = state.page_cache, state.swap
    return {"pgpgin": (cache.pages_in + swap.pages_in) * PAGE_KBYTES,
            "pgpgout": (cache.pages_out + swap.pages_out) * PAGE_KBYTES,
            "pswpin": swap.pages_in, "pswpout": swap.pages_out,
            "pgactivate": events["pgactivate"], "pgdeactivate": events["pgdeactivate"],
            "pglazyfree": events["pglazyfree"], "pgfault": events["pgfault"],
            "pgmajfault": events["pgmajfault"],
            **{name: events[name] for name in RECLAIM}, "oom_kill": len(kernel.oom_kills)}
