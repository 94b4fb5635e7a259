"""How well the LRU lists choose: page faults beside first-in-first-out and beside the optimum.

Run it to print the table. Each workload is a sequence of page numbers; memory has room for some of
the pages, and an access to any other is a fault. The second chance is that of ``lru.py`` and its
neighbours, with one accessed bit for each page: pages are reclaimed 32 at a time when no frame is
free. First-in-first-out gives up one page when it must; so does the optimum, which knows the
future and gives up the page that is wanted again last [Belady 1966]: no policy has fewer faults.
"""

import argparse
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from pagewalk.model.kernel.reclaim.direct_reclaim import try_to_free_pages
from pagewalk.model.kernel.reclaim.lru import LruFlag, Lruvec
from pagewalk.model.kernel.reclaim.scan import ScanControl
from pagewalk.model.kernel.reclaim.shrink import Pageout
from pagewalk.model.kernel.reclaim.workingset import workingset_refault

FRAMES = 1000
SEED = 20250101


@dataclass(frozen=True)
class Workload:
    """A sequence of page numbers, and what it is."""

    name: str
    pages: np.ndarray

    @property
    def footprint(self):
        return len(np.unique(self.pages))


def hot_set_loop(rng, count, frames=FRAMES):
    """A loop over twice as many pages as fit; three of four accesses go to a hot half of memory."""
    hot, cold = frames // 2, 2 * frames
    at_hot = rng.random(count) < 0.75
    loop = hot + np.cumsum(~at_hot) % cold
    return Workload("loop with a hot set", np.where(at_hot, rng.integers(0, hot, count), loop))


def zipf(rng, count, frames=FRAMES):
    """Four times as many pages as fit, the k-th most wanted with a weight of 1/k."""
    weight = 1 / np.arange(1, 4 * frames + 1)
    pages = rng.permutation(4 * frames)
    return Workload("zipf", pages[rng.choice(4 * frames, count, p=weight / weight.sum())])


def scans(rng, count, frames=FRAMES):
    """A zipf workload; now and then twice as many pages as fit are read once, and never again."""
    pages = zipf(rng, count, frames).pages.copy()
    fresh = 4 * frames
    for start in range(count // 8, count, count // 4):
        stop = min(start + 2 * frames, count)
        pages[start:stop] = np.arange(fresh, fresh + stop - start)
        fresh += stop - start
    return Workload("zipf with scans", pages)


def loop(_rng, count, frames=FRAMES):
    """A loop over a tenth more pages than fit: the worst of cases for every LRU."""
    return Workload("plain loop", np.arange(count) % (frames + frames // 10))


WORKLOADS = (hot_set_loop, zipf, scans, loop)


class AnonymousMemory:
    """A process with its pages and a few frames: what reclaim asks and what the process does."""

    def __init__(self, page_count, frames):
        self.lruvec = Lruvec(0, frames)
        self.free = list(range(frames))[::-1]
        self.pfn = [-1] * page_count
        self.page = [-1] * frames
        self.shadow = [-1] * page_count
        self.accessed_bits = bytearray(frames)

    def run(self, pages):
        """Access ``pages`` one after the other; return the number of faults."""
        faults = 0
        for page in pages:
            pfn = self.pfn[page]
            if pfn < 0:
                faults += 1
                pfn = self.fault(page)
            self.accessed_bits[pfn] = 1
        return faults

    def fault(self, page):
        if not self.free:
            assert try_to_free_pages([self.lruvec], ScanControl(), self)
        pfn = self.free.pop()
        self.pfn[page], self.page[pfn] = pfn, page
        flags = LruFlag(0)
        if self.shadow[page] >= 0:
            flags = workingset_refault(self.lruvec, self.shadow[page], file=False, swap=True)
        self.lruvec.add(pfn, flags)
        return pfn

    def accessed(self, pfn):
        accessed, self.accessed_bits[pfn] = self.accessed_bits[pfn], 0
        return accessed

    def is_locked(self, _pfn):
        return False

    def is_executable(self, _pfn):
        return False

    def has_swap(self):
        return True

    def add_to_swap(self, _pfn):
        return True

    def try_to_free_swap(self, pfn):
        pass

    def keeps_shadow(self, _pfn):
        return True

    def try_to_unmap(self, pfn):
        self.pfn[self.page[pfn]] = -1
        return True

    def is_dirty(self, _pfn):
        return True

    def pageout(self, _pfn):
        return Pageout.SUCCESS

    def remove_mapping(self, pfn, shadow):
        self.shadow[self.page[pfn]] = shadow
        self.page[pfn] = -1
        self.free.append(pfn)


def second_chance_faults(pages, frames):
    """Return the faults with the accessed bits and LRU lists of the model."""
    return AnonymousMemory(int(pages.max()) + 1, frames).run(pages.tolist())


def fifo_faults(pages, frames):
    """Return the faults if the page that came first goes first."""
    inside, order, faults = set(), deque(), 0
    for page in pages.tolist():
        if page not in inside:
            faults += 1
            if len(inside) == frames:
                inside.remove(order.popleft())
            inside.add(page)
            order.append(page)
    return faults


def next_use(pages):
    """Return for each access when its page is accessed next; past the end if never."""
    order = np.argsort(pages, kind="stable")
    following = np.full(len(pages), len(pages))
    same = pages[order[1:]] == pages[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    return following


def optimum_faults(pages, frames):
    """Return the fewest faults that are possible, in O(n log n)."""
    inside, wanted, faults = {}, [], 0  # page -> next use; a heap of (-next use, page)
    for page, following in zip(pages.tolist(), next_use(pages).tolist(), strict=True):
        if page not in inside:
            faults += 1
            while len(inside) == frames:
                use, victim = heappop(wanted)
                if inside.get(victim) == -use:  # else it was accessed since, and has a later entry
                    del inside[victim]
        inside[page] = following
        heappush(wanted, (-following, page))
    return faults


POLICIES = {"optimum": optimum_faults, "second chance": second_chance_faults, "FIFO": fifo_faults}


def measure(workload, frames=FRAMES):
    """Return the number of faults with each policy."""
    return {name: faults(workload.pages, frames) for name, faults in POLICIES.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accesses", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    print(f"{arguments.accesses} accesses, {FRAMES} page frames, seed {arguments.seed}; "
          "faults, and how many times the optimum's")
    print(f"{'workload':20} {'pages':>6}", *(f"{name:>18}" for name in POLICIES))
    for make in WORKLOADS:
        workload = make(np.random.default_rng(arguments.seed), arguments.accesses)
        faults = measure(workload)
        print(f"{workload.name:20} {workload.footprint:6}",
              *(f"{count:9} ({count / faults['optimum']:5.2f}x)" for count in faults.values()))


if __name__ == "__main__":
    main()
