"""A page allocator small enough to trust at sight, for the tests of SLUB."""

from pagewalk.model.physical.gfp import Gfp


class NoPages(MemoryError):
    """No block of the order wanted."""


class Pages:
    """First fit over a few nodes of ``frames`` frames each; node n begins at n * ``frames``.

    ``blocks`` are the orders of the blocks that are allocated, by first frame, ``asked`` the
    arguments of every request. Orders above ``max_order`` fail, as if memory were in pieces.
    """

    def __init__(self, frames: int = 4096, nodes: int = 1, first: int = 0x1000) -> None:
        self.frames, self.nodes, self.first = frames, nodes, first
        self.used = bytearray(frames * nodes)
        self.blocks: dict[int, int] = {}
        self.asked: list[tuple[int, int, int, int]] = []
        self.max_order = 10

    def alloc_pages(self, gfp: int, order: int, nid: int, cpu: int) -> int:
        self.asked.append((gfp, order, nid, cpu))
        others = [] if gfp & Gfp.THISNODE else [n for n in range(self.nodes) if n != nid]
        if order <= self.max_order:
            for node in [nid, *others]:
                last = (node + 1) * self.frames - (1 << order)
                for start in range(node * self.frames, last + 1, 1 << order):
                    if not any(self.used[start : start + (1 << order)]):
                        self.used[start : start + (1 << order)] = b"\1" * (1 << order)
                        self.blocks[self.first + start] = order
                        return self.first + start
        raise NoPages(order)

    def free_pages(self, pfn: int, order: int, _cpu: int) -> None:
        assert self.blocks.pop(pfn) == order
        start = pfn - self.first
        self.used[start : start + (1 << order)] = bytes(1 << order)

    def page_to_nid(self, pfn: int) -> int:
        return (pfn - self.first) // self.frames

    @property
    def used_frames(self) -> set[int]:
        return {pfn + i for pfn, order in self.blocks.items() for i in range(1 << order)}
