"""An Amaranth design with the MMU in it: page tables in a block RAM, one translation, simulated.

The design is an MMU with one request port, and a memory of 16 Kbytes that answers its page-table
accesses. The testbench offers one load and prints what the MMU says.
"""

from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, connect
from amaranth.sim import Simulator

from pagewalk.hdl.config import Config
from pagewalk.hdl.mmu import Mmu
from pagewalk.hdl.shapes import MemoryOp, memory_signature
from pagewalk.model.x86 import X86_64, Entry

CONFIG = Config(X86_64, ports=("data",), entries=4, walk_cache=2)
USABLE = Entry.P | Entry.RW | Entry.US

# Four tables in frames 0 to 3, the root first. In each, entry 1 leads on: to the next table, and
# from the last to the page in frame 0x1234. So the page is at this linear address:
VADDR = 1 << 39 | 1 << 30 | 1 << 21 | 1 << 12
TABLES = [0] * (4 * 512)
for table, target in enumerate([1, 2, 3, 0x1234]):
    TABLES[512 * table + 1] = target << 12 | USABLE


class PageTableMemory(wiring.Component):
    """A block RAM of 8-byte entries that answers the ``memory`` port of an MMU in the next cycle.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    entries : list of int
        What the memory holds at reset, from physical address 0.

    Members
    -------
    port : In(memory_signature)
        The MMU's accesses. One at a time is under way, so that nobody writes between the read and
        the write of a compare-and-exchange.
    """

    def __init__(self, config, entries):
        self._entries = entries
        super().__init__({"port": In(memory_signature(config))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = memory.Memory(
            shape=64, depth=len(self._entries), init=self._entries)
        read, write = ram.read_port(domain="comb"), ram.write_port()
        req, rsp = self.port.req, self.port.rsp
        accepted, same = Signal(), Signal()
        m.d.comb += [
            req.ready.eq(~rsp.valid | rsp.ready),
            accepted.eq(req.valid & req.ready),
            read.addr.eq(req.payload.address[3:]),
            same.eq(read.data == req.payload.expected),
            write.addr.eq(read.addr),
            write.data.eq(req.payload.desired),
            write.en.eq(accepted & same & (req.payload.op == MemoryOp.COMPARE_EXCHANGE)),
        ]
        with m.If(rsp.ready):
            m.d.sync += rsp.valid.eq(0)
        with m.If(accepted):
            m.d.sync += [
                rsp.valid.eq(1),
                rsp.payload.tag.eq(req.payload.tag),
                rsp.payload.data.eq(read.data),
                rsp.payload.exchanged.eq(write.en),
            ]
        return m


def main():
    """Simulate one load."""
    m = Module()
    m.submodules.mmu = mmu = Mmu(CONFIG)
    m.submodules.tables = tables = PageTableMemory(CONFIG, TABLES)
    connect(m, mmu.memory, tables.port)
    m.d.comb += [mmu.control.pg.eq(1), mmu.control.root.eq(0)]  # CR0.PG; the root is in frame 0
    req, rsp = mmu.data.req, mmu.data.rsp

    async def load(ctx):
        ctx.set(req.payload, {"vaddr": VADDR | 0x678, "user": 1})  # kind 0 is a read
        ctx.set(req.valid, 1)
        ctx.set(rsp.ready, 1)
        await ctx.tick().until(req.ready)
        ctx.set(req.valid, 0)
        cycles = 1
        while not ctx.get(rsp.valid):
            await ctx.tick()
            cycles += 1
        answer = ctx.get(rsp.payload)
        print(f"linear {VADDR | 0x678:#x} is physical {answer.paddr:#x}, after {cycles} cycles")

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(load)
    simulator.run()


if __name__ == "__main__":
    main()
