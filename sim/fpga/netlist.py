"""A netlist of cells, as Yosys writes it in JSON: what it consists of, and whose its nets are."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from .chip import Family
from .component import TOP, WHOLE
from .origin import INPUT_MARK, ORIGIN

__all__ = ["Bit", "Netlist"]

Bit = int | str  # the number of a net, or the constant "0", "1", "x"

# How Yosys calls what it has made from a net: the net's name, a cell, a pin, and so on.
MADE_UP = re.compile(
    r"_(?:LUT4|TRELLIS_FF|PFUMX|L6MUX21|CCU2C|TRELLIS_DPR16X4|DP16KD|SB_[A-Z0-9_]+)_[A-Z]")

# What Amaranth adds to a name that another signal has, and Yosys to that of a memory.
SUFFIX = re.compile(r"(?<=\w)\$\d+|(?:\.\d+)+_DO(?:_\d+)?(?=\[|$)")


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

    def dump(self) -> str:
        """Return the JSON of the module alone."""
        return json.dumps({"modules": {TOP: self.module}})

    def counts(self, family: Family) -> dict[str, int]:
        """Return how many cells there are for each resource of the family, by its name."""
        types = Counter(cell["type"] for cell in self.module["cells"].values())
        return {resource: sum(types[kind] for kind in kinds)
                for resource, kinds in family.cells.items()}

    def registers(self, family: Family) -> dict[str, int]:
        """Return how many flip-flops each component has, by its path in the order of paths."""
        owners = Counter(self.owner_of_cell(name)[0] for name, cell in self.module["cells"].items()
                         if cell["type"] in family.cells["ff"])
        return dict(sorted(owners.items()))

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
        belongs to the component whose flip-flop or memory drives it, or else to the innermost one
        that has it other than as an input. One without a name that the hardware gave it belongs
        where the next one with such a name does, and is called ``near`` that. The path of the whole
        is empty.
        """
        bit = self._nets.get(net)
        return self._owners[bit] if bit in self._owners else self._tell(net)

    def owner_of_cell(self, cell: str) -> tuple[str, str]:
        """Return the component that a cell belongs to, as ``owner`` does for its output."""
        description = self.module["cells"].get(cell)
        if description is not None:  # else a part of one, such as a column of a RAM
            for pin, bits in description["connections"].items():
                if description["port_directions"][pin] == "output" and bits[0] in self._owners:
                    return self._owners[bits[0]]
        return self._tell(cell)

    @cached_property
    def _nets(self) -> dict[str, Bit]:
        """Each bit of each net by its names."""
        return {name: bit for name, _, bit in self._names()}

    @cached_property
    def _owners(self) -> dict[Bit, tuple[str, str]]:
        """The answers of ``owner``."""
        origins = dict(self._origins())
        best: dict[Bit, tuple[int, ...]] = {}
        owners: dict[Bit, tuple[str, str]] = {}
        for name, is_input, bit in self._names():
            path, signal = self._split(name)
            # The best name: one that the hardware gave, of the component that drives the net, the
            # innermost if that is not known, and of a field.
            rank = (not MADE_UP.search(name), path == origins.get(bit), not is_input,
                    len(path.split(".")) if path else 0, "$" not in signal, signal.count("."),
                    -len(name))
            if bit not in best or rank > best[bit]:
                best[bit] = rank
                known = origins.get(bit, path)
                owners[bit] = (known, self._tell(name)[1])
        return owners

    def _names(self) -> Iterator[tuple[str, bool, Bit]]:
        """Yield each name of each bit of a net, and whether it is that of a component's input."""
        for name, net in self.module["netnames"].items():
            is_input = INPUT_MARK in net["attributes"] and name not in self.module["ports"]
            for index, bit in enumerate(net["bits"], net.get("offset", 0)):
                yield name if len(net["bits"]) == 1 else f"{name}[{index}]", is_input, bit

    def _origins(self) -> Iterator[tuple[Bit, str]]:
        """Yield the net of each output of a flip-flop or memory, and its component."""
        for cell in self.module["cells"].values():
            marks = [source.removeprefix(ORIGIN)
                     for source in cell["attributes"].get("src", "").split("|")
                     if source.startswith(ORIGIN)]
            for pin, bits in cell["connections"].items() if marks else ():
                if cell["port_directions"][pin] == "output":
                    for bit in bits:
                        yield bit, self._in_mmu(marks[0])

    def _tell(self, name: str) -> tuple[str, str]:
        """Return the path of the component in a name, and the rest of it, if made up as near."""
        made_up = MADE_UP.search(name)
        path, signal = self._split(name[:made_up.start()] if made_up else name)
        signal = SUFFIX.sub("", signal)
        return path, f"near {signal}" if made_up else signal

    def _split(self, name: str) -> tuple[str, str]:
        """Return the path of the component in a name, and the rest of it."""
        words = name.split(".")
        cells = self.module["cells"]
        for count in range(len(words) - 1, 0, -1):
            path = ".".join(words[:count])
            if cells.get(path, {}).get("type") == "$scopeinfo":
                return self._in_mmu(path), ".".join(words[count:])
        return "", name

    @staticmethod
    def _in_mmu(path: str) -> str:
        return path.removeprefix(WHOLE).removeprefix(".")
