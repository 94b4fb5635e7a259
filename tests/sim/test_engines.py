"""The engines agree: in every answer, and those with hardware in every cycle and event."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, Cr0, Cr4, InvalidateOp, Vector
from pagewalk.sim.engine.amaranth import AmaranthEngine
from pagewalk.sim.engine.base import ANSWER, accesses, invalidation
from pagewalk.sim.engine.cxxrtl import CxxrtlEngine
from pagewalk.sim.engine.model import ModelEngine

from ..hdl.tables import bits, random_access, random_control, random_tables, random_vaddr

CONFIGS = {
    "x86_64-plru4": Config(mode=X86_64, entries=4),
    "x86_64-random1": Config(mode=X86_64, entries=1, policy="random", ports=("only",),
                             paddr_bits=46, tag_bits=1),
    "ia32-fifo3": Config(mode=IA32, entries=3, policy="fifo", ports=("a", "b", "c"), tag_bits=2),
    "ia32-lru8": Config(mode=IA32, entries=8, policy="lru", ports=("only",)),
}
EPOCH = 40
VECTORS = {
    X86_64: {0, Vector.SS, Vector.GP, Vector.PF, Vector.MC},
    IA32: {0, Vector.PF, Vector.MC},
}
CYCLES = ("accepted", "answered")
VALUES = [name for name in ANSWER.names if name not in CYCLES]


def random_memory(rng, config):
    """Return page tables, a few of which are where there is no memory, and their root."""
    tables = random_tables(rng, config.mode, config.physical_bits)
    memory = PhysicalMemory()
    pfns, rows = tables.memory.index()
    there = (rng.random(len(pfns)) < 0.95) | (pfns == tables.cr3 >> 12)
    # In no order, so that rows and frame numbers have nothing to do with each other.
    order = rng.permutation(np.flatnonzero(there))
    memory.load(pfns[order], tables.memory.frames[rows[order]])
    return memory, tables.cr3


class Commands:
    """Random commands that have one right answer each, whatever the TLBs hold.

    Page tables stay as they are, and the registers that change what a cached entry would be
    only change right before a full flush.
    """

    def __init__(self, rng, config, cr3):
        self.rng, self.config, self.cr3 = rng, config, cr3
        self.vaddrs = []
        self.pcids = [bits(rng, 12) for _ in range(3)]

    def make(self, count):
        return np.concatenate([part for _ in range(count // EPOCH) for part in self._epoch()])

    def _epoch(self):
        lasting = random_control(self.rng, self.config.mode, self.cr3)
        if self.rng.random() < 0.5:
            lasting = replace(lasting, cr4=lasting.cr4 | Cr4.PCIDE)
        self.vaddrs = [random_vaddr(self.rng, self.config.mode)
                       for _ in range(self.config.entries + 4)]
        yield invalidation(lasting, InvalidateOp.INVPCID_ALL)
        for _ in range(EPOCH - 1):
            control = self._control(lasting)
            if self.rng.random() < 0.15:
                yield self._invalidation(control)
            else:
                yield self._access(control)

    def _control(self, lasting):
        cr3 = self.cr3 | int(self.rng.choice(self.pcids))
        control = random_control(self.rng, self.config.mode, cr3, lasting=lasting)
        return replace(control, cr0=control.cr0 & ~Cr0.PG) if self.rng.random() < 0.05 else control

    def _vaddr(self):
        if self.rng.random() < 0.1:  # seldom canonical, never in the tables
            return bits(self.rng, self.config.mode.vaddr_bits)
        return self.vaddrs[int(self.rng.integers(len(self.vaddrs)))] ^ bits(self.rng, 12)

    def _access(self, control):
        access = random_access(self.rng, self._vaddr())
        return accesses(control, access.vaddr, access.kind, user=access.user, ac=access.ac,
                        implicit=access.implicit, stack=access.stack,
                        port=int(self.rng.integers(len(self.config.ports))))

    def _invalidation(self, control):
        op = InvalidateOp(int(self.rng.integers(len(InvalidateOp))))
        pcid = int(self.rng.choice(self.pcids))
        return invalidation(control, op, vaddr=self._vaddr(), pcid=pcid, old=bits(self.rng, 32),
                            new=bits(self.rng, 52) << 12 | pcid)


def assert_same(one, other, fields):
    for field in fields:
        differ = np.flatnonzero(one[field] != other[field])
        assert not len(differ), (field, differ[0], one[differ[0]], other[differ[0]])


@pytest.mark.parametrize(("name", "latency", "count", "seed"), [
    ("x86_64-plru4", 1, 320, 1), ("x86_64-plru4", 7, 80, 2), ("x86_64-random1", 2, 160, 3),
    ("ia32-fifo3", 2, 320, 4), ("ia32-lru8", 1, 320, 5), ("ia32-lru8", 7, 80, 6),
], ids=lambda value: str(value))
def test_both_simulators_agree_in_every_cycle(name, latency, count, seed):
    rng = default_rng(seed)
    config = CONFIGS[name]
    memory, cr3 = random_memory(rng, config)
    commands = Commands(rng, config, cr3)
    engines = AmaranthEngine(config, latency), CxxrtlEngine(config, latency)
    memories = memory, memory.copy()
    for _ in range(2):  # what the TLBs hold goes over from one run to the next
        batch = commands.make(count // 2)
        slow, fast = (engine.run(one, batch) for engine, one in zip(engines, memories, strict=True))
        assert_same(slow.answers, fast.answers, ANSWER.names)
        assert slow.cycles == fast.cycles
        assert slow.events == fast.events
        assert (memories[0].frames == memories[1].frames).all()


@pytest.mark.parametrize("seed", [10, 11])
@pytest.mark.parametrize("name", CONFIGS)
def test_hardware_answers_as_the_model(name, seed):
    rng = default_rng(seed)
    config = CONFIGS[name]
    engine = CxxrtlEngine(config, int(rng.integers(1, 9)))
    model = ModelEngine(config.mode, config.physical_bits)
    pages, vectors, hits = set(), set(), 0
    for _ in range(8):
        memory, cr3 = random_memory(rng, config)
        commands = Commands(rng, config, cr3).make(400)
        golden_memory = memory.copy()
        golden = model.run(golden_memory, commands).answers
        run = engine.run(memory, commands)
        assert_same(run.answers, golden, VALUES)
        assert (memory.frames == golden_memory.frames).all()
        pages.update(golden["page"].tolist())
        vectors.update(golden["vector"].tolist())
        hits += sum(count for event, count in run.events.items() if "_hit_" in event)
    # All of it was put to the test.
    assert pages == set(range(len(config.mode.pages)))
    assert vectors == VECTORS[config.mode]
    assert hits
