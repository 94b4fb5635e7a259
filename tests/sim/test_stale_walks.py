"""Walks beside a page fault: what it ends is not used, or cached, by a walk of another port.

A page directory entry that is cached points to an old page table, the one in memory to a new one.
Nothing is invalidated but by the page fault, after which another processor writes to the old table:
what it writes there must not be found by accesses that come after the fault. [SDM 4.10.4.1]
"""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import IA32, X86_64, Cr0, Cr4, Entry, InvalidateOp
from pagewalk.sim.engine import create
from pagewalk.sim.engine.command import Op, accesses, exchange, invalidation, wait
from pagewalk.sim.referee import Referee

from ..hdl.tables import PERMISSIVE, Tables

pytestmark = pytest.mark.slow

FIRST, FAULTING, WALKED, BESIDE = (0x1234_5000 + 0x1000 * number for number in range(4))
FAR = 0x7654_3000
A, B = 0, 1  # ports
DELAYS = range(22)
LATER = 60  # cycles after which no walk is under way
SUPERVISOR = PERMISSIVE & ~Entry.US


class Scene:
    """The page tables, old and new, and the commands that both orders of events have in common."""

    def __init__(self, mode, faulting):
        """``faulting`` is the leaf of the page that faults."""
        self.tables = tables = Tables(mode)
        self.control = Control(tables.cr3, cr0=Cr0.PG | Cr0.WP,
                               cr4=Cr4.PAE if mode is X86_64 else Cr4.PSE)
        tables.map(FAR, 0x5000)
        for vaddr in (FIRST, FAULTING, WALKED, BESIDE):
            *_, self.pde, leaf = tables.map(vaddr, 0x10_0000 | vaddr & 0xF000)
        tables.write(leaf - 2 * mode.entry_bytes, faulting)
        self.old, self.new = leaf & -0x1000, tables.new_table()
        self.leaves = leaf - mode.entry_bytes, leaf
        for offset in range(0, 0x1000, mode.entry_bytes):
            entry = tables.read(self.old + offset)
            tables.write(self.new + offset, entry + 0x10_0000 if entry else 0)

    def access(self, port, vaddr, **flags):
        return accesses(self.control, vaddr, port=port, **flags)

    def move(self):
        return exchange(self.pde, self.new | PERMISSIVE)

    def write_old_table(self):
        return exchange(self.leaves, 0x90_0000 | PERMISSIVE)

    def access_later(self):
        return np.concatenate([wait(LATER), self.access(B, [WALKED, BESIDE]), wait(LATER)])

    def restore(self):
        """Have old and new tables again as they were, and nothing else in any cache."""
        values = [self.tables.read(paddr) for paddr in (self.pde, *self.leaves)]
        return np.concatenate([exchange((self.pde, *self.leaves), values),
                               invalidation(self.control, InvalidateOp.INVPCID_ALL)])


def behind_a_walk(scene, delay):
    """A walk that faults, and behind it another port's, while the walk cache has the old table."""
    return [scene.access(B, FIRST), wait(LATER), scene.move(), scene.access(A, FAULTING),
            scene.access(B, WALKED), wait(delay + 1), scene.write_old_table()]


def beside_a_hit(scene, delay):
    """A hit that faults while another port's walk is in the old table."""
    # FAR replaces what the walk cache has of FAULTING.
    return [scene.access(A, [FAULTING, FAR]), wait(LATER), scene.access(B, WALKED),
            wait(delay + 1), scene.move(), scene.access(A, FAULTING, user=1), wait(1),
            scene.write_old_table()]


@pytest.mark.parametrize("walkers", [1, 3])
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
@pytest.mark.parametrize(("order", "faulting", "latency"), [
    (behind_a_walk, 0, 1), (behind_a_walk, 0, 6), (beside_a_hit, 0x10_6000 | SUPERVISOR, 6)],
    ids=["behind a walk", "behind a slow walk", "beside a hit"])
def test_what_a_page_fault_ends_is_not_found_by_accesses_after_it(
        mode, order, faulting, latency, walkers):
    scene = Scene(mode, faulting)
    referee = Referee(mode, scene.tables.memory, scene.control)
    commands = np.concatenate([
        part for delay in DELAYS
        for part in (*order(scene, delay), scene.access_later(), scene.restore())])
    config = Config(mode=mode, entries=8, walk_cache=1, policy="lru", walkers=walkers)
    engine = create("amaranth", config, latency)
    answers = engine.run(scene.tables.memory, commands).answers
    referee.judge(commands, answers)
    faults = answers[answers["fault"] == 1]
    assert len(faults) == len(DELAYS)
    if order is behind_a_walk:  # the old table is also written in the cycle of the fault's answer
        assert set(faults["answered"]) & set(answers["accepted"][commands["op"] == Op.EXCHANGE])
    else:  # the walk under way also finds what is written after the fault
        assert (answers["paddr"] == 0x90_0000).any()
