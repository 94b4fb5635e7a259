"""The buddy allocator once more, the slow and obvious way: lists that are searched, no links."""

from itertools import product

MAX_ORDER, MERGEABLE = 11, 3
UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC = range(4)
FALLBACKS = [(RECLAIMABLE, MOVABLE), (RECLAIMABLE, UNMOVABLE), (UNMOVABLE, MOVABLE)]


class NaiveBuddy:
    """The free lists of the zone ``start`` to ``end``, with ``types`` of its pageblocks."""

    def __init__(self, start, end, pageblock_order, types):
        self.start, self.end = start, end
        self.pageblock_order, self.types = pageblock_order, dict(types)
        self.lists = {key: [] for key in product(range(MAX_ORDER), range(5))}
        self.zones = [self]  # all zones of the map
        self.movable_pages = set()
        self.reserved = 0

    def block_type(self, pfn):
        return self.types[pfn >> self.pageblock_order]

    def list_of(self, pfn, order):
        return next((blocks for (size, _), blocks in self.lists.items()
                     if size == order and pfn in blocks), None)

    def smallest(self, order, migratetype):
        for size in range(order, MAX_ORDER):
            if self.lists[size, migratetype]:
                pfn = self.lists[size, migratetype].pop(0)
                for half in reversed(range(order, size)):
                    self.lists[half, migratetype].insert(0, pfn + (1 << half))
                return pfn
        return None

    def alloc(self, order, migratetype, whole_blocks_only=False):
        pfn = self.smallest(order, migratetype)
        least = self.pageblock_order if whole_blocks_only else 0
        if pfn is None and migratetype < MERGEABLE and self.steal(order, migratetype, least):
            pfn = self.smallest(order, migratetype)
        return pfn

    def candidates(self, sizes, migratetype):
        return [(size, other) for size in sizes for other in FALLBACKS[migratetype]
                if self.lists[size, other]]

    def takes_all(self, size, migratetype):
        return size >= self.pageblock_order // 2 or migratetype != MOVABLE

    def steal(self, order, migratetype, least):
        found = self.candidates(reversed(range(max(order, least), MAX_ORDER)), migratetype)
        if not found:
            return False
        size, other = found[0]
        if not self.takes_all(size, migratetype):
            size, other = self.candidates(range(order, MAX_ORDER), migratetype)[0]
        pfn = self.lists[size, other][0]
        old = self.block_type(pfn)
        if old == HIGHATOMIC:
            self.move(pfn, size, migratetype)
        elif size >= self.pageblock_order:
            for block in range(pfn, pfn + (1 << size), 1 << self.pageblock_order):
                self.types[block >> self.pageblock_order] = migratetype
            self.move(pfn, size, migratetype)
        elif not (self.takes_all(size, migratetype) and self.move_block(pfn, migratetype, old)):
            self.move(pfn, size, migratetype)
        return True

    def move(self, pfn, order, migratetype):
        self.list_of(pfn, order).remove(pfn)
        self.lists[order, migratetype].append(pfn)

    def move_free(self, pfn, migratetype):
        """Move all free blocks of a pageblock; return how many pages that are."""
        size = 1 << self.pageblock_order
        first = pfn // size * size
        if first + size > self.end:
            return 0
        start = first if first >= self.start else pfn
        inside = sorted((block, order) for (order, _), blocks in self.lists.items()
                        for block in blocks if start <= block < first + size)
        for block, order in inside:
            self.move(block, order, migratetype)
        return sum(1 << order for _, order in inside)

    def move_block(self, pfn, migratetype, old):
        """Move a pageblock's free blocks, and claim it if it is worth it; return whether any."""
        size = 1 << self.pageblock_order
        first = pfn // size * size
        start = first if first >= self.start else pfn
        free = self.move_free(pfn, migratetype)
        movable = len(self.movable_pages & set(range(start, first + size)))
        if migratetype == MOVABLE:
            alike = movable
        else:
            alike = size - free - movable if old == MOVABLE else 0
        if free and free + alike >= size // 2:
            self.types[pfn >> self.pageblock_order] = migratetype
        return free

    def free(self, pfn, order, migratetype=None, tail=False):
        migratetype = self.block_type(pfn) if migratetype is None else migratetype
        while order < MAX_ORDER - 1:
            buddy = pfn ^ (1 << order)
            blocks = self.list_of(buddy, order)
            if blocks is None:
                break
            if order >= self.pageblock_order and migratetype != self.block_type(buddy) and max(
                    migratetype, self.block_type(buddy)) >= MERGEABLE:
                break
            blocks.remove(buddy)
            pfn, order = min(pfn, buddy), order + 1
        # The lower half may be another zone's: then its neighbour in that zone decides.
        whole = pfn & ~(1 << order)
        owner = next(zone for zone in self.zones if whole < zone.end)
        likely = order < MAX_ORDER - 2 and owner.list_of(whole ^ (2 << order), order + 1)
        self.lists[order, migratetype].insert(
            len(self.lists[order, migratetype]) if likely or tail else 0, pfn)

    def reserve(self, pfn, managed):
        size = 1 << self.pageblock_order
        if self.reserved < managed // 100 + size and self.block_type(pfn) < MERGEABLE:
            self.reserved += size
            self.types[pfn >> self.pageblock_order] = HIGHATOMIC
            self.move_free(pfn, HIGHATOMIC)

    def unreserve(self, migratetype, force):
        size = 1 << self.pageblock_order
        if self.reserved <= size and not force:
            return False
        for order in range(MAX_ORDER):
            if not self.lists[order, HIGHATOMIC]:
                continue
            pfn = self.lists[order, HIGHATOMIC][0]
            if self.block_type(pfn) == HIGHATOMIC:
                self.reserved = max(0, self.reserved - size)
            self.types[pfn >> self.pageblock_order] = migratetype
            if self.move_free(pfn, migratetype):
                return True
        return False
