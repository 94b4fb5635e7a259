"""A register at every port, so that all paths of a design begin and end at a clock edge."""

from collections import defaultdict
from typing import Any

from .chip import Family
from .component import CLOCK
from .netlist import Bit, Netlist

__all__ = ["PREFIX", "bare_ports", "close_ports", "register_ports"]

PREFIX = "port "  # how the registers are called that are added


def register_ports(netlist: Netlist, family: Family) -> None:
    """Put a flip-flop between each port of ``netlist`` and its logic, but for the clock's.

    The design is the same, a cycle later at each port. What was counted before does not change:
    the registers are put at the finished netlist.
    """
    module, bits = netlist.module, netlist.new_bits()
    ports = module["ports"]
    if CLOCK not in ports:  # of a component without state
        ports[CLOCK] = {"direction": "input", "bits": [next(bits)]}
    clock, = ports[CLOCK]["bits"]
    for port, description in ports.items():
        if port == CLOCK:
            continue
        pads: list[Bit] = []
        for index, bit in enumerate(description["bits"]):
            pad = next(bits)
            inside, outside = (bit, pad) if description["direction"] == "output" else (pad, bit)
            module["cells"][f"{PREFIX}{port}[{index}]"] = _register(family, clock, inside, outside)
            pads.append(pad)
        description["bits"] = pads


def _register(family: Family, clock: Bit, before: Bit, after: Bit) -> dict[str, Any]:
    """Return a flip-flop that loads ``before`` at each edge of ``clock`` and drives ``after``."""
    pins = {family.register_clock: clock, family.register_input: before,
            family.register_output: after, **family.register_constants}
    return {
        "hide_name": 0, "type": family.register, "attributes": {},
        "parameters": dict(family.register_parameters),
        "port_directions": {
            pin: "output" if pin == family.register_output else "input" for pin in pins},
        "connections": {pin: [bit] for pin, bit in pins.items()},
    }


def bare_ports(netlist: Netlist, family: Family) -> list[str]:
    """Return the bits of ports that are not registered: there is logic between pad and flip-flop.

    An input is registered if all that reads it is the data input of plain flip-flops, an output if
    the output of one drives it and nothing else reads it. A plain flip-flop loads its input at each
    edge of the clock. The clock is not asked about.
    """
    module = netlist.module
    clock = module["ports"][CLOCK]["bits"][0] if CLOCK in module["ports"] else None
    plain = {name for name, cell in module["cells"].items() if _is_plain(cell, family, clock)}
    readers: dict[Bit, list[tuple[str, str]]] = defaultdict(list)
    drivers: dict[Bit, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in module["cells"].items():
        for pin, bits in cell["connections"].items():
            users = drivers if cell["port_directions"][pin] == "output" else readers
            for bit in bits:
                users[bit].append((name, pin))

    def registered(bit: Bit, direction: str) -> bool:
        if direction == "input":
            return all(name in plain and pin == family.register_input for name, pin in readers[bit])
        return (not readers[bit] and len(drivers[bit]) == 1
                and all(name in plain for name, _ in drivers[bit]))

    return [f"{port}[{index}]" for port, description in module["ports"].items() if port != CLOCK
            for index, bit in enumerate(description["bits"])
            if not registered(bit, description["direction"])]


def close_ports(netlist: Netlist, family: Family) -> None:
    """Take all ports but the clock's away from a netlist whose ports are registered.

    The registers of inputs load nothing then; those of outputs are read by nobody.
    """
    module = netlist.module
    inputs = {bit for port, description in module["ports"].items() if port != CLOCK
              for bit in description["bits"] if description["direction"] == "input"}
    for cell in module["cells"].values():
        if inputs.intersection(cell["connections"].get(family.register_input, ())):
            del cell["connections"][family.register_input]
    module["ports"] = {CLOCK: module["ports"][CLOCK]}


def _is_plain(cell: dict[str, Any], family: Family, clock: Bit | None) -> bool:
    """Return whether a cell is a flip-flop that loads its input at each edge of the clock."""
    expected = {family.register_clock: clock, **family.register_constants}
    pins = {family.register_input, family.register_output, *expected}
    return (cell["type"] == family.register and {*cell["connections"]} == pins
            and all(cell["connections"][pin] == [bit] for pin, bit in expected.items()))
