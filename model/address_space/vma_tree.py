"""The mappings of an address space in order of address. [mm_struct.mm_mt]"""

from collections.abc import Iterator

from sortedcontainers import SortedDict

from .kernel_files import KernelFiles
from .vma import Vma

__all__ = ["VmaTree"]


class VmaTree:
    """Mappings that do not overlap, found by address in logarithmic time.

    A mapping in the tree changes its bounds only through ``resize``.

    Parameters
    ----------
    files
        Where each mapping of a file counts as a user of it; None for new ones.
    """

    def __init__(self, files: KernelFiles | None = None) -> None:
        self._files = files if files is not None else KernelFiles()
        self._by_start: SortedDict[int, Vma] = SortedDict()

    def __len__(self) -> int:
        """Return the number of mappings. [map_count]"""
        return len(self._by_start)

    def __contains__(self, vma: Vma) -> bool:
        """Return whether this very mapping is in the tree, at the place of its start."""
        return self._by_start.get(vma.start) is vma

    def __iter__(self) -> Iterator[Vma]:
        """Yield the mappings, the lowest first."""
        return iter(self._by_start.values())

    def _at(self, index: int) -> Vma | None:
        """Return the mapping at a position, None outside."""
        values = self._by_start.values()
        return values[index] if 0 <= index < len(values) else None

    def _first_above(self, address: int) -> int:
        """Return the position of the first mapping that ends above ``address``."""
        index = self._by_start.bisect_right(address)
        below = self._at(index - 1)
        return index - 1 if below is not None and below.end > address else index

    def find(self, address: int) -> Vma | None:
        """Return the first mapping that ends above ``address``. [find_vma]"""
        return self._at(self._first_above(address))

    def find_with_previous(self, address: int) -> tuple[Vma | None, Vma | None]:
        """Return the mapping that ``find`` returns, and the one before it. [find_vma_prev]"""
        index = self._first_above(address)
        return self._at(index), self._at(index - 1)

    def lookup(self, address: int) -> Vma | None:
        """Return the mapping that holds ``address``. [vma_lookup]"""
        vma = self.find(address)
        return vma if vma is not None and vma.start <= address else None

    def intersection(self, start: int, end: int) -> Vma | None:
        """Return the first mapping that shares a page with a range. [find_vma_intersection]"""
        vma = self.find(start)
        return vma if vma is not None and vma.start < end else None

    def overlapping(self, start: int, end: int) -> list[Vma]:
        """Return the mappings that share pages with a range, the lowest first."""
        found: list[Vma] = []
        for index in range(self._first_above(start), len(self) if start < end else 0):
            vma = self._at(index)
            if vma is None or vma.start >= end:
                break
            found.append(vma)
        return found

    def neighbours(self, vma: Vma) -> tuple[Vma | None, Vma | None]:
        """Return the mappings before and after one that is in the tree."""
        index = self._by_start.index(vma.start)
        return self._at(index - 1), self._at(index + 1)

    def gaps_from_top(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """Yield the holes between two addresses as (start, end) within these, the highest first."""
        end = high
        for index in range(self._first_above(high - 1), -1, -1):
            vma = self._at(index)
            if vma is not None:
                if max(vma.end, low) < end:
                    yield max(vma.end, low), end
                end = min(end, vma.start)
            if end <= low:
                return
        yield low, end

    def gaps_from_bottom(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """Yield the holes between two addresses as (start, end) within these, the lowest first."""
        start = low
        for index in range(self._first_above(low), len(self)):
            vma = self._at(index)
            if vma is None or vma.start >= high:
                break
            if start < vma.start:
                yield start, vma.start
            start = max(start, vma.end)
        if start < high:
            yield start, high

    def insert(self, vma: Vma) -> None:
        """Add a mapping; it must not overlap another."""
        self._by_start[vma.start] = vma
        if vma.file is not None:
            self._files.get(vma.file)

    def remove(self, vma: Vma) -> None:
        """Remove a mapping that is in the tree."""
        del self._by_start[vma.start]
        if vma.file is not None:
            self._files.put(vma.file)

    def resize(self, vma: Vma, start: int, end: int) -> None:
        """Change the bounds of a mapping that is in the tree."""
        if start != vma.start:
            del self._by_start[vma.start]
            self._by_start[start] = vma
        vma.start, vma.end = start, end
