"""Ports, parameters and paging modes of the MMU as tables, from its signature and its data."""

import inspect
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

from amaranth.hdl import Fragment
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from pagewalk.hdl import config as config_module
from pagewalk.hdl import event_shapes, port_shapes, shapes
from pagewalk.hdl.config import Config
from pagewalk.hdl.flat import FlatMmu
from pagewalk.model.x86 import MODES

# The ports in the order of the page: their names in a Config with a port `data`, and what says
# what their fields mean.
PORTS = {
    "control": shapes.control_layout,
    "data_req": shapes.request_layout,
    "data_rsp": port_shapes.response_layout,
    "invalidate": shapes.invalidate_layout,
    "memory": shapes.memory_signature,
    "events_data": event_shapes.port_events_layout,
    "events_walk": event_shapes.walk_events_layout,
    "events_flush": event_shapes.events_layout,
}
CODES = {
    "data_req": [shapes.AccessKind],
    "invalidate": [shapes.InvalidateOp],
    "memory": [shapes.MemoryOp],
}


@cache
def flat_ports():
    """Return ``{flat name: (direction, {mode: width})}`` of an MMU with one port, ``data``.

    What only one mode has comes after what it follows in that mode.
    """
    ports, names = {}, []
    for mode in MODES.values():
        flat = FlatMmu(Config(mode=mode, ports=("data",)))
        Fragment.get(flat, None)  # Amaranth warns of what is made and not put to use
        for direction, signals in (("in", flat.inputs), ("out", flat.outputs)):
            place = 0
            for name, signal in signals.items():
                if name not in ports:
                    names.insert(place, name)
                place = names.index(name) + 1
                ports.setdefault(name, (direction, {}))[1][mode.name] = len(signal)
    return {name: ports[name] for name in sorted(names, key=order)}


def order(name):
    """Return what sorts a request before its response, and in both the handshake to the top."""
    return "_rsp_" in name, not name.endswith("_valid"), not name.endswith("_ready")


def table(header, rows, widths, name):
    """Return a table of cells that are reStructuredText, as lines."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", f"   :class: {name}",
             ""]
    for row in (header, *rows):
        lines += [f"   {'*' if not index else ' '} - {cell}" for index, cell in enumerate(row)]
    return [*lines, ""]


def meaning(function):
    """Return what a layout function returns, as its docstring says, as lines."""
    text = inspect.getdoc(function) or ""
    return [*re.sub(r"^Return (.)", lambda match: match[1].upper(), text).splitlines(), ""]


def port_lines(group):
    """Return the meaning and the table of one group of ports."""
    rows = [
        (f"``{name}``", direction, *(str(widths.get(mode, "")) for mode in MODES))
        for name, (direction, widths) in flat_ports().items() if f"{name}_".startswith(f"{group}_")
    ]
    lines = meaning(PORTS[group])
    lines += table(("signal", "direction", *(f"bits, {mode}" for mode in MODES)), rows,
                   f"40 15{' 15' * len(MODES)}", "ports")
    if group == "control":
        ignored = [f"{mode.name} ignores " + ", ".join(
            f"``{name}``" for name in shapes.ignored_registers(mode)) for mode in MODES.values()]
        lines += [f"{'; '.join(ignored)}.", ""]
    for codes in CODES.get(group, ()):
        field = "kind" if codes is shapes.AccessKind else "op"
        values = ", ".join(f"{item.value} ``{item.name}``" for item in codes)
        lines += [f"Codes of ``{field}``: {values}.", ""]
    return lines


def parameter_lines():
    """Return the parameters of a ``Config`` with their defaults and bounds."""
    rows = []
    for field in fields(Config):
        default = field.default.name if field.name == "mode" else field.default
        lowest, highest = config_module.RANGES.get(field.name, ("", ""))
        allowed = f"{lowest} to {highest}"
        if field.name == "mode":
            allowed = ", ".join(f"``{mode}``" for mode in MODES)
        elif field.name in ("policy", "l2_policy"):
            allowed = ", ".join(f"``{policy}``" for policy in config_module.POLICIES)
        elif field.name in config_module.RULES:
            allowed = ", ".join(f"``{word}``" for word in config_module.RULES[field.name])
        elif field.name in config_module.SWITCHES:
            allowed = "``False``, ``True``"
        elif field.name == "ports":
            allowed = "lower-case letters and digits, no keyword of Verilog; at least one"
        rows.append((f"``{field.name}``", f"``{default}``", allowed))
    return table(("parameter", "default", "allowed"), rows, "20 30 50", "ports")


def mode_lines():
    """Return what distinguishes the paging modes."""
    rows = [
        (title, *(text(mode) for mode in MODES.values()))
        for title, text in {
            "levels, top first": lambda mode: ", ".join(level.name for level in mode.levels),
            "pages, code and size": lambda mode: ", ".join(
                f"{code} {shapes.page_name(page).upper()}" for code, page in enumerate(mode.pages)),
            "bytes of an entry": lambda mode: str(mode.entry_bytes),
            "bits of a linear address": lambda mode: str(mode.vaddr_bits),
            "of these translated": lambda mode: str(mode.translated_bits),
            "bits of a physical address, at most": lambda mode: str(mode.max_paddr_bits),
        }.items()
    ]
    return table(("", *MODES), rows, f"25{' 25' * len(MODES)}", "ports")


class PortTable(SphinxDirective):
    """The group of ports that is the argument; or ``parameters``, or ``modes``."""

    required_arguments = 1

    def run(self):
        """Return the nodes in place of the directive."""
        for source in Path(config_module.__file__).parent.glob("*.py"):
            self.env.note_dependency(str(source))
        group = self.arguments[0]
        special = {"parameters": parameter_lines, "modes": mode_lines}
        lines = special[group]() if group in special else port_lines(group)
        return self.parse_text_to_nodes(StringList(lines, source=f"ports {group}"))


def setup(app):
    """Register with Sphinx."""
    app.add_directive("port-table", PortTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
