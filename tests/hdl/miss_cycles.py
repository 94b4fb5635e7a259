"""How many cycles a miss takes by the latency of memory, measured on whole MMUs, as a table.

``python -m tests.hdl.miss_cycles`` writes the table that ``docs/reference/timing.rst`` has.
"""

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, X86_64, Cr0, Cr4, Entry

from .bench import put, take
from .golden import access_fields
from .mmu_bench import MmuBench
from .tables import Tables

__all__ = ["CASES", "CONFIGS", "MODES", "column"]

LATENCIES = (1, 4, 10, 100)
MODES = {"4 levels": X86_64, "2 levels": IA32}
CONFIGS = {
    "one stage": {},
    "two stages": {"walk_stages": 2},
    "one stage, misses": {"misses": 4},
    "walkers, misses": {"misses": 4, "walkers": 4},
}
SECOND = {"l2_entries": 16}
VADDR = 0x1234_5000
CASES = {
    "nothing is cached": {},
    "the walk cache has the last table": {},
    "that, and the page lacks A": {},
    "nothing is cached, and all entries lack A": {},
    "nothing is cached, with a second-level TLB": SECOND,
    "the second-level TLB has the page": SECOND,
}
"""What a request finds, and the parameters that it takes."""


def measured(mode, parameters, latency):
    """Return the cycles from the acceptance of a request to its answer, by case."""
    found = _cycles(mode, parameters, latency)
    return found[:4] + _cycles(mode, {**parameters, **SECOND}, latency)[::4]


def _cycles(mode, parameters, latency):
    """Return the cycles of requests: to a page, its neighbours, far away, and again."""
    tables, clean = Tables(mode), Entry.P | Entry.RW | Entry.US
    far = VADDR ^ 1 << mode.levels[0].shift
    tables.map(VADDR, 0x7000)
    tables.map(VADDR + 0x1000, 0x8000)
    tables.map(VADDR + 0x2000, 0x9000, clean | Entry.D)
    tables.map(far, 0xA000, clean, upper=clean)
    bench = MmuBench(tables, latency=lambda: latency, parameters={**parameters, "entries": 4})
    control = Control(tables.cr3, Cr0.PG, Cr4.PAE if mode is X86_64 else Cr4.PSE)
    found = []

    async def testbench(ctx):
        while not ctx.get(bench.mmu.invalidate.ready):  # a reset drops all
            await ctx.tick()
        bench.control(ctx, control)
        for vaddr, port in ((VADDR, 0), (VADDR + 0x1000, 0), (VADDR + 0x2000, 0), (far, 0),
                            (VADDR, 1)):
            await put(ctx, bench.ports[port].req, access_fields(Access(vaddr)))
            accepted = len(bench.handshakes.words)
            assert not (await take(ctx, bench.ports[port].rsp))["fault"]
            found.append(len(bench.handshakes.words) - accepted)
            for _ in range(10):
                await ctx.tick()

    bench.run(testbench)
    return found


def formula(cycles):
    """Return ``aL + b`` for cycles at ``LATENCIES``, of which each must be that."""
    first, *_, last = LATENCIES
    slope = (cycles[-1] - cycles[0]) // (last - first)
    rest = cycles[0] - slope * first
    assert [*cycles] == [slope * latency + rest for latency in LATENCIES], cycles
    return f"{slope if slope > 1 else ''}L + {rest}" if slope else str(rest)


def column(mode, parameters):
    """Return the formula of each case."""
    cycles = zip(*(measured(mode, parameters, latency) for latency in LATENCIES), strict=True)
    return [formula(one) for one in cycles]


def main():
    """Write the table as reStructuredText."""
    columns = {name: [column(mode, parameters) for parameters in CONFIGS.values()]
               for name, mode in MODES.items()}
    rows = [[case, name, *(one[number] for one in columns[name])]
            for number, case in enumerate(CASES) for name in MODES]
    for row in [["a request finds", "paging", *CONFIGS], *rows]:
        for number, cell in enumerate(row):
            print(f"   {' ' if number else '*'} - {cell}")


if __name__ == "__main__":
    main()
