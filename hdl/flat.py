# amaranth: UnusedElaboratable=no
"""The MMU with flat ports: one plain signal for each field, under a name that does not change."""

from amaranth import Module, Shape, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib import data
from amaranth.lib.wiring import Flow

from .mmu import Mmu

__all__ = ["FlatMmu", "flat_fields", "flat_names", "flat_widths"]

# The line at the top: `flat_widths` makes an MMU, and no hardware of it.


def flat_fields(layout):
    """Return ``(name, offset, width)`` of each leaf field, nested names joined by ``_``."""
    fields = []
    for name, field in layout:
        if isinstance(field.shape, data.Layout):
            fields += [(f"{name}_{inner}", field.offset + offset, width)
                       for inner, offset, width in flat_fields(field.shape)]
        else:
            fields.append((str(name), field.offset, Shape.cast(field.shape).width))
    return fields


class FlatMmu(Elaboratable):
    """An ``Mmu`` whose ports are plain signals, for Verilog and for the compiled engine.

    The name of a signal is the path of its field in the ``Mmu``, joined by ``_``, with ``payload``
    left out: ``data_req_valid``, ``data_req_vaddr``, ``events_data_hit_4k``. The timing is that of
    the ``Mmu``.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    inputs, outputs : dict of str to :class:`Signal`
        The ports by name, in a fixed order, without clock and reset.
    """

    def __init__(self, config):
        self._mmu = Mmu(config)
        self._connections = []
        self.inputs = {}
        self.outputs = {}
        for path, member, value in self._mmu.signature.flatten(self._mmu):
            name = "_".join(str(part) for part in path if part != "payload")
            raw = value.as_value() if isinstance(value, data.View) else value
            if isinstance(member.shape, data.Layout):
                leaves = [(f"{name}_{inner}", raw[offset:offset + width])
                          for inner, offset, width in flat_fields(member.shape)]
            else:
                leaves = [(name, raw)]
            ports = self.inputs if member.flow is Flow.In else self.outputs
            for leaf, part in leaves:
                ports[leaf] = signal = Signal(len(part), name=leaf)
                self._connections.append(
                    part.eq(signal) if member.flow is Flow.In else signal.eq(part))

    def elaborate(self, platform):
        m = Module()
        m.submodules.mmu = self._mmu
        m.d.comb += self._connections
        return m


def flat_names(config):
    """Return the names of the ports of a :class:`FlatMmu`, without clock and reset."""
    return [name for ports in flat_widths(config) for name in ports]


def flat_widths(config):
    """Return the widths of the inputs and of the outputs of a :class:`FlatMmu`, by name."""
    flat = FlatMmu(config)
    return tuple({name: len(signal) for name, signal in ports.items()}
                 for ports in (flat.inputs, flat.outputs))
