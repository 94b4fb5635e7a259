"""Configurations of engines, and runs that must be the same."""

import shutil

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Purpose
from pagewalk.sim.engine import create
from pagewalk.sim.engine.answer import ANSWER

ASKS = {"rights": True, "probes": True, "checks": True}
CONFIGS = {
    "x86_64-plru4": Config(mode=X86_64, entries=4),
    "x86_64-random1": Config(mode=X86_64, entries=1, policy="random", ports=("only",),
                             paddr_bits=46, tag_bits=1),
    "ia32-fifo3": Config(mode=IA32, entries=3, policy="fifo", ports=("a", "b", "c"), tag_bits=2),
    "x86_64-pool3": Config(mode=X86_64, entries=2, walk_cache=2, ports=("a", "b", "c"), walkers=3,
                           misses=4, order="tag", cancel=True, dropped=True, **ASKS),
    "ia32-misses3": Config(mode=IA32, entries=4, ways=2, large_entries=1, misses=3, hit_latency=0,
                           cancel=True, **ASKS),
    "x86_64-sets8": Config(mode=X86_64, entries=8, ways=2, large_entries=1, hit_latency=0, **ASKS),
    "ia32-sets4": Config(mode=IA32, entries=4, ways=1, index="plain", policy="fifo",
                         hit_latency=2),
    "ia32-lru8": Config(mode=IA32, entries=8, policy="lru", ports=("only",)),
}
HAS_VERILATOR = shutil.which("verilator") is not None
VERILATOR = pytest.param("verilator", marks=pytest.mark.skipif(
    not HAS_VERILATOR, reason="verilator is missing"))
COMPILED = ("cxxrtl", VERILATOR)
HARDWARE = ("amaranth", *COMPILED)
EVERY = ("model", *HARDWARE)
HARDWARE_ONLY = ("accepted", "answered", "hit")
MAY_LAG = ("dirty", "second_dirty")  # where another port has written
VALUES = [name for name in ANSWER.names if name not in HARDWARE_ONLY + MAY_LAG]


def assert_same(one, other, fields):
    for field in fields:
        differ = np.flatnonzero(one[field] != other[field])
        assert not len(differ), (field, differ[0], one[differ[0]], other[differ[0]])


def assert_dirty(commands, answers, golden):
    """Assert that D of a page is told, but for what a TLB has from before another port's write."""
    lags = golden["dirty"] > answers["dirty"]
    assert (answers["dirty"] <= golden["dirty"]).all()
    takes_place = (commands["kind"] == AccessKind.WRITE) & (commands["purpose"] == Purpose.ACCESS)
    assert not (lags & takes_place).any()


def simulators(config, latency, memory):
    """Return an engine of every kind that runs hardware and is there, and a memory for each."""
    names = ["amaranth", "cxxrtl", *["verilator"] * HAS_VERILATOR]
    return ([create(name, config, latency) for name in names],
            [memory, *(memory.copy() for _ in names[1:])])


def assert_same_runs(engines, memories, commands, **options):
    """Assert that engines do the same in every cycle; return what they do."""
    first, *others = (engine.run(memory, commands, **options)
                      for engine, memory in zip(engines, memories, strict=True))
    for memory, other in zip(memories[1:], others, strict=True):
        assert_same(first.answers, other.answers, ANSWER.names)
        assert first.cycles == other.cycles
        assert first.events == other.events
        assert (first.stopped, first.done) == (other.stopped, other.done)
        assert first.bus_errors.tolist() == other.bus_errors.tolist()
        assert (memories[0].frames == memory.frames).all()
    return first
