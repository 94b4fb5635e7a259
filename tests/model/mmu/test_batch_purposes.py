"""Accesses that are only asked about, among others: the batch does what the walks one by one do."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.batch import Accesses, FrameSource, walk_batch
from pagewalk.model.mmu.flag_rules import ACCESSED_RULES, AD_RULES, FlagRules
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import MODES, X86_64, AccessKind, Entry, Purpose

from ...hdl.tables import PERMISSIVE, Tables
from .scalar import assert_same_as_scalar, random_accesses, random_controls, random_memory

RULES = [FlagRules(accessed, ad) for accessed in ACCESSED_RULES for ad in AD_RULES]
A, D = Entry.A, Entry.D


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("flags", RULES, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_random_rows_of_every_purpose(mode, flags, seed):
    rng = default_rng([seed, 8])
    memory, cr3 = random_memory(rng, mode, 40)
    control = random_controls(rng, mode, cr3, 300)
    accesses = replace(random_accesses(rng, mode, 300), purpose=rng.integers(0, 4, 300))
    expected, _ = assert_same_as_scalar(memory, mode, control, accesses, flags=flags)
    quiet = accesses.purpose >= Purpose.PROBE
    assert ((expected.vector == 0) & quiet).sum() > 10
    for purpose in Purpose:  # one for all rows
        assert_same_as_scalar(memory, mode, control, replace(accesses, purpose=purpose),
                              flags=flags)


@pytest.mark.parametrize(("purpose", "above", "leaf"), [
    (Purpose.ACCESS, A, A | D), (Purpose.CHECK, A, A), (Purpose.PROBE, 0, 0),
    (Purpose.LOOKUP, 0, 0)])
def test_which_flags_a_purpose_sets(purpose, above, leaf):
    tables = Tables(X86_64)
    path = tables.map(0x5000, 0x7000, PERMISSIVE & ~(A | D), upper=PERMISSIVE & ~(A | D))
    accesses = Accesses(np.array([0x5000], np.uint64), AccessKind.WRITE, purpose=purpose)
    walks = walk_batch(FrameSource(tables.memory, X86_64), X86_64, Control(tables.cr3), accesses)
    assert walks.paddr.tolist() == [0x7000]
    assert [tables.read(paddr) & (A | D) for paddr in path] == [above] * 3 + [leaf]
