"""What can go wrong with slabs: every misuse that the model can see is an error with a type."""

from .geometry import Geometry

__all__ = [
    "CacheDestroyed",
    "CacheInUse",
    "ForeignPointer",
    "NotAnObject",
    "SlabCorruption",
    "SlabDoubleFree",
    "SlabError",
    "SlabOutOfMemory",
]


class SlabError(Exception):
    """The base of all errors of the slab allocator."""


class SlabOutOfMemory(SlabError, MemoryError):
    """The page allocator has no slab of any order that would do. [slab_out_of_memory]"""

    def __init__(self, cache: str, geometry: Geometry, node: int) -> None:
        super().__init__(
            f"Unable to allocate memory on node {node}: cache {cache}, "
            f"object size {geometry.object_size}, buffer size {geometry.size}, "
            f"default order {geometry.oo.order}, min order {geometry.min.order}"
        )


class SlabDoubleFree(SlabError):
    """An object that is free already."""

    def __init__(self, pointer: int, cache: str) -> None:
        super().__init__(f"Object {pointer:#x} of {cache} is free already")
        self.pointer = pointer


class ForeignPointer(SlabError):
    """A pointer into memory that is not this cache's."""

    def __init__(self, pointer: int, cache: str, owner: str) -> None:
        super().__init__(f"Pointer {pointer:#x} is not of {cache} but of {owner}")
        self.pointer = pointer


class NotAnObject(SlabError):
    """A pointer into a slab, or a block, at whose address no object begins."""

    def __init__(self, pointer: int, cache: str) -> None:
        super().__init__(f"Pointer {pointer:#x} is not the start of an object of {cache}")
        self.pointer = pointer


class CacheDestroyed(SlabError):
    """The use of a cache after its last user destroyed it."""

    def __init__(self, cache: str) -> None:
        super().__init__(f"Cache {cache} was destroyed")


class CacheInUse(SlabError):
    """A cache to be destroyed that still has objects. [kmem_cache_destroy]"""

    def __init__(self, cache: str, live: int) -> None:
        super().__init__(f"Cache {cache} still has {live} objects")
        self.live = live


class SlabCorruption(SlabError):
    """A free pointer that was overwritten, or counters that contradict the slabs."""
