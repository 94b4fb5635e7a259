"""What two engines that are driven from Python do in each cycle, and where they first differ."""

from unittest.mock import patch

import numpy as np

from pagewalk.sim.engine import amaranth, timing
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.job import Job

AROUND = 3  # cycles before and after the one that differs, to be shown

__all__ = ["Different", "assert_same_cycles", "assert_same_outcome"]


class Different(AssertionError):
    """Two engines differ; the message shows both sides around the first cycle that does."""


class RecordedJob(Job):
    """A run that keeps all that the MMU puts out, a row for each cycle, by name."""

    rows = None  # a list, set by whoever records

    def observe(self, events, response_ready, *outputs):
        streams = len(self.config.ports) + 1
        ready, taken = outputs[:streams], outputs[streams:3 * streams]
        row = {name: 1 for name, bit in self.wires.unpack_events(events).items() if bit}
        row["invalidate.refused"] = [int(bit) for bit in outputs[3 * streams:]]
        names = [*self.config.ports, "invalidate"]
        row |= {f"{name}.ready": int(bit) for name, bit in zip(names, ready, strict=True)}
        pairs = zip([*self.config.ports, "memory"], taken[::2], taken[1::2], strict=True)
        for name, valid, payload in pairs:
            if valid:
                unpack = self.wires.unpack_answer if name != "memory" else self.wires.unpack_access
                row[name] = {key: int(value) for key, value in unpack(payload).items()}
        self.rows.append(row)
        super().observe(events, response_ready, *outputs)


def recorded(engine, module, memory, commands, **options):
    """Return what an engine of ``module`` did in each cycle of a run, and the run."""
    rows = []
    with patch.object(module, "Job", type("Recorded", (RecordedJob,), {"rows": rows})):
        run = engine.run(memory, commands, **options)
    return rows, run


def first_difference(ours, theirs):
    """Return the number of the first cycle that differs, None if there is none."""
    differing = (number for number, (one, other) in enumerate(zip(ours, theirs, strict=False))
                 if one != other)
    shorter = min(len(ours), len(theirs))
    return next(differing, None if len(ours) == len(theirs) else shorter)


def both_sides(ours, theirs, cycle):
    """Return the cycles around one as text; of those that are alike only one side."""
    lines = [f"The model and the hardware differ in cycle {cycle}"]
    for number in range(max(cycle - AROUND, 0), cycle + AROUND + 1):
        one, other = (rows[number] if number < len(rows) else None for rows in (ours, theirs))
        if one == other:
            lines.append(f"{number:6} both     {one}")
        else:
            lines += [f"{number:6} model    {one}", f"{number:6} hardware {other}"]
    return "\n".join(lines)


def assert_same_cycles(model, hardware, memory, commands, **options):
    """Assert that a ``TimingEngine`` and an ``AmaranthEngine`` put out the same in every cycle.

    Return the run of the model; ``memory`` is then as it leaves it.
    """
    other_memory = memory.copy()
    ours, run = recorded(model, timing, memory, commands, **options)
    theirs, other = recorded(hardware, amaranth, other_memory, commands, **options)
    cycle = first_difference(ours, theirs)
    if cycle is not None:
        raise Different(both_sides(ours, theirs, cycle))
    assert_same_outcome(run, other)
    assert (memory.frames == other_memory.frames).all()
    return run


def assert_same_outcome(ours, theirs):
    """Assert that two runs have the same answers with their cycles, events and bus errors."""
    shorter = min(len(ours.answers), len(theirs.answers))
    differ = np.flatnonzero(ours.answers[:shorter] != theirs.answers[:shorter])
    if len(differ):
        row = int(differ[0])
        one, other = (dict(zip(ANSWER.names, run.answers[row].item(), strict=True))
                      for run in (ours, theirs))
        raise Different(f"The answers to command {row} differ:\nmodel    {one}\nhardware {other}")
    if dict(ours.events) != dict(theirs.events):
        names = ours.events.keys() | theirs.events.keys()
        counts = {name: (ours.events.get(name), theirs.events.get(name)) for name in sorted(names)
                  if ours.events.get(name) != theirs.events.get(name)}
        raise Different(f"Events differ, of the model and of the hardware: {counts}")
    figures = [(run.cycles, len(run.answers), run.stopped, run.done, run.bus_errors.tolist())
               for run in (ours, theirs)]
    if figures[0] != figures[1]:
        raise Different(f"Runs differ: {figures[0]} of the model, {figures[1]} of the hardware")
