"""A page-by-page model of an address space: a dict from page number to what is there.

It knows nothing of mappings, so it cannot share a mistake in cutting and merging them. Where a
call is put, and whether it is permitted, it takes from the address space that it watches.
"""

from dataclasses import dataclass, replace

from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.vma import File, Vma, VmFlag

PAGE = 0x1000


@dataclass(frozen=True)
class Page:
    """What one page maps: flags but for soft-dirty, the file and which of its pages.

    ``index`` of anonymous memory is that of the page where it was first mapped or, if it moved
    with its contents, where it came from.
    """

    flags: int
    file: File | None
    index: int


def page_range(start: int, length: int) -> range:
    return range(start // PAGE, -(-(start + length) // PAGE))


class NaiveMm:
    """Pages by number, changed one at a time."""

    def __init__(self) -> None:
        self.pages: dict[int, Page] = {}

    def map(self, start: int, length: int, flags: int, file: File | None, index: int) -> None:
        for offset, number in enumerate(page_range(start, length)):
            self.pages[number] = Page(flags, file, index + offset)

    def unmap(self, start: int, length: int) -> None:
        for number in page_range(start, length):
            self.pages.pop(number, None)

    def is_mapped(self, start: int, length: int) -> bool:
        return all(number in self.pages for number in page_range(start, length))

    def change(self, start: int, length: int, remove: int, add: int) -> None:
        for number in page_range(start, length):
            if number in self.pages:
                page = self.pages[number]
                self.pages[number] = replace(page, flags=page.flags & ~remove | add)

    def take(self, start: int, length: int) -> list[Page]:
        return [self.pages.pop(number) for number in page_range(start, length)]

    def free_below(self, top: int, length: int) -> int:
        """Return the highest page number with room for ``length`` bytes under ``top``."""
        wanted, run = length // PAGE, 0
        for number in range(top // PAGE - 1, 0, -1):
            run = 0 if number in self.pages else run + 1
            if run == wanted:
                return number
        raise AssertionError("no room")

    def seen_as(self, mm: Mm) -> dict[int, Page]:
        """Return the pages that the mappings of ``mm`` amount to."""
        return {
            number: Page(vma.flags & ~(VmFlag.SOFTDIRTY | VmFlag.ACCOUNT), vma.file,
                         vma.pgoff_of(number * PAGE))
            for vma in mm for number in range(vma.start // PAGE, vma.end // PAGE)
        }


def could_merge(low: Vma, high: Vma) -> bool:
    """Return whether nothing tells two mappings that touch apart."""
    return (low.end == high.start
            and not (low.flags ^ high.flags) & ~VmFlag.SOFTDIRTY
            and low.file is high.file
            and low.special is None and high.special is None
            and not low.flags & VmFlag.SPECIAL
            and low.pgoff + (low.end - low.start) // PAGE == high.pgoff)
