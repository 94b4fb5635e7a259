"""An MMU with a second-level TLB that has pages walked ahead, and tables for it."""

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, Cr0, Cr4

from .bench import put, take
from .golden import access_fields
from .mmu_bench import MmuBench
from .tables import PERMISSIVE, Tables

__all__ = ["NEXT", "OTHER", "SIMPLE", "VADDR", "WALKERS", "PrefetchBench", "frame", "mapped"]

VADDR = 0x1234_5000
NEXT = VADDR + 0x1000
OTHER = VADDR ^ 1 << 31  # under another entry of the last upper level
SIMPLE = {"walkers": 1, "misses": 1}
WALKERS = {"one": SIMPLE, "pool": {"walkers": 3, "misses": 2, "order": "tag"}}
"""By name: a walker, and several with ports that go on behind misses."""


def frame(vaddr):
    """Return the frame that ``mapped`` gives to a page."""
    return vaddr & 0xFFF_F000


def mapped(mode, *vaddrs, flags=PERMISSIVE, upper=PERMISSIVE):
    """Return tables that map pages, and the address of each leaf entry."""
    tables = Tables(mode)
    return tables, [tables.map(vaddr, frame(vaddr), flags, upper=upper)[-1] for vaddr in vaddrs]


class PrefetchBench(MmuBench):
    """An MMU with TLBs of one entry, so that nearly all is asked of the second level.

    ``registers`` are those of all requests.
    """

    def __init__(self, tables, *, prefetch="next", entries=1, parameters=None, **others):
        super().__init__(tables, entries=entries, l2_entries=16, parameters={
            "prefetch": prefetch, "walk_cache": 0, **(parameters or {})}, **others)
        cr4 = Cr4.PSE if tables.mode is IA32 else Cr4.PAE
        self.registers = Control(tables.cr3, Cr0.PG | Cr0.WP, cr4)

    async def read(self, ctx, vaddr, port=1, **access):
        """Return what an access is answered, if no fault its paddr, and its cycles."""
        self.control(ctx, self.registers)
        await put(ctx, self.ports[port].req, access_fields(Access(vaddr, **access)))
        asked = len(self.handshakes.words)
        response = await take(ctx, self.ports[port].rsp)
        cycles = len(self.handshakes.words) - asked
        return response["error_code"] if response["fault"] else response["paddr"], cycles

    async def ready(self, ctx):
        """Wait until the reset has all dropped."""
        while not ctx.get(self.mmu.invalidate.ready):
            await ctx.tick()

    async def settle(self, ctx, cycles=60):
        """Wait until nothing is walked ahead any more."""
        for _ in range(cycles):
            await ctx.tick()

    def total(self, event):
        return self.events.total(f"l2_prefetch_{event}")

    def reads(self, since=0):
        """Return the addresses that were read, from the access of that number on."""
        assert all(access[0] == "read" for access in self.memory.log[since:])
        return [access[1] for access in self.memory.log[since:]]
