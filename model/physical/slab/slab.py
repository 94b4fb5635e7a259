"""Slabs, the pages that objects lie in, and the machine under them. [mm/slab.h, Linux 6.1]

A pointer is a linear address in the direct map: physical address plus ``page_offset``, as the
kernel's own pointers to objects are.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ...x86 import PAGE_SHIFT
from ..memory import PhysicalMemory
from .geometry import SlubConfig

__all__ = ["NUMA_NO_NODE", "Backing", "CacheCpu", "CacheNode", "PageSource", "Slab", "SlabOwner"]

NUMA_NO_NODE = -1
"""In place of a node: no wish for one, so that of the CPU is meant. [include/linux/numa.h]"""


class PageSource(Protocol):
    """Where slabs come from: the page allocator, or as much of it as SLUB needs."""

    def alloc_pages(self, gfp: int, order: int, nid: int, cpu: int) -> int:
        """Return the first of 2**``order`` frames, on node ``nid`` or the next in its zonelist.

        Raise ``MemoryError``, or an error derived from it, if there are none.
        """

    def free_pages(self, pfn: int, order: int, cpu: int) -> None:
        """Give frames back."""

    def page_to_nid(self, pfn: int) -> int:
        """Return the node that a frame is on."""


class SlabOwner(Protocol):
    """The cache of a slab, to those that have only a pointer to one of its objects."""

    name: str

    def slab_free(self, slab: "Slab", pointer: int, cpu: int) -> None:
        """Free the object at ``pointer``, which lies in ``slab``."""

    def live_index(self, slab: "Slab", pointer: int) -> int:
        """Return which object of ``slab`` is at ``pointer``; raise ``SlabError`` if none in use is.
        """

    def ksize(self) -> int:
        """Return how many bytes of an object its user may use."""


@dataclass(eq=False, slots=True)
class Slab:
    """One slab, as ``struct slab`` lays it over the page. [mm/slab.h]

    Members
    -------
    objects
        The addresses of its objects.
    freelist
        The first free object of the slab's own list, 0 if that is empty. A CPU whose slab this is
        takes over the whole list; what other CPUs free later starts it anew.
    inuse
        How many objects are not on that list, those that a CPU has taken over included.
    frozen
        Whether the slab is some CPU's, and so on no node's list.
    live
        A 1 for each object that is handed out. The kernel does not keep this: it is what makes
        misuse an error here.
    """

    cache: SlabOwner
    pfn: int
    order: int
    nid: int
    objects: range
    live: bytearray
    inuse: int = 0
    frozen: bool = False
    freelist: int = 0

    @property
    def frames(self) -> range:
        """The frames of the slab."""
        return range(self.pfn, self.pfn + (1 << self.order))


@dataclass(eq=False, slots=True)
class CacheCpu:
    """A CPU's share of a cache. [struct kmem_cache_cpu]

    ``freelist`` is the first free object of ``slab`` on the list that only this CPU uses, 0 if
    there is none; ``partial`` are the slabs that it takes next, the last one first.
    """

    freelist: int = 0
    slab: Slab | None = None
    partial: list[Slab] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class CacheNode:
    """A node's share of a cache. [struct kmem_cache_node]

    ``partial`` are the slabs, by their first frame and in list order, that have free objects and
    belong to no CPU. ``nr_slabs`` and ``total_objects`` count all slabs of the node.
    """

    partial: OrderedDict[int, Slab] = field(default_factory=OrderedDict)
    nr_slabs: int = 0
    total_objects: int = 0

    @property
    def nr_partial(self) -> int:
        """The number of slabs on the partial list."""
        return len(self.partial)

    def add_partial(self, slab: Slab, tail: bool) -> None:
        """Put a slab on the partial list. [add_partial]"""
        self.partial[slab.pfn] = slab
        if not tail:
            self.partial.move_to_end(slab.pfn, last=False)

    def remove_partial(self, slab: Slab) -> None:
        """Take a slab off the partial list. [remove_partial]"""
        del self.partial[slab.pfn]


@dataclass(eq=False, slots=True)
class Backing:
    """What all caches share: memory, pages, CPUs and nodes.

    Parameters
    ----------
    memory
        The memory that objects lie in. Frames of slabs are added to it, and never cleared.
    pages
        The page allocator.
    config
        What the machine and the kernel's configuration fix.
    cpu_to_node
        The node of each CPU.
    node_order
        For each node with memory, all of them in the order of its zonelist, itself first.
    rng
        Draws the order of free lists and the keys that hide free pointers, as a kernel does with
        ``CONFIG_SLAB_FREELIST_RANDOM`` and ``CONFIG_SLAB_FREELIST_HARDENED``. None for a kernel
        with neither: a new slab is used in ascending order, and free pointers are plain.

    Members
    -------
    slabs
        The slab of each frame that is part of one. [virt_to_slab]

    Raises
    ------
    ValueError
        If a CPU is on a node without memory.
    """

    memory: PhysicalMemory
    pages: PageSource
    config: SlubConfig
    cpu_to_node: Sequence[int] = (0,)
    node_order: Mapping[int, Sequence[int]] = field(default_factory=lambda: {0: (0,)})
    rng: np.random.Generator | None = None
    slabs: dict[int, Slab] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for cpu, nid in enumerate(self.cpu_to_node):
            if nid not in self.node_order:
                raise ValueError(f"Node of CPU {cpu} must be one with memory, not {nid}")

    def address(self, pfn: int) -> int:
        """Return the pointer to the first byte of a frame. [page_address]"""
        return self.config.page_offset + (pfn << PAGE_SHIFT)

    def pfn(self, pointer: int) -> int:
        """Return the frame that a pointer points into. [virt_to_page]"""
        return pointer - self.config.page_offset >> PAGE_SHIFT

    def alloc_block(self, gfp: int, order: int, node: int, cpu: int) -> int:
        """Return the first of 2**``order`` frames on ``node``, or for ``NUMA_NO_NODE`` the CPU's.

        Raise ``MemoryError`` if there are none.
        """
        nid = self.cpu_to_node[cpu] if node == NUMA_NO_NODE else node
        pfn = self.pages.alloc_pages(gfp, order, nid, cpu)
        self.memory.add(range(pfn, pfn + (1 << order)))
        return pfn

    def read(self, pointer: int, count: int) -> bytes:
        """Return the ``count`` bytes that ``pointer`` points at."""
        return self.memory.read_bytes(pointer - self.config.page_offset, count)

    def write(self, pointer: int, data: bytes) -> None:
        """Store ``data`` where ``pointer`` points."""
        self.memory.write_bytes(pointer - self.config.page_offset, data)
