"""Pages in memory and out of it: what reclaim asks of a kernel, as plain sets for tests."""

from pagewalk.model.kernel.reclaim.lru import LruFlag, Lruvec
from pagewalk.model.kernel.reclaim.shrink import Pageout


class PageWorld:
    """Page frames 0 to ``size`` on LRU lists; ``accessed_bits`` counts those set of each.

    Each page is mapped; ``stuck`` pages cannot be unmapped, ``dirty`` ones must be written, and
    ``pageout_result`` is what becomes of that; ``shadowless`` ones leave no shadow, ``locked`` ones
    must stay, and ``code`` may be executed. ``log`` lists what was asked for, in order.
    """

    def __init__(self, size=1000):
        self.lruvec = Lruvec(0, size)
        self.accessed_bits = {}
        self.dirty = set()
        self.stuck = set()
        self.shadowless = set()
        self.locked = set()
        self.code = set()
        self.freed = {}
        self.slots = size
        self.pageout_result = Pageout.SUCCESS
        self.log = []

    def fill(self, pfns, flags=0):
        for pfn in pfns:
            self.lruvec.add(pfn, flags)

    def touch(self, pfns):
        for pfn in pfns:
            self.accessed_bits[pfn] = 1

    def accessed(self, pfn):
        return self.accessed_bits.pop(pfn, 0)

    def is_executable(self, pfn):
        return pfn in self.code

    def has_swap(self):
        return self.slots > 0

    def add_to_swap(self, pfn):
        self.log.append(("add_to_swap", pfn))
        self.slots -= self.slots > 0
        return self.slots > 0

    def try_to_free_swap(self, pfn):
        self.log.append(("try_to_free_swap", pfn))

    def try_to_unmap(self, pfn):
        self.log.append(("try_to_unmap", pfn))
        return pfn not in self.stuck

    def is_dirty(self, pfn):
        return pfn in self.dirty

    def pageout(self, pfn):
        self.log.append(("pageout", pfn))
        if isinstance(self.pageout_result, Exception):
            raise self.pageout_result
        if self.pageout_result is Pageout.SUCCESS:
            self.dirty.discard(pfn)
        return self.pageout_result

    def is_locked(self, pfn):
        return pfn in self.locked

    def keeps_shadow(self, pfn):
        return pfn not in self.shadowless

    def remove_mapping(self, pfn, shadow):
        self.log.append(("remove_mapping", pfn))
        self.freed[pfn] = shadow

    def check(self):
        """Check that each page is on the list of its flags, or free and forgotten."""
        self.lruvec.check()
        for pfn in self.freed:
            assert pfn not in self.lruvec
            assert self.lruvec.flags(pfn) == LruFlag(0)
