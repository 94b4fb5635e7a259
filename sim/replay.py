"""The replay of a memory image: every probe translated, every answer compared.

An answer is compared twice: with what the emulator recorded in the image, and, if it comes from
hardware, with the golden model, which runs the same accesses on a copy of the page tables of its
own. What a recorded probe allows to conclude is in ``probe_checks``.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.mmu.walk import Access, Control, Walk, walk
from ..model.physical.memory import PhysicalMemory
from ..model.x86 import PAGE_SHIFT, AccessKind, Cr0, Entry, InvalidateOp, PagingMode
from .engine.base import ANSWER, Engine, invalidation
from .engine.model import ModelEngine
from .image import Image, View, thin
from .probe_checks import Difference, Plan, differences

__all__ = ["Mismatch", "ReplayResult", "replay"]

FIRST_MISMATCHES = 10
CHUNK_PROBES = 256
TIMES = ("accepted", "answered")
"""Fields of ``ANSWER`` that the model has nothing to say about."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing found wrong: ``field`` of the answer to a probe, or an entry in memory.

    ``probe`` is the probe's position in the image and ``walk`` the golden walk of the access on
    the page tables as captured. A mismatch of the field ``frames`` has neither; its values are
    those of the 8 bytes at ``paddr``.
    """

    view: str
    control: Control
    field: str
    expected: int
    got: int
    probe: int | None = None
    walk: Walk | None = None
    paddr: int | None = None


@dataclass(slots=True)
class ReplayResult:
    """What a replay found, and what it cost.

    ``mismatches`` counts the probes with at least one mismatch, and the page-table frames that
    differ after the replay. ``mismatches_by_field`` counts each probe once per field:

    - against the image: ``present`` (faulted though mapped, or the reverse), ``write``, ``user``,
      ``fetch`` (the access was allowed but should fault, or the reverse), ``vector``, ``error``,
      ``cr2``, ``paddr``, ``page_size``, ``memory_type``;
    - against the golden model: ``model_`` and a field of ``ANSWER``;
    - ``frames``: page-table frames that differ from the golden model's, or in which anything but
      accessed and dirty flags has changed.

    ``first`` holds the first mismatches, not all. ``cycles`` is 0 and ``events`` empty without
    hardware.
    """

    mode: PagingMode
    total: int
    mismatches: int = 0
    mismatches_by_field: Counter[str] = field(default_factory=Counter)
    accesses: int = 0
    cycles: int = 0
    seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    first: list[Mismatch] = field(default_factory=list)

    @property
    def mismatched_probes(self) -> int:
        """The number of probes with at least one mismatch."""
        return self.mismatches - self.mismatches_by_field["frames"]

    @property
    def agreed(self) -> bool:
        """Whether no mismatch was found."""
        return not self.mismatches

    def as_json(self) -> dict[str, Any]:
        """Return the result as what ``json`` can write, without the single mismatches."""
        return {
            "mode": self.mode.name,
            "total": self.total,
            "mismatches": self.mismatches,
            "mismatches_by_field": dict(self.mismatches_by_field),
            "accesses": self.accesses,
            "cycles": self.cycles,
            "seconds": round(self.seconds, 3),
            "events": dict(self.events),
        }


def replay(
    image: Image,
    engine: Engine,
    *,
    views: Iterable[str] | None = None,
    limit: int | None = None,
    paddr_bits: int = 40,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayResult:
    """Translate the probes of ``image`` with ``engine`` and compare every answer.

    ``views`` names the views to replay, all by default. ``limit`` is the number of probes in
    all, chosen from all these views as ``image.thin`` does: the same share for every sort of
    probe. ``paddr_bits`` is the MAXPHYADDR of ``engine``, for the golden model. ``progress`` is
    called with the number of probes done and of all. Raise ``InputError`` for an unknown view,
    and ``EngineStalled`` as the engine does.
    """
    chosen = thin(image.select(views), limit)
    result = ReplayResult(image.mode, sum(len(view.probes) for view in chosen))
    golden = None if isinstance(engine, ModelEngine) else ModelEngine(image.mode, paddr_bits)
    start, done = time.perf_counter(), 0
    for view in chosen:
        replayed = _ViewReplay(view, engine, golden, paddr_bits, result)
        for first in range(0, len(view.probes), CHUNK_PROBES):
            done += replayed.chunk(slice(first, first + CHUNK_PROBES))
            if progress is not None:
                progress(done, result.total)
        replayed.finish()
    result.seconds = time.perf_counter() - start
    return result


class _ViewReplay:
    """The replay of one view: its page tables, once per engine, and where the result goes."""

    def __init__(
        self,
        view: View,
        engine: Engine,
        golden: ModelEngine | None,
        paddr_bits: int,
        result: ReplayResult,
    ) -> None:
        self.view, self.engine, self.golden, self.result = view, engine, golden, result
        self.paddr_bits = paddr_bits
        self.memory = view.memory()
        self.golden_memory = view.memory()
        # The recorded right to write is that of the page tables, which CR0.WP=0 would override.
        self.control = replace(view.control, cr0=view.control.cr0 | Cr0.WP)
        self._run(invalidation(self.control, InvalidateOp.INVPCID_ALL))

    def _run(self, commands: NDArray[np.void]) -> NDArray[np.void]:
        run = self.engine.run(self.memory, commands)
        self.result.cycles += run.cycles
        self.result.events.update(run.events)
        return run.answers

    def chunk(self, which: slice) -> int:
        """Replay some probes; return how many there were."""
        probes = self.view.probes.take(which)
        plan = Plan.of(probes, self.control)
        answers = self._run(plan.commands)
        found = list(differences(self.result.mode, probes, plan, answers))
        if self.golden is not None:
            expected = self.golden.run(self.golden_memory, plan.commands).answers
            found += _model_differences(answers, expected)
        self.result.accesses += len(plan.commands)
        wrong = np.zeros(len(probes), bool)
        for difference in found:
            of_probe = np.unique(plan.probe[difference.rows])
            wrong[of_probe] = True
            self.result.mismatches_by_field[difference.field] += len(of_probe)
        self._keep(found, plan, probes.row)
        self.result.mismatches += int(wrong.sum())
        return len(probes)

    def _keep(self, found: list[Difference], plan: Plan, numbers: NDArray[np.int64]) -> None:
        """Keep the first mismatches in the order of accesses, as long as there is room."""
        mismatches = sorted(one for difference in found for one in difference.one_per_probe(plan))
        for row, field_name, expected, got in mismatches[: self._room()]:
            walked = walk(self.view.memory(), self.result.mode, self.control,
                          _access(plan.commands[row]), self.paddr_bits)
            self.result.first.append(Mismatch(
                self.view.name, self.control, field_name, expected, got,
                probe=int(numbers[plan.probe[row]]), walk=walked))

    def _room(self) -> int:
        return FIRST_MISMATCHES - len(self.result.first)

    def finish(self) -> None:
        """Compare the frames: with the golden model's, and with what a walk may change."""
        before, after = self.view.memory(), self.memory
        if self.golden is not None:
            expected = self.golden_memory.frames
        else:
            flags = Entry.A | Entry.D
            if self.result.mode.entry_bytes == 4:
                flags |= flags << 32  # two entries in the 8 bytes of a word
            expected = before.frames & ~np.uint64(flags) | after.frames & np.uint64(flags)
        wrong = np.flatnonzero((after.frames != expected).any(axis=1))
        if not len(wrong):
            return
        self.result.mismatches += len(wrong)
        self.result.mismatches_by_field["frames"] += len(wrong)
        for row in wrong[: self._room()]:
            word = int(np.flatnonzero(after.frames[row] != expected[row])[0])
            self.result.first.append(Mismatch(
                self.view.name, self.control, "frames",
                int(expected[row, word]), int(after.frames[row, word]),
                paddr=(_pfn(after, int(row)) << PAGE_SHIFT) + 8 * word))


def _model_differences(answers: NDArray[np.void], expected: NDArray[np.void]) -> list[Difference]:
    found = (
        Difference.where("model_" + name, answers[name] != expected[name],
                         expected[name], answers[name])
        for name in ANSWER.names or ()
        if name not in TIMES
    )
    return [difference for difference in found if len(difference.rows)]


def _access(command: np.void) -> Access:
    return Access(
        int(command["vaddr"]),
        AccessKind(int(command["kind"])),
        user=bool(command["user"]),
        ac=bool(command["ac"]),
    )


def _pfn(memory: PhysicalMemory, row: int) -> int:
    pfns, rows = memory.index()
    return int(pfns[np.flatnonzero(rows == row)[0]])
