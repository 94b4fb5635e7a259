"""Random allocations on a machine of two nodes keep every invariant."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagewalk.model.physical.gfp import Gfp, gfp_zone
from pagewalk.model.physical.memory_map import E820Range, MemoryMap, NodeRange
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.physical.page import MAX_ORDER
from pagewalk.model.physical.page_alloc import PageAllocator

from .machines import MIB


def blocks_of(memory):
    """Return the free blocks of every zone, by order."""
    return [
        [sorted(pfn for kind in range(5) for pfn in zone.buddy.free_list(order, kind).tolist())
         for order in range(MAX_ORDER)]
        for zone in memory.populated
    ]


GFPS = st.sampled_from([
    Gfp.KERNEL, Gfp.HIGHUSER_MOVABLE, Gfp.KERNEL | Gfp.RECLAIMABLE, Gfp.ATOMIC, Gfp.NOWAIT,
    Gfp.KERNEL | Gfp.DMA, Gfp.KERNEL | Gfp.DMA32, Gfp.HIGHUSER, Gfp.KERNEL | Gfp.MEMALLOC,
    Gfp.HIGHUSER_MOVABLE | Gfp.THISNODE, Gfp.TRANSHUGE_LIGHT,
])
HOLE_AT = 24 * MIB >> 12


class AllocatorMachine(RuleBasedStateMachine):
    """Random allocations of a machine with nodes, a hole, reserved pages and three processors."""

    @initialize(sizes=st.tuples(st.integers(300, 9000), st.integers(300, 9000)),
                reserved=st.lists(st.tuples(st.integers(300, 15000), st.integers(1, 2000)),
                                  max_size=3))
    def boot(self, sizes, reserved):
        low, high = HOLE_AT + 100 + sizes[0], HOLE_AT + 100 + sum(sizes)
        machine = MemoryMap(
            (E820Range(0, 0x9FC00), E820Range(MIB, HOLE_AT << 12),
             E820Range(HOLE_AT + 100 << 12, high << 12)),
            (NodeRange(0, 0, low << 12), NodeRange(1, low << 12, high << 12)), (0, 1, 1))
        self.reserved = [(start, start + length) for start, length in reserved]
        self.memory = PageAllocator.boot(machine, reserved=self.reserved)
        self.fresh = blocks_of(self.memory)
        self.owned, self.blocks = np.zeros(high + 1, bool), {}
        self.owned[HOLE_AT : HOLE_AT + 100] = self.owned[:256] = True
        for start, end in self.reserved:
            self.owned[start:end] = True

    @rule(gfp=GFPS, order=st.integers(0, 10), nid=st.sampled_from([None, 0, 1]),
          cpu=st.integers(0, 2), count=st.integers(1, 400))
    def alloc(self, gfp, order, nid, cpu, count):
        for _ in range(count >> order // 2):
            try:
                pfn = self.memory.alloc_pages(gfp, order, nid, cpu)
            except OutOfMemory as error:
                asked = self.memory.context(gfp, (0, 1, 1)[cpu] if nid is None else nid).zones
                self.refused(error, order, asked)
                return
            assert pfn % (1 << order) == 0
            assert not self.owned[pfn : pfn + (1 << order)].any()
            self.owned[pfn : pfn + (1 << order)] = True
            self.blocks[pfn] = order
            zone = self.memory.zone_of(pfn)
            assert zone.index <= gfp_zone(gfp, self.memory.config)
            assert zone.span.start_pfn <= pfn <= pfn + (1 << order) <= zone.span.end_pfn

    @staticmethod
    def refused(error, order, asked):
        assert error.order == order
        assert [(one.nid, one.zone) for one in error.refusals] == [
            (zone.nid, zone.name) for zone in asked]

    @precondition(lambda self: self.blocks)
    @rule(which=st.lists(st.integers(0, 1 << 20), min_size=1, max_size=200), cpu=st.integers(0, 2))
    def free(self, which, cpu):
        for choice in which:
            if self.blocks:
                pfns = list(self.blocks)
                self.release(pfns[choice % len(pfns)], cpu)

    @rule()
    def drain(self):
        self.memory.drain_all_pages()

    def release(self, pfn, cpu):
        order = self.blocks.pop(pfn)
        self.owned[pfn : pfn + (1 << order)] = False
        self.memory.free_pages(pfn, order, cpu)

    @invariant()
    def everything_fits_together(self):
        self.memory.check()
        allocated = sum(1 << order for order in self.blocks.values())
        idle = sum(zone.free_pages + sum(pcp.count for pcp in zone.pcp)
                   for zone in self.memory.populated)
        assert idle + allocated == sum(zone.managed_pages for zone in self.memory.populated)
        counted = [zone.numa for zone in self.memory.populated]
        assert sum(one.hit + one.miss for one in counted) == sum(
            one.local + one.other for one in counted)
        assert sum(one.miss for one in counted) == sum(one.foreign for one in counted)

    def teardown(self):
        """With everything freed the same blocks are free as at the beginning."""
        for pfn in list(self.blocks):
            self.release(pfn, 0)
        self.memory.drain_all_pages()
        self.memory.check()
        if not any(zone.buddy.had_highatomic for zone in self.memory.populated):
            assert blocks_of(self.memory) == self.fresh


TestAllocatorMachine = pytest.mark.slow(AllocatorMachine.TestCase)
TestAllocatorMachine.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
