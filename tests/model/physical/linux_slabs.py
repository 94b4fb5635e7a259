"""What real Linux 6.1 kernels say of their slabs: the files in tests/data/linux-6.1/<boot>.

``slabinfo.txt`` is /proc/slabinfo, ``slab-sysfs.txt`` a line for each folder of /sys/kernel/slab,
``trace-slab.txt.gz`` the slab events of ftrace without task and time.
"""

import gzip
from dataclasses import dataclass, replace
from pathlib import Path

from pagewalk.model.physical.slab.geometry import AMD64, I686

DATA = Path(__file__).resolve().parents[2] / "data" / "linux-6.1"

# The configuration and the number of nodes of each boot. i686-A had a Pentium III, i686-B a CPU
# with cache lines of 64 bytes, as "SLUB: HWalign" in dmesg says.
BOOTS = {
    "amd64-A": (AMD64, 2),
    "amd64-B": (AMD64, 2),
    "i686-A": (I686, 1),
    "i686-B": (replace(I686, cache_line_bytes=64), 1),
}

# Caches whose objects have a constructor or are read under RCU when free, so that the free pointer
# lies behind the object: the calls of kmem_cache_create in Linux 6.1. The size of an object does
# not tell; that of the others follows from size and alignment alone.
POINTER_BEHIND = (
    "anon_vma", "bdev_cache", "bio-", "dax_cache", "iint_cache", "inode_cache",
    "hugetlbfs_inode_cache", "mqueue_inode_cache", "proc_inode_cache", "shmem_inode_cache",
    "sock_inode_cache", "radix_tree_node", "request_sock_", "sighand_cache", "tw_sock_", "TCP",
    "MPTCP", "userfaultfd_ctx_cache",
)


@dataclass(frozen=True)
class SlabinfoLine:
    """A line of /proc/slabinfo; ``line`` is the text."""

    line: str
    name: str
    active_objs: int
    num_objs: int
    objsize: int
    objperslab: int
    pagesperslab: int
    num_slabs: int


@dataclass(frozen=True)
class SysfsLine:
    """A folder of /sys/kernel/slab."""

    name: str
    object_size: int
    slab_size: int
    order: int
    objs_per_slab: int
    align: int
    min_partial: int
    cpu_partial: int
    reclaim: int

    @property
    def mergeable(self) -> bool:
        """Whether the name is made up from what merged caches have in common."""
        return self.name.startswith(":")

    @property
    def pointer_behind(self) -> bool:
        """Whether the free pointer lies behind the object."""
        return self.name.startswith(POINTER_BEHIND)


@dataclass(frozen=True)
class Event:
    """A slab event; ``name`` is the cache's where the kernel tells it."""

    kind: str
    call_site: str
    ptr: int
    bytes_req: int = 0
    bytes_alloc: int = 0
    gfp_flags: str = ""
    name: str = ""


def slabinfo_text(boot: str) -> str:
    return (DATA / boot / "slabinfo.txt").read_text(encoding="ascii")


def slabinfo_lines(boot: str) -> list[SlabinfoLine]:
    lines = []
    for line in slabinfo_text(boot).splitlines()[2:]:
        words = line.split()
        numbers = [int(word) for word in [*words[1:6], words[-2]]]
        lines.append(SlabinfoLine(line, words[0], *numbers))
    return lines


def sysfs_lines(boot: str) -> list[SysfsLine]:
    lines = []
    for line in (DATA / boot / "slab-sysfs.txt").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        lines.append(SysfsLine(name, **{key: int(value) for key, value in
                                        (field.split("=") for field in fields)}))
    return lines


def events(boot: str) -> list[Event]:
    found = []
    with gzip.open(DATA / boot / "trace-slab.txt.gz", "rt", encoding="ascii") as file:
        for line in file:
            kind, *fields = line.split()
            values = dict(field.split("=", 1) for field in fields)
            values["ptr"] = int(values["ptr"], 16)
            for key in ("bytes_req", "bytes_alloc"):
                values[key] = int(values.get(key, 0))
            found.append(Event(kind.rstrip(":"), **values))
    return found
