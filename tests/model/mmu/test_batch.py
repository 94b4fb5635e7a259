"""The batch walk equals the scalar walk, row for row in every field, and so does the memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from pagewalk.model.mmu import batch
from pagewalk.model.mmu.batch import Accesses, Controls
from pagewalk.model.mmu.flag_rules import FlagRules
from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, MODES, X86_64, AccessKind, Cr0, Cr4, Efer, Entry, Vector

from ...hdl.tables import bits, canonical, random_control
from .scalar import (
    CONTROL,
    FLAGS,
    assert_same_as_scalar,
    random_accesses,
    random_controls,
    random_memory,
)

READ, WRITE, FETCH = AccessKind
A, D = Entry.A, Entry.D
P_RW_US = Entry.P | Entry.RW | Entry.US
ERROR_CODES = {
    "ia32": {0, 1, 2, 3, 4, 5, 6, 7, 9, 0xB, 0xD, 0xF, 0x10, 0x11, 0x14, 0x15, 0x19, 0x1D},
    "x86_64": {0, 1, 2, 3, 4, 5, 6, 7, 9, 0xB, 0xD, 0xF, 0x10, 0x11, 0x14, 0x15, 0x19, 0x1D,
               0x21, 0x23, 0x25, 0x27},
}
ERROR_CODES["la57"] = ERROR_CODES["x86_64"]

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


# Random tables


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("paddr_bits", range(32, 53))
def test_random_tables_under_the_same_registers_for_all(mode, paddr_bits):
    rng = default_rng([paddr_bits, 1])
    memory, cr3 = random_memory(rng, mode, paddr_bits)
    control = random_control(rng, mode, cr3)
    assert_same_as_scalar(memory, mode, control, random_accesses(rng, mode, 300), paddr_bits)


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("paddr_bits", range(32, 53))
def test_random_tables_under_the_registers_of_each_row(mode, paddr_bits):
    rng = default_rng([paddr_bits, 2])
    memory, cr3 = random_memory(rng, mode, paddr_bits)
    control = random_controls(rng, mode, cr3, 300)
    assert_same_as_scalar(memory, mode, control, random_accesses(rng, mode, 300), paddr_bits)


@every_mode
@pytest.mark.parametrize("varying", [*CONTROL, *FLAGS, "kind", "vaddr", "purpose"])
def test_any_one_field_may_vary_from_row_to_row_while_the_others_do_not(mode, varying):
    rng = default_rng([*varying.encode()])
    memory, cr3 = random_memory(rng, mode, 40)
    each = {name: getattr(random_controls(rng, mode, cr3, 40), name) for name in CONTROL}
    accesses = random_accesses(rng, mode, 40)
    each |= {name: getattr(accesses, name) for name in ("vaddr", "kind", *FLAGS)}
    each["purpose"] = rng.integers(0, 4, 40)
    for _ in range(5):
        fields = {name: column if name == varying else column[rng.integers(40)]
                  for name, column in each.items()}
        registers = {name: fields.pop(name) for name in CONTROL}
        assert_same_as_scalar(memory, mode, Controls(**registers), Accesses(**fields))


@pytest.mark.slow
@every_mode
def test_random_rows_meet_every_outcome(mode):
    """So that the tests above are about all of them."""
    rng = default_rng(4)
    met = {name: set() for name in ("page", "vector", "error", "memory_type", "flags")}
    for paddr_bits in [*range(32, 53, 2)] * 2:
        memory, cr3 = random_memory(rng, mode, paddr_bits)
        control = random_controls(rng, mode, cr3, 300)
        accesses = random_accesses(rng, mode, 300)
        expected, _ = assert_same_as_scalar(memory, mode, control, accesses, paddr_bits)
        for name in ("page", "vector", "error", "memory_type"):
            met[name].update(getattr(expected, name).tolist())
        met["flags"].update((expected.steps.updated ^ expected.steps.entry).reshape(-1).tolist())
    assert met["page"] == {-1, *range(len(mode.pages))}
    assert met["vector"] == {0, Vector.PF, Vector.MC} | (
        {Vector.GP, Vector.SS} if mode is not IA32 else set())
    assert met["error"] >= ERROR_CODES[mode.name]
    assert met["memory_type"] == set(range(8))
    assert met["flags"] == {0, A, D, A | D}


@every_mode
@pytest.mark.parametrize("chunk_rows", [1, 2, 7, 64, 500])
def test_the_size_of_chunks_changes_nothing(mode, chunk_rows, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK_ROWS", chunk_rows)
    rng = default_rng(chunk_rows)
    memory, cr3 = random_memory(rng, mode, 40)
    control = random_controls(rng, mode, cr3, 130)
    assert_same_as_scalar(memory, mode, control, random_accesses(rng, mode, 130))


@every_mode
def test_frames_that_are_far_apart_are_found(mode):
    """So far that the source has no table of all frame numbers."""
    rng = default_rng(3)
    memory = PhysicalMemory()
    top = 1 << (20 if mode is IA32 else 40)
    pfns = [0, 5, top // 2, top - 1]
    memory.add(rng.permutation(pfns))
    frames = memory.frames.view(f"<u{mode.entry_bytes}")
    targets = rng.choice([*pfns, 4, 6, top - 2], frames.shape) << 12
    frames[:] = targets | P_RW_US
    accesses = Accesses(np.array([canonical(mode, bits(rng, 48)) & (1 << mode.vaddr_bits) - 1
                                  for _ in range(500)], np.uint64))
    control = Control(pfns[2] << 12, cr4=0)
    expected, _ = assert_same_as_scalar(memory, mode, control, accesses, 52)
    assert (expected.vector == 0).sum() > 20
    assert (expected.vector == Vector.MC).sum() > 20


# Tables that hypothesis draws: few frames, so that they are shared and even contain themselves;
# frames 0 and 1 GB make sound large pages; 0x99 does not exist.

FRAMES = [0, 1, 2, 0x400, 1 << 18]
INDICES = [0, 1]
ENTRY_BITS = st.sampled_from([
    *(0, Entry.P, Entry.RW, Entry.US, Entry.A, Entry.D, Entry.PS, Entry.G, Entry.PAT_LARGE),
    *(1 << 13, 1 << 21, 1 << 39, 1 << 51, 3 << 59, Entry.XD),
])


def subsets(*chosen):
    return st.sets(st.sampled_from(chosen)).map(sum)


@st.composite
def entries(draw):
    """Most entries are sound but for a bit or two."""
    entry = draw(st.sampled_from([*FRAMES, 0x99])) << 12 | P_RW_US
    for bit in draw(st.lists(ENTRY_BITS, max_size=2)):
        entry ^= bit
    return entry


@st.composite
def vaddrs(draw, mode):
    vaddr = draw(st.sampled_from([0, 0xABC]))
    for level in mode.levels:
        vaddr |= draw(st.sampled_from(INDICES)) << level.shift
    return vaddr


def each_or_all(draw, values, count):
    """Return one value for all rows, or one for each."""
    if draw(st.booleans()):
        return draw(values)
    return np.array(draw(st.lists(values, min_size=count, max_size=count)), np.uint64)


@st.composite
def scenes(draw):
    mode, count = draw(st.sampled_from([IA32, X86_64])), draw(st.integers(1, 12))
    memory = PhysicalMemory()
    memory.add(FRAMES)
    for pfn in FRAMES:
        for index in INDICES:
            entry = draw(entries()) & (1 << 8 * mode.entry_bytes) - 1
            memory.write((pfn << 12) + index * mode.entry_bytes, mode.entry_bytes, entry)
    registers = {
        "cr3": st.sampled_from(FRAMES).map(lambda pfn: pfn << 12),
        "cr0": st.just(Cr0.PG) if draw(st.booleans()) else subsets(Cr0.PG, Cr0.WP),
        "cr4": subsets(Cr4.PSE, Cr4.PAE, Cr4.SMEP, Cr4.SMAP, Cr4.PKE),
        "efer": subsets(Efer.NXE),
        "pkru": st.sampled_from([0, 1, 2, 0xC0, 0xFFFF_FFFF]),
    }
    control = Controls(**{name: each_or_all(draw, values, count)
                          for name, values in registers.items()})
    flags = {name: each_or_all(draw, st.integers(0, 1), count) for name in FLAGS}
    accesses = Accesses(
        np.array(draw(st.lists(vaddrs(mode), min_size=count, max_size=count)), np.uint64),
        each_or_all(draw, st.sampled_from([READ, WRITE, FETCH]), count), **flags)
    return memory, mode, control, accesses, draw(st.sampled_from([32, 36, 40, 46, 52]))


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(scenes(), st.integers(1, 6), st.sampled_from(["use", "success"]),
       st.sampled_from(["exchange", "exchange", "write", "fault"]))
def test_any_tables_and_rows(scene, chunk_rows, accessed, ad):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "CHUNK_ROWS", chunk_rows)
        assert_same_as_scalar(*scene, flags=FlagRules(accessed, ad))
