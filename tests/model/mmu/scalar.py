"""Random rows for the batch walk, and its twin: the same rows, walked one by one."""

from dataclasses import fields

import numpy as np

from pagewalk.model.mmu.batch import Accesses, Controls, FrameSource, Steps, Walks, walk_batch
from pagewalk.model.mmu.flag_rules import FLAGS_ON_USE
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, AccessKind, Cr0, Cr4, Purpose

from ...hdl.tables import bits, random_control, random_tables, random_vaddr

CONTROL = ("cr3", "cr0", "cr4", "efer", "pkru")
FLAGS = ("user", "implicit", "ac", "stack")


def random_memory(rng, mode, paddr_bits):
    """Return page tables, a few of which are where there is no memory, and their root."""
    tables = random_tables(rng, mode, paddr_bits)
    pfns, rows = tables.memory.index()
    there = (rng.random(len(pfns)) < 0.95) | (pfns == tables.cr3 >> 12)
    order = rng.permutation(np.flatnonzero(there))
    memory = PhysicalMemory()
    memory.load(pfns[order], tables.memory.frames[rows[order]])
    return memory, tables.cr3


def random_accesses(rng, mode, count):
    """Return accesses, a tenth of them anywhere, which is seldom canonical or mapped."""
    vaddrs = [bits(rng, 64) if rng.random() < 0.1 else random_vaddr(rng, mode)
              for _ in range(count)]
    if mode is IA32:
        vaddrs = [vaddr & 0xFFFF_FFFF for vaddr in vaddrs]
    flags = rng.random((4, count)) < [[0.5], [0.15], [0.5], [0.5]]
    return Accesses(np.array(vaddrs, np.uint64), rng.integers(0, 3, count), *flags)


def random_controls(rng, mode, cr3, count):
    """Return registers of each row, a few of them without paging or with odd bits in CR3."""
    controls = [random_control(rng, mode, cr3) for _ in range(count)]
    columns = {name: np.array([getattr(one, name) for one in controls], np.uint64)
               for name in CONTROL}
    columns["cr0"][rng.random(count) < 0.03] &= ~np.uint64(Cr0.PG)
    columns["cr4"] &= ~(np.uint64(Cr4.PAE) * (rng.random(count) < 0.1))
    columns["cr3"] |= rng.integers(0, 1 << 12, count, np.uint64)
    columns["pkru"][rng.random(count) < 0.3] = 0
    return Controls(**columns)


def rows_of(control, accesses):
    """Yield the registers and the access of each row, as ``walk`` takes them."""
    columns = [getattr(control, name) for name in CONTROL]
    columns += [getattr(accesses, name) for name in ("vaddr", "kind", "purpose", *FLAGS)]
    columns = np.broadcast_arrays(*(np.array(column, np.uint64, ndmin=1) for column in columns))
    for row in zip(*(column.tolist() for column in columns), strict=True):
        registers, (vaddr, kind, purpose, *flags) = row[:5], row[5:]
        yield Control(*registers), Access(vaddr, AccessKind(kind), *map(bool, flags),
                                          purpose=Purpose(purpose))


def walk_each(memory, mode, control, accesses, paddr_bits=40, flags=FLAGS_ON_USE):
    """Walk row after row; ``memory`` may give the memory of each row in turn."""
    memories = memory if isinstance(memory, list) else None
    results = [
        walk(memories[row] if memories else memory, mode, *asked, paddr_bits, flags)
        for row, asked in enumerate(rows_of(control, accesses))
    ]
    faults = [result.fault for result in results]
    steps = [result.steps for result in results]

    def table(field):
        array = np.zeros((len(steps), len(mode.levels)), np.uint64)
        for row, one in enumerate(steps):
            array[row, :len(one)] = [getattr(step, field) for step in one]
            assert [step.level for step in one] == list(mode.levels[:len(one)])
        return array

    walks = Walks(
        accessed=np.array([result.access.vaddr for result in results], np.uint64),
        paddr=np.array([result.paddr for result in results], np.uint64),
        page=np.array([mode.pages.index(result.page) if result.page else -1
                       for result in results], np.int8),
        memory_type=np.array([result.memory_type for result in results], np.uint8),
        vector=np.array([fault.vector if fault else 0 for fault in faults], np.uint8),
        error=np.array([fault.error_code if fault else 0 for fault in faults], np.uint16),
        steps=Steps(np.array([len(one) for one in steps], np.uint8), table("paddr"),
                    table("entry"), table("updated")),
    )
    assert walks.vaddr.tolist() == [fault.vaddr if fault else 0 for fault in faults]
    return walks


def assert_same(got, expected):
    """Compare two ``Walks`` or ``Steps``; those without steps compare in all else."""
    for field in fields(expected):
        ours, theirs = getattr(got, field.name), getattr(expected, field.name)
        if isinstance(theirs, Steps):
            if ours is not None:
                assert_same(ours, theirs)
            continue
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        wrong = np.argwhere(ours != theirs)
        assert not len(wrong), (field.name, wrong[0], ours[tuple(wrong[0])],
                                theirs[tuple(wrong[0])])


def assert_same_as_scalar(memory, mode, control, accesses, paddr_bits=40, flags=FLAGS_ON_USE):
    """Walk the rows both ways on copies of ``memory``, with steps and without.

    Return the outcome, and the memory afterwards.
    """
    golden_memory = memory.copy()
    expected = walk_each(golden_memory, mode, control, accesses, paddr_bits, flags)
    for steps in (True, False):
        own = memory.copy()
        got = walk_batch(FrameSource(own, mode), mode, control, accesses, paddr_bits, steps=steps,
                         flags=flags)
        assert (got.steps is not None) == steps
        assert_same(got, expected)
        assert (own.frames == golden_memory.frames).all()
    return expected, golden_memory
