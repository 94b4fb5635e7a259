"""The replay of a memory image: every probe translated, every answer compared.

An answer is compared twice: with what the emulator recorded in the image, and, if it comes from
hardware, with the golden model, which runs the same accesses on a copy of the page tables of its
own. ``probe_checks`` says what can be concluded from a recorded probe.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..hdl.config import Config
from ..model.physical.memory import PhysicalMemory
from ..model.x86 import AccessKind, Cr0, Entry, InvalidateOp
from .engine.answer import ANSWER
from .engine.base import Engine
from .engine.command import invalidation
from .engine.model import ModelEngine, golden_walk
from .image import Image, View, thin
from .probe_checks import Plan, differences
from .result import Difference, Mismatch, Result

__all__ = ["replay"]

CHUNK_PROBES = 256
NOT_MODELLED = ("accepted", "answered", "hit")
"""Fields of ``ANSWER`` that the model has nothing to say about."""


def replay(
    image: Image,
    engine: Engine,
    *,
    views: Iterable[str] | None = None,
    config: Config | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Translate the probes of ``image`` with ``engine`` and compare every answer.

    The result counts mismatches in these fields:

    - against the image: ``present`` (faulted though mapped, or the reverse), ``write``, ``user``,
      ``fetch`` (the access was allowed but should fault, or the reverse), ``vector``, ``error``,
      ``cr2``, ``paddr``, ``page_size``, ``memory_type``;
    - against the golden model: ``model_`` and a field of ``ANSWER``;
    - ``frames``: page-table frames that differ from the golden model's, or in which anything but
      accessed and dirty flags has changed.

    ``views`` names the views to replay, all by default. ``limit`` is the number of probes in
    all, chosen from all these views as ``image.thin`` does: the same share for every sort of
    probe. ``config`` has the parameters of ``engine``, by default those that are usual; where
    software sets flags, it has set all of them before. ``progress`` is called with the number of
    probes done and of all. Raise ``InputError`` for an unknown view,
    and ``EngineStalled`` as the engine does.
    """
    chosen = thin(image.select(views), limit)
    result = Result(image.mode, "probes", sum(len(view.probes) for view in chosen))
    config = config or Config(mode=image.mode)
    golden = None if isinstance(engine, ModelEngine) else ModelEngine(config)
    start, done = time.perf_counter(), 0
    for view in chosen:
        replayed = _ViewReplay(view, engine, golden, config, result)
        for first in range(0, len(view.probes), CHUNK_PROBES):
            done += replayed.chunk(slice(first, first + CHUNK_PROBES))
            if progress is not None:
                progress(done, result.total)
        replayed.finish()
    result.seconds = time.perf_counter() - start
    return result


class _ViewReplay:
    """The replay of one view: its page tables, a copy for each engine, and the result.

    The view begins with everything invalidated. From then on TLBs stay filled: an address is
    translated by a walk or by what an earlier probe left, and the answer must be the same.
    """

    def __init__(
        self,
        view: View,
        engine: Engine,
        golden: ModelEngine | None,
        config: Config,
        result: Result,
    ) -> None:
        self.view, self.engine, self.golden, self.result = view, engine, golden, result
        self.config = config
        self.memory = self._memory()
        self.golden_memory = self._memory()
        # The recorded right to write is that of the page tables, which CR0.WP=0 would override.
        self.control = replace(view.control, cr0=view.control.cr0 | Cr0.WP)
        self._run(invalidation(self.control, InvalidateOp.INVPCID_ALL))

    def _memory(self) -> PhysicalMemory:
        """Return a copy of the page tables; with all flags, where software sets them."""
        memory = self.view.memory()
        if self.config.ad == "fault":
            entries = memory.frames.view(f"<u{self.config.mode.entry_bytes}")
            entries[entries & Entry.P != 0] |= entries.dtype.type(Entry.A | Entry.D)
        return memory

    def _run(self, commands: NDArray[np.void]) -> NDArray[np.void]:
        run = self.engine.run(self.memory, commands)
        self.result.add_run(run)
        return run.answers

    def chunk(self, which: slice) -> int:
        """Replay some probes; return how many there were."""
        probes = self.view.probes.take(which)
        plan = Plan.of(probes, self.control, len(self.config.ports))
        answers = self._run(plan.commands)
        found = list(differences(self.result.mode, probes, plan, answers))
        if self.golden is not None:
            expected = self.golden.run(self.golden_memory, plan.commands).answers
            found += _model_differences(plan.commands, answers, expected)
        self.result.accesses += len(plan.commands)
        for row, field, wanted, got in self.result.add_differences(found, plan.probe):
            control, walk = golden_walk(
                self._memory(), self.config, plan.commands[row])
            place = f"{self.view.name}, probe {probes.row[plan.probe[row]]}"
            self.result.first.append(Mismatch(place, field, wanted, got, control, walk))
        return len(probes)

    def finish(self) -> None:
        """Compare the frames: with the golden model's, and with what a walk may change."""
        before, after = self._memory(), self.memory
        if self.golden is not None:
            expected = self.golden_memory.frames
        else:
            # Frames are words of 8 bytes, in which there may be several entries.
            entry = np.dtype(f"<u{self.result.mode.entry_bytes}")
            flags = entry.type(Entry.A | Entry.D)
            kept, set_ = before.frames.view(entry) & ~flags, after.frames.view(entry) & flags
            expected = (kept | set_).view(np.uint64)
        self.result.add_frames(self.view.name, after, expected)


def _model_differences(
    commands: NDArray[np.void], answers: NDArray[np.void], expected: NDArray[np.void]
) -> Iterator[Difference]:
    """Yield what is not as the golden model answers.

    Whether a page is dirty is known of what a write leaves alone: another port may have written
    before or behind.
    """
    for name in ANSWER.names or ():
        if name not in NOT_MODELLED:
            wrong = answers[name] != expected[name]
            if name == "dirty":
                wrong &= commands["kind"] == AccessKind.WRITE
            yield Difference.where("model_" + name, wrong, expected[name], answers[name])
