"""The net that reads what nothing else reads in a Verilog module, so that linters know of it."""

import re
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["SINK", "sink"]

SINK = "_unused_ok"
"""Name of the net; linters take "unused" in it for a statement of intent."""


def sink(inputs: Mapping[str, int], body: str) -> str:
    """Return the declaration of a net that reads all that nothing in ``body`` reads, or no text.

    ``inputs`` has the width of each input port by its name; ``body`` is the text of the module, as
    Yosys writes it, without its ports.
    """
    nets = {net["name"]: range(int(net["low"] or 0), int(net["high"] or 0) + 1)
            for net in NET.finditer(body)}
    ports = {name: range(width) for name, width in inputs.items()}
    read = _bits_read(ports | nets, body)
    lines = []
    for reason, group in (PORTS_REASON, ports), (NETS_REASON, nets):
        unread = [f"    {part}," for name, bits in group.items()
                  for part in _parts(name, bits, [bit for bit in bits if bit not in read[name]])]
        lines += [f"    // {reason}", *unread] if unread else []
    if not lines:
        return ""
    return "\n".join([f"  wire {SINK} = &{{", *lines, "    1'b0};\n"])


PORTS_REASON = "Ports have the same names in every configuration; this one has no use for:"
NETS_REASON = "Of operations on many bits, these results are not needed:"

NAME = r"\\\S+(?= )|[A-Za-z_]\w*"
NET = re.compile(rf"^  (?:wire|reg) +(?:\[(?P<high>\d+):(?P<low>\d+)\] +)?(?P<name>{NAME}) *"
                 rf"(?:= .+)?;$", re.MULTILINE)
USE = re.compile(  # numbers with a base are matched so that their digits are not taken for names
    rf"\d+'\w+|(?P<name>{NAME}) *(?:\[(?P<high>\d+)(?::(?P<low>\d+))?\])?")
TARGET = re.compile(rf"(?:{{[^{{}}]*}}|(?:{NAME}) *(?:\[\d+(?::\d+)?\])?) *$")


def _bits_read(declared: Mapping[str, range], body: str) -> dict[str, set[int]]:
    """Return which bits of each declared name ``body`` reads."""
    read: dict[str, set[int]] = {name: set() for name in declared}
    for text in _expressions(body):
        for use in USE.finditer(text):
            name, high, low = use["name"], use["high"], use["low"]
            if name not in declared:
                continue
            if high is None:
                read[name].update(declared[name])
            else:
                read[name].update(range(int(low or high), int(high) + 1))
    return read


def _expressions(body: str) -> Iterator[str]:
    """Yield the parts of each line that read nets: not declarations, nor what is assigned to."""
    for line in body.splitlines():
        if line.startswith(("  wire ", "  reg ", "  assign ")):
            yield line.partition(" = ")[2]
        else:
            before, _, after = line.partition(" <= ")
            yield TARGET.sub("", before) if after else before
            yield after


def _parts(name: str, bits: Iterable[int], chosen: list[int]) -> Iterator[str]:
    """Yield the ``chosen`` ones of the ``bits`` of a net as Verilog, high ones first."""
    space = " " if name.startswith("\\") else ""
    if chosen == [*bits]:
        yield f"{name}{space}"
        return
    while chosen:
        high = low = chosen.pop()
        while chosen and chosen[-1] == low - 1:
            low = chosen.pop()
        yield f"{name}{space}[{high}:{low}]" if high > low else f"{name}{space}[{low}]"
