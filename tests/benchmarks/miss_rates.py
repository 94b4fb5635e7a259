"""Miss rates of the hardware on a recorded trace of memory accesses, beside those of plain LRU.

Run it with a trace, such as one of ``cc1``, to print a table. A trace is an ``.npz`` of three
arrays, a row for each run of accesses to one page: ``va``, an address in the page; ``kind``, 0 for
fetches, 1 for loads, 2 if the first access is a store; ``count``, the accesses. The MMU has a port
for fetches and one for data; all pages are mapped beforehand, with A and D set. The first access
of each run goes through a compiled engine, the others of it can only hit.

    python tests/benchmarks/miss_rates.py cc1.npz
"""

import argparse
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
PIECE = 250_000  # runs that are given to the engine at once
LEVELS = {"entries": 64, "ways": 4, "policy": "lru", "index": "folded"}
SECOND = {"l2_entries": 1024, "l2_ways": 4, "l2_policy": "lru"}


class LruSets:
    """Sets of the pages used last. ``folded`` selects the set by two fields of the page number."""

    def __init__(self, sets, ways, *, folded):
        self.sets, self.ways = [OrderedDict() for _ in range(sets)], ways
        self.shift = (sets - 1).bit_length() if folded else 64

    def access(self, vpn):
        """Return whether a page hits; if not, it is entered."""
        pages = self.sets[(vpn ^ vpn >> self.shift) % len(self.sets)]
        if vpn in pages:
            pages.move_to_end(vpn)
            return True
        if len(pages) == self.ways:
            pages.popitem(last=False)
        pages[vpn] = None
        return False


def lru_counts(trace):
    """Return the misses of fetches and of data, and the walks behind a second level."""
    first = [LruSets(16, 4, folded=True) for _ in range(2)]
    second, misses, walks = LruSets(256, 4, folded=False), [0, 0], 0
    for vpn, kind in zip((trace["va"] >> np.uint64(12)).tolist(), trace["kind"].tolist(),
                         strict=True):
        port = int(kind > 0)
        if not first[port].access(vpn):
            misses[port] += 1
            walks += not second.access(vpn)
    return *misses, walks


def mapped(vaddrs):
    """Return page tables that map the pages of ``vaddrs``, and registers to use them."""
    from pagewalk.model.mmu.walk import Control
    from pagewalk.model.x86 import X86_64
    from tests.hdl.tables import Tables

    tables = Tables(X86_64)
    for number, vaddr in enumerate(np.unique(vaddrs & np.uint64(-4096 & (1 << 64) - 1)).tolist()):
        tables.map(vaddr, 0x1_0000_0000 + (number << 12))
    return tables, Control(tables.cr3)


def hardware_counts(engine, trace):
    """Return the misses of fetches and of data, and the walks, by the events of an engine."""
    from pagewalk.model.x86 import InvalidateOp
    from pagewalk.sim.engine.command import accesses, invalidation

    kinds = np.array([2, 0, 1], np.uint8)[trace["kind"]]  # AccessKind: read, write, fetch
    tables, control = mapped(trace["va"])
    engine.run(tables.memory, invalidation(control, InvalidateOp.INVPCID_ALL))
    counts = np.zeros(3, np.int64)
    for start in range(0, len(kinds), PIECE):
        rows = slice(start, start + PIECE)
        run = engine.run(tables.memory, accesses(
            control, trace["va"][rows], kinds[rows], user=1, port=trace["kind"][rows] > 0))
        assert not run.answers["fault"].any()
        counts += [run.events[name] for name in ("fetch_miss", "data_miss", "walk_start")]
    return counts.tolist()


def show(title, counts, fetches, total):
    """Print the counts of a line, and what they are of 1,000 accesses."""
    fetch, data, walks = counts
    print(f"{title:24}{fetch:10,}{1000 * fetch / fetches:8.3f}"
          f"{data:10,}{1000 * data / (total - fetches):8.3f}{walks:10,}{1000 * walks / total:8.4f}",
          flush=True)


def main():
    from pagewalk.hdl.config import Config
    from pagewalk.sim.engine import create

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trace", type=Path, help="a trace, .npz")
    parser.add_argument("--runs", type=int, help="take so many runs of the trace (all)")
    parser.add_argument("--engine", default="verilator", choices=("verilator", "cxxrtl"))
    args = parser.parse_args()
    with np.load(args.trace) as file:
        trace = {name: file[name][:args.runs] for name in ("va", "kind", "count")}
    total = int(trace["count"].sum())
    fetches = int(trace["count"][trace["kind"] == 0].sum())
    print(f"{len(trace['va']):,} runs of {total:,} accesses, {fetches:,} of them fetches;"
          " each port has a TLB of 16 sets of 4 ways, LRU, folded")
    print(f"{'':24}{'fetch':>18}{'data':>18}{'walks':>18}   and of 1,000: fetches, data, all")
    fetch, data, walks = lru_counts(trace)
    show("LRU", (fetch, data, fetch + data), fetches, total)
    show("LRU, 256 x 4 behind", (fetch, data, walks), fetches, total)
    for title, more in (("hardware", {}), ("hardware, 256 x 4 behind", SECOND),
                        ("the same, L2 plru", SECOND | {"l2_policy": "plru"})):
        engine = create(args.engine, Config(**LEVELS, **more))
        show(title, hardware_counts(engine, trace), fetches, total)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
