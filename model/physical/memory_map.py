"""A machine's memory as the firmware describes it, and what of it boot gives to the kernel."""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .boot_options import BootOptions
from .kernel_config import AMD64, KernelConfig
from .ranges import Range, intersect, subtract, total, union

__all__ = ["E820Range", "MemoryMap", "MemoryMapError", "MemoryRange", "NodeRange",
           "pc_memory"]

BIOS_RANGE = (0xA0000, 0x100000)
KERNEL_START = 16 << 20  # CONFIG_PHYSICAL_START
MIB, GIB = 1 << 20, 1 << 30
NUMA_SLACK = 1 << 20 >> PAGE_SHIFT
MIN_LOWMEM = 64 << 20 >> PAGE_SHIFT
LOCAL_DISTANCE, REMOTE_DISTANCE = 10, 20


class MemoryMapError(ValueError):
    """A memory map that no kernel could boot with."""


@dataclass(frozen=True, slots=True)
class E820Range:
    """One line of the BIOS's memory map: bytes ``start`` up to ``end``, which is not in it."""

    start: int
    end: int
    kind: str = "usable"

    def __str__(self) -> str:
        """Return it as the kernel prints it. [e820__print_table]"""
        return f"[mem {self.start:#018x}-{self.end - 1:#018x}] {self.kind}"


def pc_memory(memory_bytes: int) -> tuple[E820Range, ...]:
    """Return the memory map of a PC with ``memory_bytes`` of memory, 639 Kbytes below 1 Mbyte.

    With 3.5 Gbytes or more, all but 3 Gbytes are above 4 Gbytes, as on QEMU's PC, and the addresses
    between are those of devices. [pc_init1]
    """
    below = 3 * GIB if memory_bytes >= 7 * GIB // 2 else memory_bytes
    low = E820Range(0, 0x9FC00), E820Range(MIB, max(below, MIB))
    if below == memory_bytes:
        return low
    return *low, E820Range(4 * GIB, 4 * GIB + memory_bytes - below)


@dataclass(frozen=True, slots=True)
class NodeRange:
    """Memory of a node by the firmware's SRAT: bytes ``start`` up to ``end``."""

    nid: int
    start: int
    end: int
    hotplug: bool = False


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """Page frames that are memory: ``start_pfn`` up to ``end_pfn``, of one node. [memblock]"""

    nid: int
    start_pfn: int
    end_pfn: int
    hotplug: bool = False


@dataclass(frozen=True)
class MemoryMap:
    """A machine: its memory, its nodes, its processors, and the kernel that is to run on it.

    Parameters
    ----------
    e820
        The memory map of the BIOS. Where a usable range overlaps another kind, it is not usable.
    nodes
        Which node which memory belongs to; none on a machine without NUMA. The kernel falls back
        to one node if the nodes leave out 1 MiB or more of the memory.
    cpus
        The node of each processor.
    distances
        The firmware's SLIT, ``distances[from][to]``; None for 10 to the node itself and 20 to
        every other.
    config, options
        The kernel and its command line.

    Raises
    ------
    MemoryMapError
        If there is no usable memory, if nodes overlap, or if the distances are not a square of
        numbers from 10 to 255, 10 from each node to itself.
    """

    e820: tuple[E820Range, ...]
    nodes: tuple[NodeRange, ...] = ()
    cpus: tuple[int, ...] = (0,)
    distances: tuple[tuple[int, ...], ...] | None = None
    config: KernelConfig = AMD64
    options: BootOptions = field(default_factory=BootOptions)

    def __post_init__(self) -> None:
        if not self.memory:
            raise MemoryMapError("Memory map has no usable memory")
        if not self.cpus:
            raise MemoryMapError("Machine has no processor")
        by_start = sorted(self.nodes, key=lambda node: node.start)
        for below, above in pairwise(by_start):
            if below.end > above.start and below.nid != above.nid:
                raise MemoryMapError(f"Node {below.nid} and node {above.nid} both have memory at "
                                     f"{above.start:#x}")
        for nid, row in enumerate(self.distances or ()):
            square = len(row) == len(self.distances or ())
            if not square or row[nid] != LOCAL_DISTANCE or not 10 <= min(row) <= max(row) < 256:
                raise MemoryMapError(f"Distances from node {nid} must be as many as nodes, 10 to "
                                     f"itself and at most 255, not {row}")

    @cached_property
    def usable(self) -> list[Range]:
        """The bytes that are RAM once the kernel has corrected the map. [trim_bios_range]

        The first page and the range from 640 KiB to 1 MiB are the BIOS's, whatever the map says.
        """
        ram = [(each.start, each.end) for each in self.e820 if each.kind == "usable"]
        other = [(each.start, each.end) for each in self.e820 if each.kind != "usable"]
        return subtract(ram, [*other, (0, PAGE_BYTES), BIOS_RANGE])

    @cached_property
    def end_of_ram(self) -> int:
        """The page frame after the last one of RAM that the kernel can number. [e820_end_pfn]"""
        ends = [end >> PAGE_SHIFT for start, end in self.usable
                if start >> PAGE_SHIFT < self.config.max_pfn]
        return min(max(ends, default=0), self.config.max_pfn)

    @cached_property
    def lowmem_limit(self) -> tuple[int, int]:
        """``max_low_pfn`` and ``max_pfn``: where the direct map ends, and where all memory does.

        On amd64 all memory is mapped. On i686 lowmem is what fits between PAGE_OFFSET and the
        space kept for vmalloc, MAXMEM; what is above is highmem, as large as highmem= says.
        [find_low_pfn_range, lowmem_pfn_init, highmem_pfn_init]
        """
        max_pfn, highmem = self.end_of_ram, self.options.highmem_pages
        if not self.config.maxmem:
            return max_pfn, max_pfn
        maxmem = (self.config.maxmem - self.options.vmalloc_bytes) >> PAGE_SHIFT
        if max_pfn <= maxmem:
            highmem = highmem or 0
            if highmem >= max_pfn or max_pfn - highmem < MIN_LOWMEM:
                highmem = 0
            return max_pfn - highmem, max_pfn
        if highmem is not None and maxmem + highmem < max_pfn:
            max_pfn = maxmem + highmem
        return maxmem, max_pfn

    @cached_property
    def memory(self) -> list[Range]:
        """The page frames that are memory, without partial pages. [e820__memblock_setup]

        A kernel whose physical addresses have 32 bits passes over a range that ends above them.
        """
        ram = [(start, end) for start, end in self.usable
               if not self.config.maxmem or end < 1 << 32]
        whole = [((start + PAGE_BYTES - 1) >> PAGE_SHIFT, end >> PAGE_SHIFT) for start, end in ram]
        return union(whole)

    @cached_property
    def ranges(self) -> list[MemoryRange]:
        """The memory by node, lowest first: boot's "Early memory node ranges". [x86_numa_init]"""
        if self.has_nodes:
            return self._ranges_by_node
        return [MemoryRange(0, start, end) for start, end in self.memory]  # [dummy_numa_init]

    @cached_property
    def has_nodes(self) -> bool:
        """Whether the kernel believes the firmware's nodes. [numa_meminfo_cover_memory]"""
        if not (self.nodes and self.config.numa and self.options.numa):
            return False
        found = total((one.start_pfn, one.end_pfn) for one in self._ranges_by_node)
        return total(self.memory) - found < NUMA_SLACK

    @cached_property
    def _ranges_by_node(self) -> list[MemoryRange]:
        """The memory of each node by the firmware, whole pages. [numa_register_memblks]

        A node that holds the kernel's image cannot be unplugged. [numa_clear_kernel_node_hotplug]
        """
        windows: dict[tuple[int, bool], list[Range]] = {}
        kernel = {node.nid for node in self.nodes if node.start < KERNEL_START < node.end}
        for node in self.nodes:
            hotplug = node.hotplug and node.nid not in kernel
            pages = (node.start + PAGE_BYTES - 1) >> PAGE_SHIFT, node.end >> PAGE_SHIFT
            windows.setdefault((node.nid, hotplug), []).append(pages)
        ranges = [
            MemoryRange(nid, start, end, hotplug)
            for (nid, hotplug), window in windows.items()
            for start, end in intersect(self.memory, window)
        ]
        return sorted(ranges, key=lambda one: one.start_pfn)

    @cached_property
    def cpu_nodes(self) -> tuple[int, ...]:
        """The node of each processor in the kernel's view: 0 for all if it has only one node."""
        return self.cpus if self.has_nodes else (0,) * len(self.cpus)

    @cached_property
    def nids(self) -> list[int]:
        """The nodes that are online: those with memory or with processors."""
        return sorted({one.nid for one in self.ranges} | set(self.cpu_nodes))

    def distance(self, nid: int, other: int) -> int:
        """Return how far node ``other`` is from node ``nid``, 10 for itself. [__node_distance]"""
        table = self.distances
        if table is None or max(nid, other) >= len(table):
            return LOCAL_DISTANCE if nid == other else REMOTE_DISTANCE
        return table[nid][other]
