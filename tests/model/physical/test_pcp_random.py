"""Random requests through per-CPU lists lose no page."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pagewalk.model.physical.errors import (
    BadOrder,
    DoubleFree,
    OrderMismatch,
)
from pagewalk.model.physical.pcp import PerCpuPages

from .buddies import (
    blocks_by_order,
    zone_of,
)


class PcpMachine(RuleBasedStateMachine):
    """Three CPUs share a zone; a page may be freed on another CPU than it was allocated on."""

    cpus = st.integers(0, 2)
    choices = st.randoms(use_true_random=False)

    @initialize(batch=st.sampled_from([1, 7, 31]), high=st.sampled_from([0, 1, 40, 200]),
                pages=st.sampled_from([900, 5000]), order=st.sampled_from([9, 10]))
    def start(self, batch, high, pages, order):
        self.buddy = zone_of(pages, start=3, pageblock_order=order)
        self.before = blocks_by_order(self.buddy)
        self.pcps = [PerCpuPages(self.buddy, batch=batch, high=high) for _ in range(3)]
        self.live = {}
        self.pages = pages

    @rule(cpu=cpus, order=st.sampled_from([0, 0, 0, 1, 2, 3, 9, 10]), kind=st.integers(0, 2),
          count=st.integers(1, 60))
    def alloc(self, cpu, order, kind, count):
        pcp = self.pcps[cpu]
        if not pcp.takes(order):
            with pytest.raises(BadOrder):
                pcp.alloc(order, kind)
            return
        for _ in range(count):
            expected = next(iter(pcp.lists[pcp.pindex(order, kind)]), None)
            pfn = pcp.alloc(order, kind)
            assert expected in (None, pfn)
            if pfn is not None:
                self.live[pfn] = order

    @rule(cpu=cpus, choice=choices, count=st.integers(1, 80))
    def free(self, cpu, choice, count):
        pcp = self.pcps[cpu]
        for pfn in choice.sample(sorted(self.live), min(count, len(self.live))):
            order = self.live.pop(pfn)
            others = pcp.count
            pcp.free(pfn, order)
            assert pcp.count <= max(others, pcp.high) or pcp.high < 2 * pcp.batch
            with pytest.raises((DoubleFree, OrderMismatch)):
                pcp.free(pfn, order)

    @rule(cpu=cpus, choice=choices, count=st.integers(1, 40))
    def free_list(self, cpu, choice, count):
        single = [pfn for pfn, order in sorted(self.live.items()) if not order]
        chosen = choice.sample(single, min(count, len(single)))
        self.pcps[cpu].free_list(chosen)
        for pfn in chosen:
            del self.live[pfn]

    @rule(cpu=cpus)
    def expire(self, cpu):
        pcp = self.pcps[cpu]
        before = pcp.count
        pcp.expire()
        assert pcp.count <= max(0, before - pcp.batch)

    @rule(cpu=cpus)
    def drain(self, cpu):
        self.pcps[cpu].drain()
        assert self.pcps[cpu].count == 0

    @rule(cpu=cpus, batch=st.integers(1, 63), high=st.integers(0, 300), reclaim=st.booleans())
    def change(self, cpu, batch, high, reclaim):
        pcp = self.pcps[cpu]
        pcp.batch, pcp.high, pcp.reclaim_active = batch, high, reclaim

    @rule(choice=choices)
    def reserve(self, choice):
        if self.live:
            self.buddy.reserve_highatomic_pageblock(choice.choice(sorted(self.live)))

    @invariant()
    def nothing_is_broken_or_lost(self):
        self.buddy.check()
        for pcp in self.pcps:
            pcp.check()
        listed = [pfn for pcp in self.pcps for blocks in pcp.lists for pfn in blocks]
        assert len(set(listed)) == len(listed)
        used = sum(1 << order for order in self.live.values())
        held = sum(pcp.count for pcp in self.pcps)
        assert self.buddy.free_pages + held + used == self.pages

    def teardown(self):
        """Everything comes back."""
        if not hasattr(self, "pcps"):
            return
        for place, (pfn, order) in enumerate(self.live.items()):
            self.pcps[place % 3].free(pfn, order)
        for pcp in self.pcps:
            pcp.drain()
        self.buddy.check()
        if not self.buddy.had_highatomic:  # which keeps pageblocks apart
            assert blocks_by_order(self.buddy) == self.before


TestPcpKeepsEveryPage = pytest.mark.slow(PcpMachine.TestCase)
TestPcpKeepsEveryPage.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_after_many_operations_on_many_cpus_everything_comes_back(seed):
    buddy = zone_of(1 << 14, start=77)
    before = blocks_by_order(buddy)
    pcps = [PerCpuPages(buddy, batch=31, high=500) for _ in range(16)]
    generator, live, count = np.random.default_rng(seed), [], 100_000
    draws = zip((generator.random(count) < 0.55).tolist(),
                generator.integers(0, 16, count).tolist(),
                np.minimum(generator.geometric(0.6, count) - 1, 3).tolist(),
                generator.random(count).tolist(), strict=True)
    for allocates, cpu, order, where in draws:
        if allocates:
            pfn = pcps[cpu].alloc(order, cpu % 3)
            live += [] if pfn is None else [(pfn, order)]
        elif live:
            place = int(where * len(live))
            live[place], live[-1] = live[-1], live[place]
            pcps[cpu].free(*live.pop())
    for place, (pfn, order) in enumerate(live):
        pcps[place % 16].free(pfn, order)
    for pcp in pcps:
        pcp.check()
        pcp.drain()
    buddy.check()
    assert blocks_by_order(buddy) == before
