"""A netlist of cells, as Yosys writes it in JSON: what it consists of, and whose its nets are."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .chip import Family
from .component import TOP, WHOLE

__all__ = ["INPUT_MARK", "Bit", "Netlist"]

Bit = int | str  # the number of a net, or the constant "0", "1", "x"

INPUT_MARK = "pagewalk_input"  # the attribute of what was an input of a component

# How Yosys calls what it has made from a net: the net's name, a cell, a pin, and so on.
MADE_UP = re.compile(
    r"_(?:LUT4|TRELLIS_FF|PFUMX|L6MUX21|CCU2C|TRELLIS_DPR16X4|DP16KD|SB_[A-Z0-9_]+)_[A-Z]")


class Netlist:
    """The flat netlist of one module.

    Parameters
    ----------
    text : str
        The JSON of Yosys.
    top : str
        Name of the module in it.

    Members
    -------
    module : dict
        The module, with ``ports``, ``cells`` and ``netnames`` as Yosys describes them. [write_json]
    """

    def __init__(self, text: str, top: str = TOP) -> None:
        self.module: dict[str, Any] = json.loads(text)["modules"][top]
        self._nets: dict[str, Bit] | None = None
        self._owners: dict[Bit, str] = {}

    def dump(self) -> str:
        """Return the JSON of the module alone."""
        return json.dumps({"modules": {TOP: self.module}})

    def counts(self, family: Family) -> dict[str, int]:
        """Return how many cells there are for each resource of the family, by its name."""
        types = Counter(cell["type"] for cell in self.module["cells"].values())
        return {resource: sum(types[kind] for kind in kinds)
                for resource, kinds in family.cells.items()}

    def new_bits(self) -> Iterator[int]:
        """Yield numbers that no net has."""
        used = (bit for bits in self._all_bits() for bit in bits if isinstance(bit, int))
        number = max(used, default=1)
        while True:
            number += 1
            yield number

    def _all_bits(self) -> Iterator[list[Bit]]:
        for port in self.module["ports"].values():
            yield port["bits"]
        for net in self.module["netnames"].values():
            yield net["bits"]
        for cell in self.module["cells"].values():
            yield from cell["connections"].values()

    def owner(self, net: str) -> tuple[str, str]:
        """Return the path of the component that a net belongs to, and what it is called there.

        ``net`` is any of its names, with the number of the bit as in ``data.tlb.slot[2]``. A net
        has several if it leads through several components: the one that counts is that of the
        innermost component that drives it. A net without a name that the hardware gave it belongs
        where the next one with such a name does, and is called ``near`` that. The path of the whole
        is empty.
        """
        if self._nets is None:
            self._nets = dict(self._index())
        name = self._owners.get(self._nets.get(net, net), net)
        made_up = MADE_UP.search(name)
        name = f"near {name[:made_up.start()]}" if made_up else name
        return self._split(name)

    def owner_of_cell(self, cell: str) -> tuple[str, str]:
        """Return the component that a cell belongs to, as ``owner`` does for its output."""
        description = self.module["cells"].get(cell)
        if description is None:  # a part of one, such as a column of a RAM
            return self.owner(cell)
        outputs = [bits[0] for pin, bits in description["connections"].items()
                   if description["port_directions"][pin] == "output" and bits]
        if not outputs:
            return self.owner(cell)
        if self._nets is None:
            self._nets = dict(self._index())
        return self.owner(self._owners.get(outputs[0], cell))

    def _index(self) -> Iterator[tuple[str, Bit]]:
        """Yield each name of each bit of a net; keep the best name of each."""
        best: dict[Bit, tuple[bool, bool, int, int]] = {}
        ports = self.module["ports"]
        for name, net in self.module["netnames"].items():
            offset = net.get("offset", 0)
            for index, bit in enumerate(net["bits"], offset):
                full = name if len(net["bits"]) == 1 else f"{name}[{index}]"
                yield full, bit
                is_input = INPUT_MARK in net["attributes"] and name not in ports
                rank = (not MADE_UP.search(name) and not net["hide_name"], not is_input,
                        self._split(name)[0].count(".") + bool(self._split(name)[0]), -len(full))
                if bit not in best or rank > best[bit]:
                    best[bit], self._owners[bit] = rank, full

    def _split(self, name: str) -> tuple[str, str]:
        """Return the path of the component in a name, and the rest of it."""
        near = "near " if name.startswith("near ") else ""
        words = name.removeprefix(near).split(".")
        cells = self.module["cells"]
        for count in range(len(words) - 1, 0, -1):
            path = ".".join(words[:count])
            if cells.get(path, {}).get("type") == "$scopeinfo":
                path = path.removeprefix(WHOLE).removeprefix(".")
                return path, near + ".".join(words[count:])
        return "", near + ".".join(words)
