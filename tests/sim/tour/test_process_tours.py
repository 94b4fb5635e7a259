"""The sentences of the tours of processes: mmap, demand paging, fork, huge pages."""

import re
from types import SimpleNamespace

import pytest

from pagewalk.sim.tour.demand_tour import DemandTour
from pagewalk.sim.tour.fork_tour import ForkTour
from pagewalk.sim.tour.mmap_tour import MmapTour
from pagewalk.sim.tour.thp_tour import ThpTour
from pagewalk.sim.tour.topics import TOURS

from .play import play
from .witness import PAGE, frames, free_pages, on_lists, own_pages, resident, zeros

pytestmark = pytest.mark.slow
HUGE = 2 << 20


def mappings(tour):
    vmas = [(vma.start, vma.end, vma.flags & 7) for vma in tour.process.mm.tree]
    return SimpleNamespace(vmas=vmas, count=len(vmas))


def test_mmap():
    def new(was, now):
        added = [one for one in now.vmas if one not in was.vmas]
        return added[0]

    def first(was, now, _):
        start, end, _ = new(was, now)
        assert end in [one for one, _, _ in was.vmas]  # right below what was the lowest there
        return [(end - start) // PAGE, start, now.count]

    def merge(was, now, _):
        start, end, _ = new(was, now)
        old, = [one for one in was.vmas if one not in now.vmas]
        assert end == old[1]
        return [(old[0] - start) // PAGE, start, (end - start) // PAGE]

    def cut(was, now, _):
        page, = [one for one in now.vmas if one[1] - one[0] == PAGE and one not in was.vmas]
        assert page[2] == 1  # read
        return [page[0], now.count, was.count]

    def hole(was, now, _):
        low, high = [one for one in now.vmas if one not in was.vmas]
        return [low[1], high[0], high[0] - low[1]]

    def grow(was, now, _):
        heap = new(was, now)
        return [*heap[:2], (heap[1] - heap[0]) // PAGE]

    def shrink(was, now, _):
        heap, = [one for one in was.vmas if one not in now.vmas]
        return [(heap[1] - heap[0]) // PAGE]

    play(MmapTour(), mappings, [first, merge, cut, lambda was, now, _: [was.count, now.count], hole,
                                grow, shrink])


def state(tour):
    process, kernel = tour.process, tour.kernel
    return SimpleNamespace(
        rss=resident(kernel, process), vmas=[(vma.start, vma.end) for vma in process.mm.tree],
        free=free_pages(kernel.state.allocator), listed=on_lists(kernel.state.allocator),
        pages={vaddr: place for vma in process.mm.tree for vaddr, place in
               frames(kernel, process, vma.start, vma.end).items()})


def byte(tour, vaddr):
    """Return a byte of the process of a tour, by way of a walk of its tables."""
    pfn, _ = frames(tour.kernel, tour.process, vaddr & -PAGE, (vaddr & -PAGE) + PAGE)[vaddr & -PAGE]
    return tour.kernel.state.memory.read(pfn * PAGE + vaddr % PAGE, 1)


def test_demand():
    tour = DemandTour()
    faults = []

    def seen(events):
        faults.extend(event for event in events if "page fault" in event)
        return [event for event in events if "page fault" in event]

    def load(was, now, events):
        seen(events)
        place, = set(now.pages.values()) - set(was.pages.values())
        assert place[0] in zeros(tour.kernel)
        return [byte(tour, tour.start), place[0], (was.free - now.free) * 4, now.rss]

    def store(_, now, events):
        assert "error code 0x7" in seen(events)[0]
        return [now.rss]

    def following(_, now, events):
        assert "error code 0x6" in seen(events)[0]
        assert now.rss == 2
        return [len(faults), sum("read the page from the file" in one for one in faults)]

    def file(was, now, events):
        majors = [one for one in seen(events) if "read the page from the file" in one]
        (start, end), = {*now.vmas} - {*was.vmas}
        return [start, len(majors), now.rss - was.rss, (end - start) // PAGE]

    play(tour, state, [
        lambda _, now, __: [now.vmas[0][1] - now.vmas[0][0], now.vmas[0][0], now.rss],
        load, store, following,
        lambda _, __, events: [byte(tour, tour.start + PAGE), len(seen(events))],
        lambda was, now, _: [was.rss - now.rss], file, lambda _, now, __: [now.rss]])


def family(tour):
    kernel = tour.kernel
    living = [one for one in (tour.parent, tour.child) if one is not None]
    assert living == [*kernel.processes.values()]
    return SimpleNamespace(
        pids=[one.pid for one in living], free=free_pages(kernel.state.allocator),
        listed=on_lists(kernel.state.allocator),
        frames=[{vaddr: pfn for vma in one.mm.tree
                 for vaddr, (pfn, _) in own_pages(kernel, one, vma).items()} for one in living])


def test_fork():
    tour = ForkTour()

    def value(state, who, vaddr):
        return tour.kernel.state.memory.read(state.frames[who][vaddr] * PAGE, 1)

    def fork(was, now, _):
        assert now.frames == was.frames * 2
        used = was.free + was.listed - now.free - now.listed
        return [now.pids[1], len(now.frames[1]), used - 1, used]

    def read(_, now, events):
        start = tour.start
        return [value(now, 0, start), value(now, 1, start), now.frames[1][start], len(events)]

    def write(was, now, events):
        start = tour.start
        assert "copied the page" in events[0]
        assert value(now, 1, start) == 0xC
        assert now.frames[0] == was.frames[0]
        return [was.frames[1][start], now.frames[1][start], value(now, 0, start)]

    def reuse(was, now, events):
        assert was.frames == now.frames
        assert "nobody else" in events[0]
        return [now.frames[0][tour.start]]

    def end(was, _, __):
        shared = set(was.frames[1].values()) & set(was.frames[0].values())
        assert len(was.frames[1]) - len(shared) == 1
        return [was.pids[1], len(was.frames[1]), len(shared)]

    def alone(was, now, events):
        kept = [vaddr for vaddr in was.frames[0] if vaddr != tour.start
                and was.frames[0][vaddr] == now.frames[0][vaddr]]
        return [len(events), len(kept)]

    play(tour, family, [
        lambda _, now, events: [len(now.frames[0]), len(events), now.frames[0][tour.start]],
        fork, read, write, reuse, end, alone])


def test_thp():
    tour = ThpTour()

    def size(state, vaddr):
        return state.pages[vaddr][1]

    def mapped(_, now, __):
        (start, end), = now.vmas
        aligned = start + -start % HUGE
        return [end - start >> 20, HUGE >> 20, aligned, aligned - start >> 10]

    def store(was, now, events):
        assert len(events) == 1
        return [now.rss - was.rss, size(now, tour.start) >> 20]

    def protect(was, now, _):
        assert [place[0] for place in was.pages.values()] == [
            place[0] for place in now.pages.values()]
        middle = now.vmas[1][0]
        assert {place[1] for place in now.pages.values()} == {PAGE}
        return [middle, size(now, middle) >> 10, now.rss]

    def collapse(was, now, _):
        assert size(now, tour.start) == HUGE
        return [was.pages[tour.start][0], now.pages[tour.start][0], byte(tour, tour.start),
                now.listed]

    play(tour, state, [
        mapped, store, lambda _, __, events: [byte(tour, tour.start + HUGE - 1), len(events)],
        protect, lambda _, now, __: [len(now.vmas), size(now, tour.start + HUGE // 2) >> 10],
        collapse,
        lambda was, now, _: [was.rss - now.rss, size(now, tour.start + HUGE // 2) >> 10, now.rss]])


BITS = ("P", "WR", "US", "RSVD", "ID", "PK")
FAULT = re.compile(r"(?:\[task (\d+)\] )?page fault: (load|store) at (0x\w+)( by the kernel)?, "
                   r"error code (0x\w+) \(([A-Z|]+)\): (.*?)(?:, in (\w+)-(\w+) (....) .*)?$")


@pytest.mark.parametrize("topic", ["mmap", "demand", "fork", "swap", "thp", "kmap", "tlb",
                                   "copies"])
def test_lines_about_faults(topic):
    tour, count = TOURS[topic].make(), 0
    for step in tour.steps():
        for line in step.events:
            if "page fault" not in line:
                assert re.match(r"(\[task \d+\] )?\w+\(.*\) = ", line)
                continue
            count += 1
            pid, kind, at, kernel, code, names, what, start, end, _ = FAULT.match(line).groups()
            code, address = int(code, 16), int(at, 16)
            assert names.split("|") == [name for bit, name in enumerate(BITS) if code >> bit & 1]
            assert bool(code & 2) == (kind == "store")
            assert bool(code & 4) == (kernel is None)
            assert (start is None) == ("SIGSEGV" in what or ("the copy ends" in what
                                                             and not code & 1))
            process = (tour.kernel.processes[int(pid)] if pid else
                       next(iter(tour.kernel.processes.values()), None))
            if start is not None and process is not None:
                assert int(start, 16) <= address < int(end, 16)
                vma = process.mm.tree.lookup(address)
                assert (vma.start, vma.end) == (int(start, 16), int(end, 16))
    assert count > 1 or topic in ("mmap", "tlb", "thp")
