"""Modules of Verilog, written anew so that in a cycle only that is evaluated which can change."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

__all__ = ["lazy_verilog"]

MODULE = re.compile(r"^module (\S+) \(.*?^endmodule\n", re.MULTILINE | re.DOTALL)
ITEM = re.compile(
    r"  (?P<kind>input|output|wire|reg) (?P<width>\[-?\d+:0\] )?(?P<name>\S+) *(?P<init>= \S+)?;\n"
    r"|  assign (?P<assigned>.* = .*;)\n"
    r"|  always @\(posedge (?P<clock>\S+) *\)\n    (?P<register>\S+) +<= (?P<next>\S+);\n"
    r"|  always @\* begin\n    if \(\\\$auto\S+ \) begin end\n(?P<process>(?:    .*\n)*)  end\n")
NAME = re.compile(r"\\\S+|[A-Za-z_]\w*")
BIT = re.compile(r"\S+ *\[\d+\]")
CONDITION = re.compile(r"    if \((\S+) *\) begin")
SIMPLE = re.compile(r"[^+*/<>-]*( > [^+*/<>-]*)?")  # operators that give one bit of single bits
TARGET = re.compile(r"(?:^|[\n;]) *(\{[^=]*?\}|\S+)[^=\n]*? = ")


def lazy_verilog(text: str, names: re.Pattern[str]) -> str:
    """Return Verilog as Yosys writes it, with those modules written anew that ``names`` finds.

    Such a module has one clock, and registers that are all written under one and the same
    condition, or by the reset. So a cycle without either leaves them as they are, and none of what
    their next values come from is evaluated. An output is evaluated after a cycle with, and when an
    input that it follows from has changed; else it stays. What comes out is the same in every
    cycle. Raise ``ValueError`` for a module that is built in another way.
    """
    return MODULE.sub(
        lambda found: "".join(_Module(found[0]).lines()) if names.search(found[1]) else found[0],
        text)


@dataclass(frozen=True, slots=True)
class _Statement:
    """An assignment or process: what it says, which names it sets, and which it reads."""

    text: str
    targets: tuple[str, ...]
    reads: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "_Statement":
        found = TARGET.findall(text)
        targets = tuple(dict.fromkeys(name for one in found for name in NAME.findall(one)[:1]))
        return cls(text, targets, frozenset(NAME.findall(text)).difference(targets))


@dataclass(slots=True)
class _Group:
    """Statements that follow from the same inputs, and whether they follow from registers."""

    inputs: frozenset[str]
    registers: bool
    outputs: list[str] = field(default_factory=list)


class _Module:
    """A module as it is read, and as it is written."""

    def __init__(self, text: str) -> None:
        self.head, _, body = text.partition(");\n")
        self.kinds: dict[str, str] = {}
        self.widths: dict[str, str] = {}
        self.inits: dict[str, str] = {}
        self.registers: dict[str, str] = {}  # by the name of what they hold next
        self.clocks: set[str] = set()
        self.statements: dict[str, list[_Statement]] = {}  # by what they set
        place = 0
        while not body.startswith("endmodule", place):
            item = ITEM.match(body, place)
            if item is None:
                raise ValueError(f"Unexpected Verilog: {body[place:].splitlines()[0]!r}")
            self._take(item)
            place = item.end()
        self.nexts = [self.statements.pop(name)[0] for name in self.registers]
        conditions = {self._condition(one) for one in self.nexts}
        if len(conditions) != 1 or len(self.clocks) != 1:
            raise ValueError(f"Registers must be written under one condition, not {conditions}")
        self.condition, = conditions

    def _take(self, item: re.Match[str]) -> None:
        """Take in one item of the module."""
        if name := item["name"]:
            if item["kind"] in ("input", "output"):
                self.kinds[name] = item["kind"]
            self.widths[name] = item["width"] or ""
            if item["init"]:
                self.inits[name] = item["init"]
        elif item["register"]:
            self.registers[item["next"]] = item["register"]
            self.clocks.add(item["clock"])
        else:
            statement = _Statement.of(item["assigned"] or item["process"])
            for target in statement.targets:
                self.statements.setdefault(target, []).append(statement)

    def _condition(self, statement: _Statement) -> tuple[str, ...]:
        """Return under which conditions a register is written, of which one suffices."""
        name, = statement.targets
        first, *lines = statement.text.splitlines()
        outer = [line for line in lines if line.startswith("    ") and line[4] != " "]
        found = [re.fullmatch(r"    if \((\S+) *\) begin", line) for line in outer[::2]]
        holds = re.fullmatch(rf" +{re.escape(name)} += {re.escape(self.registers[name])} *;", first)
        if not holds or not all(found) or {*outer[1::2]} != {"    end"}:
            raise ValueError(f"A register must hold unless it is written, not {first.strip()}")
        return tuple(one[1] for one in found if one)

    # ---- what follows from what

    def _cone(self, names: Iterable[str]) -> tuple[list[_Statement], set[str]]:
        """Return the statements that names need, in order, and the inputs and registers."""
        graph: dict[str, set[str]] = {}
        sources: set[str] = set()
        waiting = [*names]
        while waiting:
            name = waiting.pop()
            if name in graph:
                continue
            if name not in self.statements:
                sources.add(name)
                continue
            reads = {read for one in self.statements[name] for read in one.reads
                     if read in self.widths}
            graph[name] = reads
            waiting += reads
        order = [name for name in TopologicalSorter(graph).static_order() if name in graph]
        return [*dict.fromkeys(one for name in order for one in self.statements[name])], sources

    def _groups(self) -> list[_Group]:
        """Return the outputs by what they follow from."""
        groups: dict[tuple[frozenset[str], bool], _Group] = {}
        held = {*self.registers.values()}
        for output in (name for name, kind in self.kinds.items() if kind == "output"):
            _, sources = self._cone([output])
            key = frozenset(sources - held), bool(sources & held)
            groups.setdefault(key, _Group(*key)).outputs.append(output)
        return [*groups.values()]

    # ---- what is written

    def lines(self) -> Iterator[str]:
        """Yield the module as it is written."""
        groups = self._groups()
        shown: dict[str, str] = {}  # names that some group sets
        processes = [self._process(group, number, shown) for number, group in enumerate(groups)]
        inputs = sorted(frozenset().union(*(group.inputs for group in groups)))
        yield self.head + ");\n"
        for name, kind in self.kinds.items():
            word = "input wire" if kind == "input" else "output reg"
            yield f"  {word} {self.widths[name]}{name} ;\n"
        updates, _ = self._cone(self._reads(self.nexts) - shown.keys())
        updates = [one for one in updates if not shown.keys() & {*one.targets}]
        conditions, _ = self._cone(self.condition)
        copied = _renamed(conditions, "condition")
        extra = {new: self.widths[old] for old, new in copied.items()}
        inner = {name for one in updates for name in one.targets}
        for name in (*self.registers.values(), *sorted(inner)):
            yield f"  reg {self.widths[name]}{name} {self.inits.get(name, '')};\n"
        for name, width in {**shown, **extra}.items():
            if name not in self.kinds:
                yield f"  reg {width}{name} ;\n"
        yield "  reg written = 1;\n"
        yield from (f"  reg {self.widths[name]}{_last(name)} = 0;\n" for name in inputs)
        if conditions:
            yield "  always_comb begin\n"
            yield from (f"    {_with_names(one.text, copied)}\n" for one in conditions)
            yield "  end\n"
        yield from self._clocked(inputs, updates, copied)
        yield from (line for process in processes for line in process)
        yield "endmodule\n"

    def _reads(self, statements: Iterable[_Statement]) -> set[str]:
        return {name for one in statements for name in one.reads if name in self.widths}

    def _process(self, group: _Group, number: int, shown: dict[str, str]) -> list[str]:
        """Return the process of a group; ``shown`` gets what it sets."""
        statements, _ = self._cone(group.outputs)
        twice = [one for one in statements if shown.keys() & {*one.targets}]
        names = _renamed(twice, f"again_{number}")
        for one in statements:
            shown.update({names.get(name, name): self.widths[name] for name in one.targets})
        changed = [f"{name} != {_last(name)}" for name in sorted(group.inputs)]
        conditions = " | ".join(f"({one})" for one in ["written", *changed])
        return [f"  always_latch if ({conditions}) begin\n",
                *(f"    {_with_names(one.text, names)}\n" for one in self._joined(statements)),
                "  end\n"]

    def _joined(self, statements: list[_Statement]) -> Iterator[_Statement]:
        """Yield the statements, with those put into others that are used once, and are one bit.

        Verilator would store each of them. What is put into a statement is as wide there.
        """
        uses = Counter(name for ones in (*self.statements.values(), self.nexts)
                       for one in dict.fromkeys(ones) for name in NAME.findall(one.text))
        takes = {name for one in statements if self._is_one_bit(one) for name in one.reads}
        takes |= {name for one in statements for name in CONDITION.findall(one.text)}
        inside: dict[str, str] = {}
        for one in statements:
            name, right = one.targets[0], one.text.partition(" = ")[2].rstrip(";")
            if (self._is_one_bit(one) and name in takes and uses[name] == 2
                    and name not in self.kinds and SIMPLE.fullmatch(right)):
                inside[name] = f"({_with_names(right, inside)})"
            else:
                yield _Statement(_with_names(one.text, inside), one.targets, one.reads)

    def _is_one_bit(self, statement: _Statement) -> bool:
        """Return whether a statement sets one bit, once."""
        left, _, right = statement.text.partition(" = ")
        return " = " not in right and (
            BIT.fullmatch(left) is not None or self.widths.get(left) == "")

    def _clocked(self, inputs: Iterable[str], updates: Iterable[_Statement],
                 copied: Mapping[str, str]) -> Iterator[str]:
        """Yield the process that writes the registers."""
        clock, = self.clocks
        writes = " | ".join(copied.get(name, name) for name in self.condition)
        yield f"  always @(posedge {clock}) begin\n    written <= {writes};\n"
        yield from (f"    if ({name} != {_last(name)}) {_last(name)} <= {name} ;\n"
                    for name in inputs)
        yield f"    if ({writes}) begin\n"
        yield from (f"    {one.text}\n" for one in updates)
        for one in self.nexts:
            name, = one.targets
            _, _, body = one.text.partition("\n")
            target = re.compile(rf"^( *){re.escape(name)} *((?:\[[^\]]*\])?) *= ", re.MULTILINE)
            register = self.registers[name].replace("\\", r"\\")
            yield target.sub(rf"\g<1>{register} \g<2> <= ", body)
        yield "    end\n  end\n"


def _last(name: str) -> str:
    """Return the name of the register that holds an input as it was in the cycle before."""
    return "last_" + re.sub(r"\W", "_", name)


def _renamed(statements: Iterable[_Statement], suffix: str) -> dict[str, str]:
    """Return new names of what statements set, for a copy of them."""
    return {name: re.sub(r"\W", "_", f"{name}_{suffix}") for one in statements
            for name in one.targets}


def _with_names(text: str, names: Mapping[str, str]) -> str:
    return NAME.sub(lambda found: names.get(found[0], found[0]), text) if names else text
