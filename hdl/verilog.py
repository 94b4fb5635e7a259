"""Verilog of the MMU, with flat ports whose names do not change."""

import re
from typing import NamedTuple

from amaranth.back import rtlil

from .flat import FlatMmu
from .module_names import check_module_name
from .outside_tool import work_folder
from .toolchain import run_yosys
from .verilog_header import header

__all__ = ["Port", "port_list", "to_verilog"]


class Port(NamedTuple):
    """A port of the Verilog module; ``direction`` is ``input`` or ``output``."""

    name: str
    direction: str
    width: int


def to_verilog(config, name="pagewalk_mmu"):
    """Return the MMU as the text of a Verilog module, the same for the same parameters.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    name : str
        Name of the Verilog module.

    Raises
    ------
    :exc:`ValueError`
        If ``name`` cannot name a module.
    :exc:`ToolMissing`, :exc:`ToolFailed`
        If Yosys is missing or fails.
    """
    check_module_name(name)
    flat = FlatMmu(config)
    signals = [*flat.inputs.values(), *flat.outputs.values()]  # clk and rst come by themselves
    with work_folder() as folder:
        run_yosys(SCRIPT, folder, {
            "mmu.il": rtlil.convert(flat, name=name, ports=signals, emit_src=False)})
        text = (folder / "mmu.v").read_text()
    body = text[text.index(");\n", text.index(f"module {name}(")) + 3:]
    return f"{header(config, name)}\nmodule {name}{_with_ports(body, _groups(config, flat))}"


def port_list(verilog):
    """Return each ``Port`` of a module that ``to_verilog`` wrote, in the order of its text."""
    ports = verilog[:verilog.index("\n);\n")]
    return [Port(port["name"], port["direction"], int(port["msb"] or 0) + 1)
            for port in PORT.finditer(ports)]


PORT = re.compile(
    r"^  (?P<direction>input|output) +(?:wire|reg) +(?:\[(?P<msb>\d+):0\] +)?(?P<name>\w+)",
    re.MULTILINE)

# Amaranth writes Verilog too, but Icarus Verilog 11 gets X out of its `always @*` blocks.
SCRIPT = """
read_rtlil mmu.il
proc
flatten
opt -full
clean
write_verilog -noattr mmu.v
"""


def _groups(config, flat):
    """Return the ports in groups, clock and reset first, then one group per interface."""
    streams = [f"{port}_{part}" for port in (*config.ports, "memory") for part in ("req", "rsp")]
    groups = {prefix: [] for prefix in ("control", *streams, "invalidate", "events")}
    for direction, signals in (("input", flat.inputs), ("output", flat.outputs)):
        for name, signal in signals.items():
            prefix = next(prefix for prefix in groups if name.startswith(f"{prefix}_"))
            groups[prefix].append(Port(name, direction, len(signal)))
    return [[Port("clk", "input", 1), Port("rst", "input", 1)], *groups.values()]


def _with_ports(body, groups):
    """Return the module with all ports declared in one list, from the port list on.

    Yosys lists only names, in an order of its own, and declares each in the body, once as a port
    and once as a net: that goes.
    """
    names = {port.name for group in groups for port in group}
    nets = {net["name"]: net for net in NET.finditer(body)}
    declarations = []
    for group in groups:
        declarations.append([])
        for name, direction, width in group:
            vector = f"[{width - 1}:0]" if width > 1 else ""
            kind, initial = nets[name]["kind"], nets[name]["initial"] or ""
            declarations[-1].append(f"  {direction:6} {kind:4} {vector:6} {name}{initial}")
    ports = ",\n\n".join(",\n".join(group) for group in declarations)
    body = NET.sub(lambda net: "" if net["name"] in names else net[0], DIRECTION.sub("", body))
    return f"(\n{ports}\n);\n{body}"


DIRECTION = re.compile(r"^  (?:input|output) [^;]+;\n", re.MULTILINE)
NET = re.compile(
    r"^  (?P<kind>wire|reg) (?:\[\d+:0\] )?(?P<name>\w+)(?P<initial> = [^;]+)?;\n", re.MULTILINE)
