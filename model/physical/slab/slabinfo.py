"""The text of ``/proc/slabinfo``. [mm/slab_common.c, Linux 6.1]"""

from .caches import SlabCaches
from .kmem_cache import KmemCache

__all__ = ["slabinfo", "slabinfo_line"]

HEADER = """\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\
 : tunables <limit> <batchcount> <sharedfactor>\
 : slabdata <active_slabs> <num_slabs> <sharedavail>
"""


def slabinfo(caches: SlabCaches) -> str:
    """Return the text for all caches, the youngest first. [slab_show]"""
    lines = (slabinfo_line(cache) for cache in reversed(caches.caches))
    return HEADER + "".join(f"{line}\n" for line in lines)


def slabinfo_line(cache: KmemCache) -> str:
    """Return the line of one cache. [cache_show, get_slabinfo]

    As free count only objects of slabs on the nodes' partial lists: the kernel does not look into
    the slabs of CPUs, so all of theirs are shown as active.
    """
    nodes = cache.nodes.values()
    slabs = sum(node.nr_slabs for node in nodes)
    objects = sum(node.total_objects for node in nodes)
    free = sum(len(slab.objects) - slab.inuse for node in nodes for slab in node.partial.values())
    oo = cache.geometry.oo
    return (
        f"{cache.name:<17} {objects - free:6} {objects:6} {cache.geometry.size:6} {oo.objects:4} "
        f"{1 << oo.order:4} : tunables {0:4} {0:4} {0:4} : slabdata {slabs:6} {slabs:6} {0:6}"
    )
