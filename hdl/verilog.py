"""Verilog of the MMU, with flat ports whose names do not change."""

import re
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from amaranth.back import rtlil

from ..model.x86 import AccessKind, InvalidateOp, Vector
from .flat import FlatMmu
from .module_names import check_module_name
from .shapes import MemoryOp, ignored_registers, page_name
from .toolchain import run_yosys

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
    with TemporaryDirectory() as folder:
        run_yosys(SCRIPT, Path(folder), {
            "mmu.il": rtlil.convert(flat, name=name, ports=signals, emit_src=False)})
        text = (Path(folder) / "mmu.v").read_text()
    body = text[text.index(");\n", text.index(f"module {name}(")) + 3:]
    return f"{_header(config, name)}\nmodule {name}{_with_ports(body, _groups(config, flat))}"


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


def _header(config, name):
    """Return the comment that says what the module is and how it is used."""
    try:
        release = f"pagewalk {version('pagewalk')}"
    except PackageNotFoundError:  # used from its sources
        release = "pagewalk"
    parameters = {
        "mode": config.mode.name, "ports": " ".join(config.ports), "entries": config.entries,
        "walk_cache": config.walk_cache, "policy": config.policy,
        "paddr_bits": config.paddr_bits, "tag_bits": config.tag_bits}
    lines = [f"{name}: an x86 memory-management unit, made by {release}.", "", "Parameters"]
    lines += [f"  {key:10} {value}" for key, value in parameters.items()]
    notes = PORT_NOTES.format(
        kinds=_codes(AccessKind),
        pages=", ".join(
            f"{code} {page_name(page).upper()}" for code, page in enumerate(config.mode.pages)),
        vectors=", ".join(f"{vector.value} #{vector.name}" for vector in Vector),
        invalidations=_codes(InvalidateOp),
        operations=_codes(MemoryOp),
        ignored=_listed(ignored_registers(config.mode) or ("nothing",)))
    for title, text in (("Ports", notes), ("Timing", TIMING_NOTES)):
        lines += ["", title]
        for note in text.split("\n\n"):
            lines += textwrap.wrap(note, 96, initial_indent="  ", subsequent_indent="    ")
    return "".join(f"// {line}".rstrip() + "\n" for line in lines)


def _codes(enumeration):
    """Return the codes of an enumeration by name."""
    return ", ".join(f"{item.value} {item.name.replace('_', ' ')}" for item in enumeration)


def _listed(words):
    """Return ``words`` as they are listed in a sentence."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


PORT_NOTES = """\
clk, rst: clock, rising edge; synchronous reset, active high.

control_*: root is the frame number in CR3; pcid, bits of CR0, CR4 and EFER, and PKRU as in the
registers. This mode ignores {ignored}.

<port>_req_*: an access. kind is {kinds}; user at CPL 3, implicit to a system structure, ac
EFLAGS.AC, stack relative to SS. tag comes back with the answer.

<port>_rsp_*: paddr, page ({pages}) and memory_type (index into the PAT), or fault with vector
({vectors}), error_code and vaddr (for CR2). What does not apply is 0.

invalidate_*: op is {invalidations}; vaddr and pcid are its operands, new is the value moved to
CR0, CR3 or CR4, old what CR0 or CR4 held before.

memory_*: accesses to page-table entries. op is {operations}: store desired if the entry is
expected, atomically. The response has the request's tag, the entry in data, exchanged if desired
was stored, error if there is no memory.

events_*: 1 in each cycle in which the event happens.
"""

# What a user of the module can count on, as the docstring of `Mmu` promises it.
TIMING_NOTES = """\
A transfer takes place in a cycle with valid and ready. Once valid is 1, it and the payload stay
until the transfer; valid never waits for ready.

Control is sampled in the cycle in which a request is accepted; an invalidation goes by what it was
before the operation.

Each port accepts a request per cycle and answers a hit in the next cycle, in order. It accepts
nothing while it waits for a walk; other ports go on.

An idle walker offers the first memory request in the cycle after a miss was accepted, each further
one in the cycle of the response before it; the answer is valid in the cycle after the last
response. Memory responds in a later cycle than it was asked. Entries that the walk cache holds are
not read.

While an invalidation is offered no port accepts a request; it is accepted once all answers are
taken. A page fault that was answered stops the ports in the same way until the cycle in which it
invalidates, the next one if all answers are taken. A port accepts nothing in the cycle in which it
answers a fault.
"""
