"""Marks in RTLIL that stay in a netlist, and tell which component a cell or a net comes from."""

import re

__all__ = ["INPUT_MARK", "ORIGIN", "mark_origins"]

INPUT_MARK = "pagewalk_input"  # an attribute of wires
ORIGIN = "@"  # what the path of a component begins with, among the sources of a cell

WIRE = re.compile(r"  wire(?P<options>(?: [a-z_]+(?: \d+)?)*) +(?P<name>\\\S+)")
ALIAS = re.compile(r"connect (?P<name>\\\S+) (?P<source>\\\S+)(?: \[[\d:]+\])?")
STATE = re.compile(r"  cell \$(?:dff|mem)")  # cells that the tools keep as they are


def mark_origins(rtlil: str, top: str) -> str:
    """Return RTLIL as Amaranth writes it, with marks in the modules below ``top``.

    The inputs of each module have ``INPUT_MARK``. So have the wires that are connected to an input,
    or to a part of one, and nothing else: they are further names of it, such as those of its
    fields. Flip-flops and memories have the path of their component among their sources.
    """
    modules = re.split(r"^(?=module )", rtlil, flags=re.MULTILINE)
    return modules[0] + "".join(_mark_module(module, top) for module in modules[1:])


def _mark_module(text: str, top: str) -> str:
    lines = text.split("\n")
    path = lines[0].removeprefix("module \\").removeprefix(top).removeprefix(".")
    wires = {found["name"]: (number, " input " in f"{found['options']} ")
             for number, line in enumerate(lines) if (found := WIRE.fullmatch(line))}
    inputs = {name for name, (_, is_input) in wires.items() if is_input}
    sources = {found["name"]: found["source"] for line in lines
               if (found := ALIAS.fullmatch(line))}
    marked = {wires[name][0] for name in wires if _root(name, sources) in inputs}
    return "\n".join(
        f"  attribute \\{INPUT_MARK} 1\n{line}" if number in marked else
        f'  attribute \\src "{ORIGIN}{path}"\n{line}' if STATE.match(line) else line
        for number, line in enumerate(lines))


def _root(name: str, sources: dict[str, str]) -> str:
    """Return the wire that ``name`` is a further name of, in the end."""
    seen = {name}
    while (source := sources.get(name)) is not None and source not in seen:
        seen.add(source)
        name = source
    return name
