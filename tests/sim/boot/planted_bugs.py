"""An MMU with mistakes in what it forgets, one at a time, which a real kernel must stumble over.

It is compiled once: the mistake that it makes is chosen while it runs, by INVPCID of type 1, which
no recorded boot has, with the number of the mistake as PCID. A mistake drives some signals once
more at the end of an ``elaborate``, as the last assignment counts.
"""

import numpy as np
import pytest
from amaranth import Signal

from pagewalk.hdl.config import Config
from pagewalk.hdl.invalidate import Invalidator
from pagewalk.hdl.mmu import Mmu
from pagewalk.hdl.shapes import InvalidateOp
from pagewalk.hdl.walk_cache import WalkCache
from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import X86_64, Cr4
from pagewalk.sim.engine import compiled, create, recipe
from pagewalk.sim.engine.command import invalidation

BUGS = (
    "none",
    "PCID ignored",
    "INVLPG ignored",
    "INVLPG keeps global pages",
    "INVLPG keeps the walk cache",
    "INVPCID ignored",
    "MOV CR3 ignored",
    "MOV CR3 keeps the walk cache",
    "CR4.PGE toggled without a flush",
    "#PF drops nothing",
)
"""The mistakes by their numbers."""

LARGE = 64  # entries of a TLB


class BuggyEngine:
    """The engine ``cxxrtl`` with the MMU that makes the mistake ``bug``, at first none."""

    def __init__(self, mode=X86_64, **parameters):
        choice = Signal(range(len(BUGS)))
        changes = {Invalidator: _invalidator, WalkCache: _walk_cache, Mmu: _mmu}
        with pytest.MonkeyPatch.context() as patch:
            for component, change in changes.items():
                patch.setattr(component, "elaborate", _changed(component, change, choice))
            # The text of a design is kept, which would be that without the mistakes, or with them.
            patch.setattr(compiled, "design_text", compiled.design_text.__wrapped__)
            # Compiled in half the time; it runs half as fast, which is fast enough. For large TLBs
            # g++ would optimise for longer than the replay of a window takes without.
            level = "-O0" if parameters.get("entries", 0) > LARGE else "-O1"
            patch.setattr(recipe, "FLAGS", (level, *(f for f in recipe.FLAGS if f != "-O3")))
            self._engine = create("cxxrtl", Config(mode, **parameters))

    def choose(self, bug):
        """Make the mistake ``bug`` from now on, with empty TLBs."""
        for number, op in ((0, InvalidateOp.INVPCID_CONTEXT), (0, InvalidateOp.INVPCID_ALL),
                           (BUGS.index(bug), InvalidateOp.INVPCID_CONTEXT)):
            self._engine.run(PhysicalMemory(), invalidation(Control(0), op.value, pcid=number))

    def run(self, memory, commands, **options):
        """Run commands as any engine does."""
        assert not np.any(commands["invalidate"] == InvalidateOp.INVPCID_CONTEXT.value)
        return self._engine.run(memory, commands, **options)


def _changed(component, change, choice):
    original = component.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        change(m, self, lambda bug: choice == BUGS.index(bug), choice)
        return m

    return elaborate


def _invalidator(m, invalidator, chosen, choice):
    operation, drop = invalidator.operation.payload, invalidator.drop
    op = operation.op
    with m.If(invalidator.flush & (op == InvalidateOp.INVPCID_CONTEXT)):
        m.d.sync += choice.eq(operation.pcid)
    with m.If(chosen("PCID ignored")):
        m.d.comb += drop.pcid.eq(0)
    with m.If(chosen("#PF drops nothing")):
        m.d.comb += drop.valid.eq(invalidator.flush)
    with m.If(invalidator.flush & chosen("INVLPG keeps global pages")
              & (op == InvalidateOp.INVLPG)):
        m.d.comb += drop.globals.eq(0)
    ignored = (
        (chosen("INVLPG ignored") & (op == InvalidateOp.INVLPG))
        | (chosen("MOV CR3 ignored") & (op == InvalidateOp.MOV_CR3))
        | (chosen("INVPCID ignored") & ((op == InvalidateOp.INVPCID_ADDRESS)
                                        | (op == InvalidateOp.INVPCID_ALL)))
        | (chosen("CR4.PGE toggled without a flush") & (op == InvalidateOp.MOV_CR4)
           & (operation.old ^ operation.new == Cr4.PGE)))
    with m.If(invalidator.flush & ignored):
        m.d.comb += drop.valid.eq(0)


def _walk_cache(m, walk_cache, chosen, _choice):
    drop = walk_cache.drop
    over_cr3 = drop.by_pcid & ~drop.by_address & ~drop.globals
    over_invlpg = drop.by_address & ~drop.tables_by_address
    kept = ((chosen("MOV CR3 keeps the walk cache") & over_cr3)
            | (chosen("INVLPG keeps the walk cache") & over_invlpg))
    for level in walk_cache._config.mode.levels[:-1]:
        with m.If(kept):
            m.d.comb += getattr(m.submodules, level.name.lower()).drop.valid.eq(0)


def _mmu(m, mmu, chosen, _choice):
    for name in (*mmu._config.ports, "invalidator"):
        with m.If(chosen("PCID ignored")):
            m.d.comb += getattr(m.submodules, name).control.pcid.eq(0)
