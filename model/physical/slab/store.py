"""The slabs of one cache: made from pages, their free objects linked, given back. [mm/slub.c]"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ..gfp import Gfp
from .errors import SlabCorruption, SlabOutOfMemory
from .geometry import Geometry, OrderObjects, SlabFlag
from .slab import Backing, CacheNode, Slab, SlabOwner

__all__ = ["SlabStore"]

GFP_TO_PAGES = (
    Gfp.RECLAIM | Gfp.HIGH | Gfp.IO | Gfp.FS | Gfp.NOWARN | Gfp.RETRY_MAYFAIL | Gfp.NOFAIL
    | Gfp.NORETRY | Gfp.MEMALLOC | Gfp.NOMEMALLOC | Gfp.ATOMIC_CONTEXT | Gfp.HARDWALL | Gfp.THISNODE
)
"""The flags of a caller that reach the page allocator. [GFP_RECLAIM_MASK, GFP_CONSTRAINT_MASK]"""


class SlabStore:
    """Makes and discards slabs, and reads and writes the pointers in their free objects.

    Parameters
    ----------
    owner, nodes
        The cache, and its share on each node, where slabs and objects are counted.
    backing, geometry, flags, ctor
        As in ``KmemCache``.

    Members
    -------
    slabs
        Every slab of the cache by its first frame.
    """

    def __init__(
        self,
        owner: SlabOwner,
        nodes: Mapping[int, CacheNode],
        backing: Backing,
        geometry: Geometry,
        flags: int,
        ctor: Callable[[int], None] | None,
    ) -> None:
        self.allocflags = (
            (Gfp.COMP if geometry.oo.order else 0)
            | (Gfp.DMA if flags & SlabFlag.CACHE_DMA else 0)
            | (Gfp.DMA32 if flags & SlabFlag.CACHE_DMA32 else 0)
            | (Gfp.RECLAIMABLE if flags & SlabFlag.RECLAIM_ACCOUNT else 0)
        )
        self.slabs: dict[int, Slab] = {}
        self._random_seq: list[int] = []
        self._owner = owner
        self._nodes = nodes
        self._backing = backing
        self._geometry = geometry
        self._ctor = ctor
        self._read, self._write = backing.memory.read, backing.memory.write
        self._word = backing.config.word_bytes
        self._free_pointer = geometry.offset - backing.config.page_offset  # pointer to paddr
        self._key = 0
        if backing.rng is not None:
            self._key = int.from_bytes(backing.rng.bytes(self._word), "little")

    def next_free(self, slab: Slab, pointer: int) -> int:
        """Return the free object that follows the one at ``pointer``, or 0. [get_freepointer]

        Raise ``SlabCorruption`` if what is stored there is not a free object of the same slab.
        """
        paddr = pointer + self._free_pointer
        found = self._read(paddr, self._word)
        if self._key:
            found ^= self._hidden(paddr)
        if found and (found not in slab.objects or slab.live[slab.objects.index(found)]):
            raise SlabCorruption(f"Free pointer of object {pointer:#x} of {self._owner.name} is "
                                 f"{found:#x}, which is not a free object of its slab")
        return found

    def set_next_free(self, pointer: int, following: int) -> None:
        """Store which object follows the free one at ``pointer``, 0 for none. [set_freepointer]"""
        paddr = pointer + self._free_pointer
        if self._key:
            following ^= self._hidden(paddr)
        self._write(paddr, self._word, following)

    def _hidden(self, paddr: int) -> int:
        """Return what a free pointer stored at ``paddr`` is XORed with. [freelist_ptr]"""
        where = (paddr + self._backing.config.page_offset).to_bytes(self._word, "little")
        return self._key ^ int.from_bytes(where, "big")

    def free_objects(self, slab: Slab, freelist: int) -> Iterator[int]:
        """Yield the objects of a free list of ``slab`` in order; raise ``SlabCorruption``."""
        for _ in slab.objects:
            if not freelist:
                return
            yield freelist
            freelist = self.next_free(slab, freelist)
        if freelist:
            raise SlabCorruption(f"Free list of {self._owner.name} has a loop in the slab at frame "
                                 f"{slab.pfn:#x}")

    def new_slab(self, gfp: int, cpu: int, node: int) -> Slab:
        """Return a new slab, on ``node`` or near it. [allocate_slab]

        The block of the usual order is asked for without insisting, as one of the smallest order
        will do. Raise ``SlabOutOfMemory`` if there is none of that either.
        """
        usual, least = self._geometry.oo, self._geometry.min
        flags = gfp & GFP_TO_PAGES | self.allocflags
        modest = (flags | Gfp.NOWARN | Gfp.NORETRY) & ~Gfp.NOFAIL
        if flags & Gfp.DIRECT_RECLAIM and usual.order > least.order:
            modest = (modest | Gfp.NOMEMALLOC) & ~Gfp.RECLAIM
        for oo, allowed in ((usual, modest), (least, flags)):
            try:
                pfn = self._backing.alloc_block(allowed, oo.order, node, cpu)
            except MemoryError as error:
                failure = error
            else:
                return self._set_up_slab(pfn, oo)
        raise SlabOutOfMemory(self._owner.name, self._geometry, node) from failure

    def _set_up_slab(self, pfn: int, oo: OrderObjects) -> Slab:
        """Make frames a slab and link its objects. [allocate_slab]"""
        start = self._backing.address(pfn)
        slab = Slab(
            cache=self._owner,
            pfn=pfn,
            order=oo.order,
            nid=self._backing.pages.page_to_nid(pfn),
            objects=range(start, start + oo.objects * self._geometry.size, self._geometry.size),
            live=bytearray(oo.objects),
        )
        pointers = [slab.objects[index] for index in self._sequence(oo.objects)]
        for pointer, following in zip(pointers, [*pointers[1:], 0], strict=True):
            if self._ctor:
                self._ctor(pointer)
            self.set_next_free(pointer, following)
        slab.freelist = pointers[0]
        self.slabs[pfn] = slab
        for frame in slab.frames:
            self._backing.slabs[frame] = slab
        node = self._nodes[slab.nid]
        node.nr_slabs += 1
        node.total_objects += oo.objects
        return slab

    def init_random_seq(self) -> None:
        """Draw the order in which new slabs are used from now on. [init_cache_random_seq]"""
        if self._backing.rng is not None:
            self._random_seq = self._backing.rng.permutation(self._geometry.oo.objects).tolist()

    def _sequence(self, objects: int) -> Sequence[int]:
        """Return the order in which a new slab of so many objects is used. [shuffle_freelist]"""
        if self._backing.rng is None or not self._random_seq:
            return range(objects)
        turn = int(self._backing.rng.integers(len(self._random_seq)))
        turned = self._random_seq[turn:] + self._random_seq[:turn]
        return [index for index in turned if index < objects]  # a slab may be smaller than usual

    def discard_slab(self, slab: Slab, cpu: int) -> None:
        """Give the frames of an empty slab back. [discard_slab]

        A grace period, for which ``TYPESAFE_BY_RCU`` makes the kernel wait, ends at once here.
        """
        node = self._nodes[slab.nid]
        node.nr_slabs -= 1
        node.total_objects -= len(slab.objects)
        del self.slabs[slab.pfn]
        for frame in slab.frames:
            del self._backing.slabs[frame]
        self._backing.pages.free_pages(slab.pfn, slab.order, cpu)
