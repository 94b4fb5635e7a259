"""SLUB: objects of one size from slabs of a few pages."""

from collections.abc import Sequence

from ...model.physical.memory import PhysicalMemory
from ...model.physical.memory_map import MemoryMap, pc_memory
from ...model.physical.page_alloc import PageAllocator
from ...model.physical.slab.slabinfo import HEADER, slabinfo_line
from ...model.physical.slab.slub import Slub
from .tour_step import Act, Block, Tour

__all__ = ["SlabTour"]

MEMORY_BYTES = 32 << 20
OBJECT_BYTES = 700


class SlabTour(Tour):
    """A cache of objects from its making to its end.

    Members
    -------
    pages, slub
        The page allocator, and SLUB on top of it.
    objects
        Pointers to the objects that are in use, the oldest first.
    cache
        The cache, once it is made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pages = PageAllocator.boot(MemoryMap(pc_memory(MEMORY_BYTES)))
        self.slub = Slub(PhysicalMemory(), self.pages)
        self.cache = self.slub.heap.cache(OBJECT_BYTES)
        self.objects: list[int] = []

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("kmalloc has sizes", self._kmalloc), ("A cache of its own", self._create),
                ("The first object", self._first), ("The slab is used up", self._fill),
                ("One object more", self._more), ("One is freed", self._free),
                ("The last freed is the first used", self._reuse),
                ("All are freed", self._free_all), ("The cache is shrunk", self._shrink))

    def blocks(self) -> tuple[Block, ...]:
        """Return the line of the cache, and of the slabs what slabinfo does not tell."""
        slabs = "".join(
            f"slab at frame {slab.frames[0]:#x}: {slab.live.count(1)} of {len(slab.objects)} "
            "objects in use\n" for slab in self.cache.store.slabs.values())
        return (Block("/proc/slabinfo", HEADER + slabinfo_line(self.cache) + "\n"),
                Block("slabs", slabs))

    def _kmalloc(self) -> str:
        pointer = self.slub.kmalloc(OBJECT_BYTES)
        size = self.slub.ksize(pointer)
        self.slub.kfree(pointer)
        return (f"kmalloc of {OBJECT_BYTES} bytes is served by {self.cache.name}: {size} bytes, of "
                f"which {size - OBJECT_BYTES} are lost. The object at {pointer:#x} was freed "
                "again.")

    def _create(self) -> str:
        # A size for user copies keeps a cache from being merged with another.
        self.cache = self.slub.kmem_cache_create("tour", OBJECT_BYTES, usersize=OBJECT_BYTES)
        oo = self.cache.geometry.oo
        return (f"Objects of {self.cache.geometry.size} bytes: a slab of {1 << oo.order} pages has "
                f"{oo.objects} of them. There is no slab yet.")

    def _first(self) -> str:
        self.objects.append(self.cache.alloc())
        slab, = self.cache.store.slabs.values()
        return (f"A slab was taken from the page allocator, at frame {slab.frames[0]:#x}, and its "
                f"first object is at {self.objects[0]:#x}. slabinfo takes all objects of a "
                f"processor's slab for active: {len(slab.objects)}.")

    def _fill(self) -> str:
        count = self.cache.geometry.oo.objects - len(self.objects)
        self.objects += [self.cache.alloc() for _ in range(count)]
        return (f"{count} objects more, each {self.objects[1] - self.objects[0]} bytes behind the "
                "one before, and no page was needed.")

    def _more(self) -> str:
        self.objects.append(self.cache.alloc())
        return ("No object was free, so the cache took another slab: "
                f"{len(self.cache.store.slabs)} now. The object is at {self.objects[-1]:#x}.")

    def _free(self) -> str:
        self.freed = self.objects.pop(0)
        self.cache.free(self.freed)
        used = sum(slab.live.count(1) for slab in self.cache.store.slabs.values())
        return (f"The object at {self.freed:#x} was in a full slab, which is on no list. That slab "
                "is on the processor's list of partial ones now. slabinfo does not look into "
                f"those: of what it calls active, {used} objects are in use.")

    def _reuse(self) -> str:
        active = self.objects.pop()
        self.cache.free(active)
        self.objects.append(self.cache.alloc())
        return (f"The object at {active:#x}, of the slab that the processor uses, was freed, and "
                f"the next allocation returned {self.objects[-1]:#x}.")

    def _free_all(self) -> str:
        count = len(self.objects)
        for pointer in self.objects:
            self.cache.free(pointer)
        self.objects.clear()
        pages = sum(len(slab.frames) for slab in self.cache.store.slabs.values())
        return (f"{count} objects were freed. The cache keeps its slabs, {pages} pages, for what "
                "comes.")

    def _shrink(self) -> str:
        before = sum(len(slab.frames) for slab in self.cache.store.slabs.values())
        self.cache.shrink()
        after = sum(len(slab.frames) for slab in self.cache.store.slabs.values())
        return f"{before - after} pages went back to the page allocator; {after} are left."
