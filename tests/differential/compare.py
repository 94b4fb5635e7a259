"""Where two runs of a program differ, and the shortest program that shows it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from .gaps import compared_fields, ends_comparison
from .native import RunnerError
from .program import STATUS, Arg, Base, Outcome, Program, Step

__all__ = ["Difference", "Runs", "first_difference", "minimised"]

FD = 4  # the argument of mmap whose number may not become that of a file of the runner

Runs = Callable[[Program], tuple[list[Outcome], list[Outcome]]]
"""Returns what the steps of a program come to natively and on the model."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first step that came to different things, and in what they differ."""

    program: Program
    index: int
    field: str
    native: Outcome
    model: Outcome

    @property
    def kind(self) -> tuple[str, str]:
        """What differs, of which call: programs with the same kind may have the same cause."""
        return self.program.steps[self.index].name, self.field

    def __str__(self) -> str:
        step = self.program.steps[self.index]
        return (f"Step {self.index}, {step}, differs in its {self.field}\n"
                f"on this kernel: {self.native}\non the model: {self.model}\n"
                f"The program: {self.program}")


def first_difference(program: Program, runs: Runs) -> Difference | None:
    """Return the first difference between the two runs of a program, None if there is none."""
    native, model = runs(program)
    before: list[int] = []  # what the runner itself has more
    for index, (one, other) in enumerate(zip(native, model, strict=True)):
        for name in compared_fields(other):
            if getattr(one, name) != getattr(other, name):
                return Difference(program, index, name, one, other)
        if ends_comparison(other):
            return None
        if one.mappings is None or other.mappings is None:
            continue
        differs = _mappings_differ(one, other)
        if differs is not None:
            return Difference(program, index, differs, one, other)
        more = [kb - own for kb, own in zip(one.status, other.status, strict=True)]
        before = before or more
        for number, name in enumerate(STATUS):
            if before[number] != more[number]:
                return Difference(program, index, name, one, other)
    return None


def _mappings_differ(native: Outcome, model: Outcome) -> str | None:
    """Return in what the mappings shown differ."""
    assert native.mappings is not None
    assert model.mappings is not None
    for name in ("start", "end", "rights", "offset", "name", "flags", "figures"):
        of_native = [getattr(mapping, name) for mapping in native.mappings]
        if of_native != [getattr(mapping, name) for mapping in model.mappings]:
            return "mappings" if name in ("start", "end") else name
    return None


def minimised(difference: Difference, runs: Runs) -> Difference:
    """Return a difference of the same kind in a program that is as short as can be found.

    Steps are left out, half of them first and then fewer; then arguments become simpler.
    """
    found = _fewer_steps(_shown_at_once(difference, runs), runs)
    return _fewer_steps(_simpler_arguments(found, runs), runs)


def _again(program: Program, found: Difference, runs: Runs) -> Difference | None:
    """Return the difference that a changed program has, if it is of the same kind."""
    if not program.steps:
        return None
    try:
        other = first_difference(program, runs)
    except RunnerError:  # it reached for what is the runner's
        return None
    return other if other is not None and other.kind == found.kind else None


def _shown_at_once(found: Difference, runs: Runs) -> Difference:
    """Show all mappings after each step, so that a difference is seen where it arises."""
    steps: list[Step] = []
    place: dict[int, int] = {}
    for index, step in enumerate(found.program.steps[: found.index + 1]):
        place[index] = len(steps)
        steps.append(replace(step, args=tuple(
            Arg(arg.value, Base.RESULT + place[arg.base - Base.RESULT])
            if arg.base >= Base.RESULT else arg for arg in step.args)))
        if step.name not in ("exit", "fork", "show"):
            steps.append(Step(step.process, "show"))
    other = first_difference(replace(found.program, steps=tuple(steps)), runs)
    return found if other is None else other


def _fewer_steps(found: Difference, runs: Runs) -> Difference:
    """Leave out steps as long as the difference stays. [delta debugging, Zeller 1999]"""
    size = max(1, len(found.program.steps) // 2)
    while True:
        start, shorter = 0, False
        while start < len(found.program.steps):
            gone = set(range(start, start + size))
            other = _again(found.program.without(gone), found, runs)
            if other is None:
                start += size
            else:
                found, shorter = other, True
        if size == 1 and not shorter:
            return found
        size = max(1, size // 2)


def _simpler_arguments(found: Difference, runs: Runs) -> Difference:
    """Clear bits of the arguments as long as the difference stays."""
    for index in range(len(found.program.steps)):
        for number in range(len(found.program.steps[index].args)):
            for bit in range(64):
                program = found.program
                step = program.steps[index]
                arg = step.args[number]
                kept = arg.value >> 63 or (step.name, number) == ("mmap", FD)
                if kept or not arg.value >> bit & 1:
                    continue
                args = [*step.args]
                args[number] = Arg(arg.value & ~(1 << bit), arg.base)
                changed = replace(step, args=tuple(args))
                steps = (*program.steps[:index], changed, *program.steps[index + 1 :])
                found = _again(replace(program, steps=steps), found, runs) or found
                if index >= len(found.program.steps):
                    return found
    return found
