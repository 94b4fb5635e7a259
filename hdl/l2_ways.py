"""The block RAM of the second-level TLB."""

from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["L2Ways"]


class L2Ways(wiring.Component):
    """Holds the entries, a memory for each way; reads all ways of a set at once.

    A set that is read in cycle *t* stands in ``ways`` in cycle *t* + 2, and stays there until two
    cycles after the next read. A write is seen by reads of later cycles. No cycle may have both, so
    that block RAMs need no logic for a set that is read while it is written.

    Parameters
    ----------
    geometry : :class:`L2Geometry`
        Parameters of the second-level TLB.

    Members
    -------
    read : In(1), read_index : In
        Read the set of that number.
    ways : Out(entry_layout), one for each way
        What was read.
    write : In, one bit for each way
        The ways to write, in the set ``write_index``.
    valid : In, one bit for each way
        Whether the entry that is written there is valid.
    written : In(entry_layout)
        The entry to write, but for ``valid``.
    """

    def __init__(self, geometry):
        self._geometry = geometry
        entry, index = geometry.entry_layout(), range(geometry.sets)
        super().__init__({
            "read": In(1),
            "read_index": In(index),
            "ways": Out(entry).array(geometry.ways),
            "write": In(geometry.ways),
            "valid": In(geometry.ways),
            "write_index": In(index),
            "written": In(entry),
        })

    def elaborate(self, platform):
        m = Module()
        entry = self._geometry.entry_layout()
        # Whoever synthesizes this sees by `& ~self.write` that no read meets a write. The register
        # behind the read port without a clock makes them one port with a clock.
        read = Signal()
        m.d.comb += read.eq(self.read & ~self.write.any())
        for number, way in enumerate(self.ways):
            m.submodules[f"way_{number}"] = ram = memory.Memory(
                shape=entry, depth=self._geometry.sets, init=[])
            write_port, read_port = ram.write_port(), ram.read_port(domain="comb")
            output = Signal(entry, name=f"output_{number}", reset_less=True)
            result = Signal(entry, name=f"result_{number}", reset_less=True)
            m.d.comb += [
                write_port.addr.eq(self.write_index),
                write_port.data.eq(self.written),
                write_port.data.valid.eq(self.valid[number]),
                write_port.en.eq(self.write[number]),
                read_port.addr.eq(self.read_index),
                way.eq(result),
            ]
            with m.If(read):
                m.d.sync += output.eq(read_port.data)
            m.d.sync += result.eq(output)
        return m
