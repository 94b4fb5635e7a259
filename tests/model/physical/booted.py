"""A Slub with all the caches of a real kernel, made in the order in which that made them."""

from collections import defaultdict

from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.geometry import SlabFlag
from pagewalk.model.physical.slab.slub import Slub

from .linux_slabs import BOOTS, SysfsLine, slabinfo_lines, sysfs_lines
from .slab_pages import Pages

LETTERS = {"d": SlabFlag.CACHE_DMA, "D": SlabFlag.CACHE_DMA32, "a": SlabFlag.RECLAIM_ACCOUNT,
           "A": SlabFlag.ACCOUNT}


def boot_slub(boot: str) -> Slub:
    """A Slub with nothing but the caches that every kernel begins with."""
    config, nodes = BOOTS[boot]
    order = {nid: [nid, *(other for other in range(nodes) if other != nid)] for nid in range(nodes)}
    return Slub(PhysicalMemory(), Pages(frames=2048, nodes=nodes), config, (0,), order)


def full_slub(boot: str) -> Slub:
    """The same with all the other caches of the boot's slabinfo, the oldest first."""
    slub = boot_slub(boot)
    there = {cache.name for cache in slub.caches.caches}
    named, merged = {}, defaultdict(list)
    for line in sysfs_lines(boot):
        if line.mergeable:
            merged[line.slab_size].append(line)
        else:
            named[line.name] = line
    for line in reversed(slabinfo_lines(boot)):
        if line.name in named:
            if line.name not in there:
                create(slub, line.name, named[line.name])
        else:  # sysfs has a name made up from its size; which one of that size is all the same
            create(slub, line.name, merged[line.objsize].pop())
    assert not any(merged.values())
    return slub


def create(slub: Slub, name: str, line: SysfsLine) -> None:
    letters = line.name.rpartition("-")[0].strip(":") if line.mergeable else ""
    flags = sum(LETTERS[letter] for letter in letters)
    flags |= SlabFlag.RECLAIM_ACCOUNT * line.reclaim
    ctor = (lambda _pointer: None) if line.pointer_behind else None
    unmerged = not line.mergeable and ctor is None  # then it is because users may copy from it
    slub.kmem_cache_create(name, line.object_size, line.align, flags, ctor,
                           line.object_size if unmerged else 0)
