"""Programs of memory calls, loads and stores, and what their steps come to."""

import re
from dataclasses import dataclass, field, replace
from errno import errorcode

__all__ = ["FILES", "STATUS", "WORD", "Arg", "Base", "Mapping", "Outcome", "Program", "Step",
           "parse_smaps"]

WORD = 1 << 64
FILES = 3
"""The files that a program may use: the first may be written, the second only read, the third is
shared memory of a name (``memfd_create``)."""


STATUS = ("page tables", "locked", "mapped", "data", "stack")
"""Figures of a process that a ``show`` compares: how they differ from those when it started."""


class Base:
    """What the value of an argument is counted from; ``native.cc`` has the same numbers."""

    NUMBER, ARENA, HEAP, FILE, RESULT = range(5)
    """``RESULT`` and above are the results of the steps 0, 1, ..."""


@dataclass(frozen=True, slots=True)
class Arg:
    """An argument: ``value`` bytes behind a place, or a plain number."""

    value: int
    base: int = Base.NUMBER

    def __str__(self) -> str:
        value = self.value - WORD if self.value >> 63 else self.value
        if self.base == Base.NUMBER:
            return hex(value)
        place = {Base.ARENA: "arena", Base.HEAP: "heap", Base.FILE: "file"}.get(
            self.base, f"result {self.base - Base.RESULT}")
        return f"{place}{value:+#x}"

    @classmethod
    def parse(cls, text: str) -> "Arg":
        """Return the argument that ``str`` writes so."""
        found = re.fullmatch(r"(?:(arena|heap|file)(?=[+-])|result (\d+))?([+-]?\w+)", text)
        if found is None:
            raise ValueError(f"Argument must be a number or a place, not {text!r}")
        place, result, value = found.groups()
        base = Base.NUMBER if place is None else getattr(Base, place.upper())
        if result is not None:
            base = Base.RESULT + int(result)
        return cls(int(value, 0) % WORD, base)


@dataclass(frozen=True, slots=True)
class Step:
    """A call, a load or a store of a process.

    Beside the calls there are ``load`` and ``store`` of 8 bytes, ``loadb`` and ``storeb`` of one;
    ``fork``, whose argument is the number of the child, ``exit``, and ``show``, which lists what is
    mapped. A step of a process that does not live is passed over.
    """

    process: int
    name: str
    args: tuple[Arg, ...] = ()

    def __str__(self) -> str:
        return f"[{self.process}] {self.name}({', '.join(map(str, self.args))})"

    @classmethod
    def parse(cls, text: str) -> "Step":
        """Return the step that ``str`` writes so; without a process it is the first one's."""
        found = re.fullmatch(r"(?:\[(\d+)\] )?(\w+)\((.*)\)", text.strip())
        if found is None:
            raise ValueError(f"Step must be a name and arguments in brackets, not {text!r}")
        process, name, args = found.groups()
        return cls(int(process or 0), name,
                   tuple(Arg.parse(arg.strip()) for arg in args.split(",") if arg.strip()))


@dataclass(frozen=True, slots=True)
class Program:
    """Steps, and what the process is limited to.

    ``memlock`` is RLIMIT_MEMLOCK in bytes. ``address_space`` and ``data`` are how many pages
    RLIMIT_AS and RLIMIT_DATA leave to the program beside what runs it, -1 for no limit.
    """

    steps: tuple[Step, ...]
    memlock: int = 1 << 18
    address_space: int = -1
    data: int = -1

    @property
    def uses_files(self) -> bool:
        return any(arg.base == Base.FILE for step in self.steps for arg in step.args)

    @classmethod
    def parse(cls, text: str, **limits: int) -> "Program":
        """Return a program of which each line is a step, with or without its number before it."""
        lines = (re.sub(r"^\s*\d+ ", "", line).strip() for line in text.splitlines())
        return cls(tuple(Step.parse(line) for line in lines if line), **limits)

    def without(self, gone: set[int]) -> "Program":
        """Return it without some steps; places counted from their results become the arena's."""
        kept = [index for index in range(len(self.steps)) if index not in gone]
        number = {old: new for new, old in enumerate(kept)}

        def renumber(arg: Arg) -> Arg:
            if arg.base < Base.RESULT:
                return arg
            new = number.get(arg.base - Base.RESULT)
            return Arg(arg.value, Base.ARENA) if new is None else Arg(arg.value, Base.RESULT + new)

        return replace(self, steps=tuple(
            replace(self.steps[index], args=tuple(map(renumber, self.steps[index].args)))
            for index in kept))

    def __str__(self) -> str:
        limits = (f"memlock {self.memlock:#x}, address space {self.address_space}, "
                  f"data {self.data}")
        return "\n".join([limits, *(f"{index:4} {step}" for index, step in enumerate(self.steps))])


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping as ``smaps`` shows it; ``figures`` are those that are not 0, in kB."""

    start: int
    end: int
    rights: str
    offset: int
    name: str
    flags: frozenset[str]
    figures: dict[str, int] = field(hash=False)

    def __str__(self) -> str:
        figures = " ".join(f"{name}={size}" for name, size in sorted(self.figures.items()))
        return (f"{self.start:x}-{self.end:x} {self.rights} {self.offset:x} {self.name or '-'} "
                f"[{' '.join(sorted(self.flags))}] {figures}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step came to.

    ``signal`` is number, code and address of the signal that an access ended in. ``mappings`` and
    ``broken`` is what the model failed with, ``reads`` whether it has read a page from a file.
    ``status``, the figures of ``STATUS`` in kB, are there after a ``show``.
    """

    result: int = 0
    signal: tuple[int, int, int] | None = None
    minor: int = 0
    major: int = 0
    mappings: tuple[Mapping, ...] | None = None
    status: tuple[int, ...] = ()
    skipped: bool = False
    broken: str = ""
    reads: bool = False

    def __str__(self) -> str:
        if self.skipped or self.broken:
            return self.broken or "passed over"
        if self.mappings is not None:
            status = zip(STATUS, self.status, strict=True)
            return "\n".join([", ".join(f"{name} {kb} kB" for name, kb in status),
                              *map(str, self.mappings)])
        number = WORD - self.result
        text = f"-{errorcode[number]}" if number in errorcode else f"{self.result:#x}"
        if self.signal is not None:
            text = "signal {} code {} at {:#x}".format(*self.signal)
        return f"{text}, faults {self.minor} minor {self.major} major"


def parse_smaps(lines: list[str]) -> list[Mapping]:
    """Return the mappings of a text like ``smaps``, whose figures may lack those that are 0."""
    mappings, figures, head = [], {}, []
    for line in lines:
        name, _, rest = line.partition(":")
        if "-" in name.split()[0]:
            head, figures = line.split(maxsplit=5), {}
        elif name == "VmFlags":
            start, end = (int(part, 16) for part in head[0].split("-"))
            mappings.append(Mapping(start, end, head[1], int(head[2], 16),
                                    head[5].strip() if len(head) > 5 else "",
                                    frozenset(rest.split()), figures))
        elif int(rest.split()[0]) and name != "THPeligible":  # there are no huge pages
            figures[name] = int(rest.split()[0])
    return mappings
