"""Workloads: loads and stores of data by user processes, and what the processes do between them.

``memory_only``, ``calling`` and ``huge_pages`` make them, ``catalog`` has them by name, and
``expected`` says what they must find.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ...model.x86 import MODES, PAGE_BYTES, PAGE_SHIFT

__all__ = ["DATA_ACCESS", "HUGE_BYTES", "Discard", "Event", "Exit", "Fork", "Kmap", "Map",
           "Move", "Protect", "Refused", "Region", "Unmap", "Window", "Workload", "draw_accesses",
           "masks"]

HUGE_BYTES = max(mode.pages[1].page_bytes for mode in MODES.values())
"""What an area of huge pages is a multiple of in any mode: one page of 4 Mbytes, two of 2."""

DATA_ACCESS = np.dtype(
    [
        ("process", "<u2"),  # number of the process, from 0
        ("store", "?"),
        ("size", "u1"),  # bytes: 1, 2, 4 or 8
        ("vaddr", "<u8"),  # a multiple of the size
        ("value", "<u8"),  # what is stored; of a load 0
    ],
    align=True,
)
"""One load or store of data in user memory, in program order."""


@dataclass(frozen=True, slots=True)
class Region:
    """An area of ``pages`` pages from ``start``, which every process of a workload has mapped.

    Each process has one of its own, unless it is ``shared``. The area of a stack ``grows_down``:
    only its uppermost page need be there from the beginning. A ``huge`` area has huge pages: it
    starts and ends at multiples of ``HUGE_BYTES``, and so does each part that an event is about.
    """

    start: int
    pages: int
    shared: bool = False
    grows_down: bool = False
    huge: bool = False

    @property
    def end(self) -> int:
        """The address behind the area."""
        return self.start + self.pages * PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Fork:
    """A process makes a copy of itself, which gets the next number. [fork(2)]"""

    process: int


@dataclass(frozen=True, slots=True)
class Exit:
    """A process ends; its number is not used again. [_exit(2)]"""

    process: int


@dataclass(frozen=True, slots=True)
class Map:
    """A process maps empty private memory, in place of what is there. [mmap(2), MAP_FIXED]"""

    process: int
    region: Region


@dataclass(frozen=True, slots=True)
class Unmap:
    """A process unmaps what is in a region, if anything is. [munmap(2)]"""

    process: int
    region: Region


@dataclass(frozen=True, slots=True)
class Protect:
    """A process makes a mapped region read-only, or ``writable``. [mprotect(2)]"""

    process: int
    region: Region
    writable: bool


@dataclass(frozen=True, slots=True)
class Discard:
    """A process gives up what is in a mapped private region: it is zero then. [MADV_DONTNEED]"""

    process: int
    region: Region


@dataclass(frozen=True, slots=True)
class Move:
    """A process moves mapped pages to where nothing is mapped. [mremap(2), MREMAP_FIXED]"""

    process: int
    start: int
    to: int
    pages: int = 1


@dataclass(frozen=True, slots=True)
class Refused:
    """A process makes an access, (1,) of ``DATA_ACCESS``, that must be refused with SIGSEGV."""

    access: NDArray[np.void]


class Window(Enum):
    """How the kernel gets an address of its own for a page."""

    KMAP = "kmap"
    KMAP_LOCAL = "kmap_local"
    """As ``KMAP`` it maps pages of highmem; other pages have an address in the direct map."""
    VMAP = "vmap"
    """It maps every page, also one that has an address in the direct map."""


@dataclass(frozen=True, slots=True)
class Kmap:
    """The kernel makes ``accesses`` to one small page of a process, by an address of its own."""

    accesses: NDArray[np.void]
    window: Window


Event = Fork | Exit | Map | Unmap | Protect | Discard | Move | Refused | Kmap
"""What happens between accesses."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Data accesses (N,) of dtype ``DATA_ACCESS``, at first by ``processes`` that have ``regions``.

    Each of ``events`` comes with the number of the access before which it happens, ascending. The
    same ``seed`` and parameters make the same workload.
    """

    name: str
    seed: int
    processes: int
    regions: tuple[Region, ...]
    accesses: NDArray[np.void]
    events: tuple[tuple[int, Event], ...] = ()

    @property
    def footprint(self) -> int:
        """The most pages that all processes can have at a time, if none is shared after a fork."""
        return self._most_pages(self.regions)

    @property
    def huge_bytes(self) -> int:
        """The bytes of huge pages to set aside, so that each process can have its own."""
        return self._most_pages(region for region in self.regions if region.huge) * PAGE_BYTES

    def _most_pages(self, regions: Iterable[Region]) -> int:
        living = most = self.processes
        for _, event in self.events:
            living += isinstance(event, Fork) - isinstance(event, Exit)
            most = max(most, living)
        return sum(region.pages * (1 if region.shared else most) for region in regions)

    def __str__(self) -> str:
        pages = sum(region.pages for region in self.regions)
        events = f", {len(self.events)} events" if self.events else ""
        return (f"{self.name}: {len(self.accesses)} accesses{events}, {pages} pages, "
                f"{self.processes} processes, seed {self.seed}")


def draw_accesses(
    rng: Generator, region: Region, pages: NDArray[np.int64], span: int
) -> NDArray[np.void]:
    """Return an access to each of ``pages`` (N,) of a region, half of them stores, of any size.

    Only the first ``span`` bytes of pages are accessed.
    """
    accesses = np.zeros(len(pages), DATA_ACCESS)
    size_bits = rng.integers(4, size=len(pages), dtype=np.uint64)
    offset = rng.integers(span, size=len(pages), dtype=np.uint64) >> size_bits << size_bits
    accesses["size"] = 1 << size_bits
    accesses["vaddr"] = region.start + (pages << PAGE_SHIFT) + offset.astype(np.int64)
    accesses["store"] = rng.integers(2, size=len(pages))
    value = rng.integers(1 << 64, size=len(pages), dtype=np.uint64)
    accesses["value"] = np.where(
        accesses["store"], value & masks(accesses["size"]), np.uint64(0))
    return accesses


def masks(size: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the value of ``size`` bytes of ones."""
    return ~np.uint64(0) >> (64 - 8 * size.astype(np.uint64))
