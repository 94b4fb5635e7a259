"""A hit answers as a walk would: same fault, same translation, under any rights and registers."""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, Cr4, Efer, InvalidateOp
from pagewalk.sim.engine import create
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.command import accesses, invalidation

from .churn import Churn

PAGES = 16  # as many as the TLB holds
ROUNDS = 500
COMPARED = [name for name in ANSWER.names if name not in ("accepted", "answered", "hit")]


def rounds(churn):
    """Return commands (ROUNDS, 3 * pages + 2) and the number of pages.

    A round makes a supervisor write with CR0.WP=0 to some pages, which permits whatever is there
    and leaves entries with D; then accesses at random, which hit; after a flush the same again,
    which walk.
    """
    rng, pages = churn.rng, churn.pages()
    which = rng.permuted(np.tile(np.arange(len(pages)), (ROUNDS, 1)), axis=1)[:, :PAGES]
    vaddr = np.array(pages, np.uint64)[which]
    lax = Control(churn.control.cr3, cr0=Cr0.PG, cr4=churn.control.cr4, efer=churn.control.efer)
    warm = accesses(lax, vaddr, AccessKind.WRITE).reshape(vaddr.shape)
    flush = np.tile(invalidation(lax, InvalidateOp.INVPCID_ALL), (ROUNDS, 1))
    probes = accesses(
        lax, vaddr, rng.integers(3, size=vaddr.shape), user=rng.integers(2, size=vaddr.shape),
        implicit=rng.random(vaddr.shape) < 0.15, ac=rng.integers(2, size=vaddr.shape),
    ).reshape(vaddr.shape)
    for name, bits in (("cr0", Cr0.WP), ("cr4", Cr4.SMEP | Cr4.SMAP | Cr4.PKE)):
        probes[name] |= (rng.integers(1 << 32, size=vaddr.shape) & bits).astype(np.uint32)
    probes["efer"] ^= np.where(rng.random(vaddr.shape) < 0.2, Efer.NXE, 0).astype(np.uint32)
    probes["pkru"] = rng.integers(1 << 32, size=vaddr.shape)
    return np.concatenate([warm, probes, flush, probes, flush], axis=1), vaddr.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_a_million_hits_answer_as_walks_do(mode):
    engine = create("cxxrtl", Config(mode=mode, ports=("data",), entries=PAGES, walk_cache=4))
    hits, seed, faults = 0, 0, 0
    while hits < 1_000_000:
        churn = Churn(mode, seed, with_global=True)
        commands, pages = rounds(churn)
        run = engine.run(churn.memory, commands.reshape(-1))
        answers = run.answers.reshape(commands.shape)
        hit, walked = answers[:, pages:2 * pages], answers[:, 2 * pages + 1:-1]
        # Pages may share a large one, which the walk of the first of them enters.
        counted = (hit["answered"] == hit["accepted"] + 1) & (
            walked["answered"] > walked["accepted"] + 1)
        for name in COMPARED:
            wrong = np.argwhere(hit[name] != walked[name])
            assert not len(wrong), (
                f"seed {seed}: {name} of {commands[:, pages:2 * pages][tuple(wrong[0])]}, "
                f"hit {hit[tuple(wrong[0])]}, walk {walked[tuple(wrong[0])]}")
        hits += int(counted.sum())
        faults += int((hit["fault"] != 0)[counted].sum())
        seed += 1
    assert faults > hits // 10
    print(f"{mode.name}: {hits:,} hits, {faults:,} of them faults, seeds 0 to {seed - 1}")
