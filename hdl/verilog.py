"""Verilog of the MMU, with flat ports whose names do not change."""

import re
from typing import NamedTuple

from .flat import FlatMmu, flat_names
from .identifiers import check_identifier
from .verilog_header import header
from .verilog_netlist import netlist
from .verilog_unused import SINK, sink

__all__ = ["Port", "check_names", "port_list", "to_verilog"]


class Port(NamedTuple):
    """A port of the Verilog module; ``direction`` is ``input`` or ``output``."""

    name: str
    direction: str
    width: int


def to_verilog(config, name="pagewalk_mmu", *, clock="clk", reset="rst"):
    """Return the MMU as the text of a Verilog module, the same for the same parameters.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    name : str
        Name of the Verilog module.
    clock : str
        Name of the clock, of which rising edges count.
    reset : str
        Name of the reset, which is synchronous and active high.

    Raises
    ------
    :exc:`TypeError`, :exc:`ValueError`
        If ``check_names`` refuses a name.
    :exc:`ToolMissing`, :exc:`ToolFailed`
        If Yosys is missing or fails.
    """
    check_names(config, name, clock=clock, reset=reset)
    flat = FlatMmu(config)
    text = netlist(flat, name, clock, reset)
    body = text[text.index(");\n", text.index(f"module {name}(")) + 3:]
    groups = [[Port(clock, "input", 1), Port(reset, "input", 1)], *_groups(config, flat)]
    return (f"{header(config, name, clock, reset)}\n{MODULE.format(name=name)}"
            f"{_with_ports(body, groups)}")


def check_names(config, name, *, clock, reset):
    """Check the names that ``to_verilog`` takes, before it does anything that takes long.

    Raises
    ------
    :exc:`TypeError`
        If a name is not a string.
    :exc:`ValueError`
        If it is no Verilog identifier, or a keyword, or the name of something else in the module.
    """
    taken = {*flat_names(config), SINK}
    for what, word in (("Clock", clock), ("Reset", reset), ("Module", name)):
        check_identifier(f"{what} name", word)
        if word in taken:
            raise ValueError(f"{what} name must be one that no other signal has, not {word!r}")
        taken.add(word)


def port_list(verilog):
    """Return each ``Port`` of a module that ``to_verilog`` wrote, in the order of its text."""
    ports = verilog[:verilog.index("\n);\n")]
    return [Port(port["name"], port["direction"], int(port["msb"] or 0) + 1)
            for port in PORT.finditer(ports)]


PORT = re.compile(
    r"^  (?P<direction>input|output) +(?:wire|reg) +(?:\[(?P<msb>\d+):0\] +)?(?P<name>\w+)",
    re.MULTILINE)

# A file may have another name than its module, which linters find fault with.
MODULE = """\
// This file can have any name.
/* verilator lint_off DECLFILENAME */
module {name}(
/* verilator lint_on DECLFILENAME */
"""


def _groups(config, flat):
    """Return the ports but clock and reset, in one group per interface."""
    parts = ("req", "rsp", *["cancel"] * config.cancel)
    streams = [f"{port}_{part}" for port in config.ports for part in parts]
    groups = {prefix: [] for prefix in (
        "control", *streams, "memory_req", "memory_rsp", "invalidate",
        *["dropped"] * config.dropped, "events")}
    for direction, signals in (("input", flat.inputs), ("output", flat.outputs)):
        for name, signal in signals.items():
            prefix = next(prefix for prefix in groups if name.startswith(f"{prefix}_"))
            groups[prefix].append(Port(name, direction, len(signal)))
    return [*groups.values()]


def _with_ports(body, groups):
    """Return the module from its ports on, with all of them declared in one list.

    Yosys lists only names, in an order of its own, and declares each in the body, once as a port
    and once as a net: that goes. What nothing reads is given to a net for it.
    """
    body, initial = _initial_values(body[:body.rindex("endmodule")])
    kinds = {net["name"]: net["kind"] for net in NET.finditer(body)}
    declarations = []
    for group in groups:
        declarations.append([])
        for name, direction, width in group:
            vector = f"[{width - 1}:0]" if width > 1 else ""
            declarations[-1].append(f"  {direction:6} {kinds[name]:4} {vector:6} {name}")
    ports = ",\n\n".join(",\n".join(group) for group in declarations)
    inputs = {port.name: port.width for group in groups for port in group
              if port.direction == "input"}
    names = {port.name for group in groups for port in group}
    body = NET.sub(lambda net: "" if net["name"] in names else net[0], DIRECTION.sub("", body))
    return f"{ports}\n);\n{body}{initial}{sink(inputs, body)}endmodule\n"


def _initial_values(body):
    """Return ``body`` with no initial values in its declarations, and a block that sets them.

    Linters doubt the purpose of one in the declaration of a register that has a reset, too.
    """
    values = "".join(f"    {net['name']} = {net['value']};\n" for net in INITIAL.finditer(body))
    return (INITIAL.sub(r"\g<declaration>;\n", body),
            f"  initial begin\n{values}  end\n" if values else "")


DIRECTION = re.compile(r"^  (?:input|output) [^;]+;\n", re.MULTILINE)
NET = re.compile(r"^  (?P<kind>wire|reg) (?:\[\d+:0\] )?(?P<name>\w+);\n", re.MULTILINE)
INITIAL = re.compile(r"^(?P<declaration>  reg (?:\[\d+:\d+\] )?(?P<name>\\\S+ |\w+)) = "
                     r"(?P<value>[^;]+);\n", re.MULTILINE)
