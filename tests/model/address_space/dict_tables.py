"""Kernel page tables in a dictionary, which note what the hardware would have to be told."""


class DictTables:
    """``pages`` maps a page's address to (pfn, flags); ``large`` holds ranges with large pages.

    ``flushed`` lists the ranges that were invalidated. A page that is mapped twice or unmapped
    twice is an error, as it would be in the kernel.
    """

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, int]] = {}
        self.ranges: list[tuple[int, int, int, int, int]] = []
        self.flushed: list[tuple[int, int]] = []

    def set_page(self, vaddr: int, pfn: int, flags: int) -> None:
        assert vaddr % 4096 == 0
        assert vaddr not in self.pages, f"{vaddr:#x} is mapped already"
        self.pages[vaddr] = pfn, flags

    def clear_page(self, vaddr: int) -> None:
        del self.pages[vaddr]

    def map_range(self, vaddr: int, pfn: int, byte_count: int, page_bytes: int,
                  flags: int) -> None:
        assert vaddr % page_bytes == (pfn << 12) % page_bytes == byte_count % page_bytes == 0
        self.ranges.append((vaddr, pfn, byte_count, page_bytes, flags))

    def flush_range(self, start: int, end: int) -> None:
        self.flushed.append((start, end))
