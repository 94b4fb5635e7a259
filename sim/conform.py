"""The comparison of an engine with access vectors: every field of every answer.

Each access has the memory to itself: another processor writes its page tables before it, reads
them back after it, and then clears them, so that a walk that goes astray meets no entry of another
access. After each access everything cached is invalidated. With the model engine none of this is
needed: each access is walked on its own entries, and no other entries exist.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..hdl.config import Config
from ..model.mmu.batch import Controls, RowSource
from ..model.mmu.flag_rules import FlagRules
from ..model.mmu.walk import Control
from ..model.x86 import PAGE_SHIFT, InvalidateOp, Vector
from .engine.answer import ANSWER
from .engine.base import Engine
from .engine.command import accesses, exchange, invalidation, read
from .engine.model import ModelEngine, golden_walk
from .engine.port_choice import port_of
from .flag_vectors import under_rules
from .result import Difference, Mismatch, Result
from .vectors import NO_PADDR, NO_VECTOR, Vectors

__all__ = ["conform"]

CHUNK_VECTORS = 256


def conform(
    vectors: Vectors,
    engine: Engine,
    *,
    config: Config | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Make the accesses of ``vectors`` with ``engine`` and compare every answer.

    The result counts mismatches in the fields ``fault``, ``vector``, ``error``, ``cr2``, ``pa``,
    and ``after_`` and the name of a level, as ``after_pte``, for the entry after the access;
    ``frames`` are frames in which anything else was written.

    ``config`` has the parameters of ``engine``, by default those that are usual. Where it sets
    flags by other rules than the recording processor, ``under_rules`` says what must come of the
    accesses. ``limit`` is the number of accesses to make, as ``Vectors.thin`` chooses them, without
    those that are made again for their flags. ``progress`` is called with the number of accesses
    done and of all. Raise ``EngineStalled`` as the engine does.
    """
    config = config or Config(mode=vectors.mode)
    vectors = under_rules(vectors.thin(limit), FlagRules(config.accessed, config.ad))
    result = Result(vectors.mode, "vectors", len(vectors))
    start = time.perf_counter()
    flush = invalidation(Control(cr3=0), InvalidateOp.INVPCID_ALL)
    result.add_run(engine.run(vectors.take(slice(0)).frames(), flush))
    for first in range(0, len(vectors), CHUNK_VECTORS):
        chunk = vectors.take(slice(first, first + CHUNK_VECTORS))
        _conform_chunk(chunk, engine, result, config)
        if progress is not None:
            progress(result.accesses, result.total)
    result.seconds = time.perf_counter() - start
    return result


def _conform_chunk(vectors: Vectors, engine: Engine, result: Result, config: Config) -> None:
    """Make some of the accesses, and add what is wrong with their answers to ``result``."""
    access = _accesses(vectors, len(config.ports))
    if isinstance(engine, ModelEngine):
        source = RowSource(vectors.mode, vectors["entry_pa"], vectors["before"])
        answers, after = engine.answers(source, access), source.entries
    else:
        answers, after = _run_chunk(vectors, access, engine, result)
    result.accesses += len(vectors)
    found = _differences(vectors, answers, after)
    for row, field, expected, got in result.add_differences(found, np.arange(len(vectors))):
        control, walk = golden_walk(vectors.tables(row), config, access[row])
        place = f"row {vectors.row[row]}"
        result.first.append(Mismatch(place, field, expected, got, control, walk))


def _run_chunk(
    vectors: Vectors, access: NDArray[np.void], engine: Engine, result: Result
) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
    """Return the answers (N,) of an engine to ``access``, and the entries afterwards (N, L)."""
    commands, made = _commands(vectors, access)
    memory = vectors.frames()
    run = engine.run(memory, commands[made])
    result.add_run(run)
    place = f"rows {vectors.row[0]} to {vectors.row[-1]}"
    result.add_frames(place, memory, np.zeros_like(memory.frames))
    answers = np.zeros(commands.shape, ANSWER)
    answers[made] = run.answers
    levels = len(vectors.mode.levels)
    return answers[:, levels], answers[:, levels + 2 : 2 * levels + 2]["value"]


def _accesses(vectors: Vectors, ports: int) -> NDArray[np.void]:
    """Return the access commands (N,) with the registers of each."""
    return accesses(_registers(vectors), vectors["va"], vectors["kind"], user=vectors["cpl"] == 3,
                    ac=vectors["ac"], port=port_of(vectors["kind"], ports))


def _registers(vectors: Vectors) -> Controls:
    """Return the registers (N,) that the accesses are made under."""
    root = vectors["entry_pa"][:, 0] >> PAGE_SHIFT << PAGE_SHIFT
    return Controls(cr3=root, **{name: vectors[name] for name in ("cr0", "cr4", "efer", "pkru")})


def _commands(
    vectors: Vectors, access: NDArray[np.void]
) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Return commands (N, 3 L + 2), a row for each access, and which of them are to be made.

    They are L exchanges that write the entries, the access, an invalidation that waits for the
    answer, L reads of the entries and L exchanges that clear them.
    """
    count, entry_pa, reached = len(vectors), vectors["entry_pa"], vectors.reached
    flush = invalidation(_registers(vectors), InvalidateOp.INVPCID_ALL)
    parts = exchange(entry_pa, vectors["before"]), access, flush, read(entry_pa), exchange(
        entry_pa, 0)
    once = np.ones((count, 2), bool)
    return (np.concatenate([part.reshape(count, -1) for part in parts], axis=1),
            np.concatenate([reached, once, reached, reached], axis=1))


def _differences(
    vectors: Vectors, answers: NDArray[np.void], after: NDArray[np.uint64]
) -> Iterator[Difference]:
    """Yield what is wrong with ``answers`` (N,) and the entries ``after`` the access (N, L).

    CR2 is compared where the record has a page fault; no other exception loads it.
    """
    faults = answers["fault"] != 0
    page_faults = vectors["vector"] == Vector.PF
    got = {
        "fault": answers["fault"],
        "vector": np.where(faults, answers["vector"], NO_VECTOR),
        "error": answers["error"],
        "cr2": np.where(page_faults, answers["vaddr"], vectors["cr2"]),
        "pa": np.where(faults, np.uint64(NO_PADDR), answers["paddr"]),
    }
    for name, values in got.items():
        yield Difference.where(name, values != vectors[name], vectors[name], values)
    for number, level in enumerate(vectors.mode.levels):
        values, expected = after[:, number], vectors["after"][:, number]
        wrong = vectors.reached[:, number] & (values != expected)
        yield Difference.where(f"after_{level.name.lower()}", wrong, expected, values)
