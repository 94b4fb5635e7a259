"""Requests to the pool that another's walk answers, and those that it must not answer."""

from dataclasses import replace

import pytest

from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, Cr4, Efer, Entry, ErrorCode

from .pool_bench import PoolBench, pool_config
from .tables import PERMISSIVE, Tables
from .walker_bench import VADDR, assert_result, control_of, expected_result, reads

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
READ, WRITE, FETCH = AccessKind


class Pair:
    """Two requests or more, each in the cycle after the other, to a pool without a walk cache."""

    def __init__(self, mode, flags=PERMISSIVE, *, upper=PERMISSIVE, walkers=4, **behaviour):
        self.tables = Tables(mode)
        self.path = self.tables.map(VADDR, 0x7000, flags, upper=upper)
        self.config = pool_config(mode, walkers, walk_cache=0)
        self.bench = PoolBench(self.config, self.tables.memory, **{
            "latency": lambda: 4, **behaviour})

    def walk(self, *accesses, controls=(), **more):
        """Return the results; all have the first of ``controls``, or what is in their place."""
        control = control_of(self.tables)
        controls = [*controls] or [control] * len(accesses)
        golden = [walk(self.tables.memory.copy(), self.config.mode, one, access)
                  for access, one in zip(accesses, controls, strict=True)]
        results = self.bench.walk([*zip(accesses, controls, strict=True)], **more)
        for result, access, one, walked in zip(results, accesses, controls, golden, strict=True):
            expected = expected_result(self.config, walked, one)
            del expected["port"]
            if not walked.fault:  # hangs on the other walks, too
                del expected["translation"]["dirty"]
                del result["translation"]["dirty"]
            assert_result(result, expected, access)
        return results

    @property
    def walks(self):
        """How often the leaf was read."""
        return reads(self.bench).count(self.path[-1])


@MODES
@pytest.mark.parametrize("walkers", [2, 4])
def test_one_walk_answers_all_requests_for_its_page(mode, walkers):
    pair = Pair(mode, walkers=walkers)
    pair.walk(Access(VADDR), Access(VADDR + 8, FETCH))
    assert reads(pair.bench) == pair.path
    first, second = pair.bench.durations
    assert first == 4 * len(pair.path) + 4
    assert second <= first + 2
    trace = pair.bench.trace
    assert trace.cycles("event_merge") == [pair.bench.answered[1]]
    assert trace.total("event_start") == trace.total("event_end") == 2


@MODES
def test_the_answers_come_one_a_cycle_and_a_walk_that_was_joined_is_free_again(mode):
    pair = Pair(mode)
    pair.walk(*[Access(VADDR + number) for number in range(9)])
    assert pair.walks < 4
    pair = Pair(mode)
    pair.walk(*[Access(VADDR + number) for number in range(4)])
    assert pair.walks == 1
    cycles = sorted(pair.bench.answered.values())
    assert cycles[2] - cycles[1] == cycles[3] - cycles[2] == 1


@MODES
def test_another_page_or_a_walk_alone_in_the_pool_joins_nothing(mode):
    pair = Pair(mode)
    pair.tables.map(VADDR + 0x1000, 0x8000)
    pair.walk(Access(VADDR), Access(VADDR + 0x1000))
    assert len(reads(pair.bench)) == 2 * len(pair.path)
    pair = Pair(mode, walkers=1)
    pair.walk(Access(VADDR), Access(VADDR))
    assert pair.walks == 2


@MODES
@pytest.mark.parametrize(("flags", "walks"), [(PERMISSIVE, 1), (PERMISSIVE & ~Entry.D, 2)])
def test_a_write_needs_the_dirty_flag_that_the_read_before_it_did_not_set(mode, flags, walks):
    pair = Pair(mode, flags)
    pair.walk(Access(VADDR), Access(VADDR, WRITE))
    assert pair.walks == walks
    assert pair.bench.trace.total("event_merge") == 2 - walks
    assert pair.tables.read(pair.path[-1]) & Entry.D


@MODES
def test_a_write_is_answered_by_the_walk_of_a_write_that_sets_all_flags(mode):
    pair = Pair(mode, Entry.P | Entry.RW | Entry.US, upper=Entry.P | Entry.RW | Entry.US)
    first, second = pair.walk(Access(VADDR, WRITE), Access(VADDR, WRITE, user=True))
    assert pair.walks == 1
    assert first["fault"] == second["fault"] == 0
    assert sum(access[0] == "exchange" for access in pair.bench.memory.log) == len(pair.path)


@MODES
def test_what_is_entered_into_a_tlb_after_a_write_has_the_dirty_flag(mode):
    tables = Tables(mode)
    tables.map(VADDR, 0x7000, PERMISSIVE & ~Entry.D)
    bench = PoolBench(pool_config(mode, 2), tables.memory, latency=lambda: 4)
    control = control_of(tables)
    results = bench.walk([(Access(VADDR, WRITE), control), (Access(VADDR), control)])
    assert [one["translation"]["dirty"] for one in results] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "access", "registers"), [
    (PERMISSIVE & ~Entry.US, Access(VADDR, user=True), {}),
    (PERMISSIVE & ~Entry.RW, Access(VADDR, WRITE, user=True), {}),
    (PERMISSIVE & ~Entry.RW, Access(VADDR, WRITE), {"cr0": Cr0.PG | Cr0.WP}),
    (PERMISSIVE | Entry.XD, Access(VADDR, FETCH), {}),
    (PERMISSIVE, Access(VADDR, FETCH), {"cr4": Cr4.PAE | Cr4.SMEP}),
    (PERMISSIVE, Access(VADDR), {"cr4": Cr4.PAE | Cr4.SMAP}),
    (PERMISSIVE, Access(VADDR, user=True), {"cr4": Cr4.PAE | Cr4.PKE, "pkru": 1}),
], ids=["user", "write", "WP", "XD", "SMEP", "SMAP", "PKRU"])
@pytest.mark.parametrize("denied_first", [False, True])
def test_each_request_is_judged_by_its_own_access_and_registers(
        flags, access, registers, denied_first):
    """What is denied walks itself: software may have changed the entry since it was read."""
    pair = Pair(X86_64, flags)
    base = control_of(pair.tables)
    requests = [(Access(VADDR), base), (access, replace(base, **registers))]
    if denied_first:
        requests.reverse()
    accesses, controls = zip(*requests, strict=True)
    results = pair.walk(*accesses, controls=controls)
    assert [one["fault"] for one in results] == [denied_first, not denied_first]
    assert pair.walks == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["root", "pcid", "nxe", "pse"])
def test_a_walk_of_other_registers_is_not_joined(name):
    mode = IA32 if name == "pse" else X86_64
    pair = Pair(mode)
    base = control_of(pair.tables)
    first, pair.tables.cr3 = pair.tables.cr3, pair.tables.new_table()
    pair.tables.map(VADDR, 0x9000)
    other = {"root": {"cr3": pair.tables.cr3}, "pcid": {"cr3": first | 7},
             "nxe": {"efer": base.efer & ~Efer.NXE}, "pse": {"cr4": 0}}[name]
    base = replace(base, cr3=first)
    controls = [base, replace(base, **other), base, base]
    results = pair.walk(*[Access(VADDR)] * 4, controls=controls)
    frames = [one["translation"]["frame"] for one in results]
    assert frames == [7, 9 if name == "root" else 7, 7, 7]
    # The third cannot tell that the first has its registers; the fourth joins the third.
    assert pair.walks == (2 if name == "root" else 3)


@MODES
def test_a_page_that_is_made_present_after_it_was_read_is_found_by_the_next_request(mode):
    """Nothing that is not present is cached: not for the requests that wait, either."""
    pair = Pair(mode, 0)

    def mend(access):
        if access == ("read", pair.path[-1]):
            seen.append(access)
            if len(seen) == 2:
                pair.tables.write(pair.path[-1], 0x7000 | PERMISSIVE)

    seen, pair.bench.memory.before = [], mend
    control = control_of(pair.tables)
    first, second = pair.bench.walk([(Access(VADDR), control)] * 2)
    assert (first["fault"], first["error_code"] & ErrorCode.P) == (1, 0)
    assert (second["fault"], second["translation"]["frame"]) == (0, 7)


@pytest.mark.slow
@MODES
def test_a_request_that_comes_after_a_drop_joins_no_walk_from_before_it(mode):
    """Whenever the drop is; and what was joined before it is stale like the walk."""
    counts = set()
    for cycle in range(14):
        pair = Pair(mode, pause=iter([0, 0, 5]).__next__)
        results = pair.walk(*[Access(VADDR)] * 3, drops=[(cycle, {})])
        looked, stale = pair.bench.trace.cycles("event_start"), [one["stale"] for one in results]
        for number in range(3):
            assert stale[number] == (looked[number] <= cycle < pair.bench.answered[number])
        assert pair.walks == expected_walks(looked, cycle)
        counts.add(pair.walks)
    assert counts == {1, 2}


def expected_walks(looked, drop):
    """Return how many walks there are for requests that were looked up in the cycles ``looked``.

    One that is looked up in the cycle of the drop joins a walk from before it: it is stale as well.
    """
    walks = []
    for cycle in looked:
        if all(begun <= drop < cycle for begun in walks):
            walks.append(cycle)
    return len(walks)
