"""MMUs with one mistake each in what they forget, which a real kernel must stumble over.

A mistake drives some signals once more at the end of an ``elaborate``: the last assignment counts.
"""

from contextlib import contextmanager

import pytest

from pagewalk.hdl.invalidate import Invalidator
from pagewalk.hdl.mmu import Mmu
from pagewalk.hdl.shapes import InvalidateOp
from pagewalk.hdl.walk_cache import WalkCache
from pagewalk.model.x86 import Cr4

INVPCID = [op for op in InvalidateOp if op.name.startswith("INVPCID")]


def ignores(*ops):
    """Return the mistake that the operations ``ops`` drop nothing."""

    def change(m, invalidator):
        for op in ops:
            with m.If(invalidator.flush & (invalidator.operation.payload.op == op)):
                m.d.comb += invalidator.drop.valid.eq(0)

    return {Invalidator: change}


def keeps_globals(m, invalidator):
    with m.If(invalidator.flush & (invalidator.operation.payload.op == InvalidateOp.INVLPG)):
        m.d.comb += invalidator.drop.globals.eq(0)


def ignores_pge(m, invalidator):
    operation = invalidator.operation.payload
    with m.If(invalidator.flush & (operation.op == InvalidateOp.MOV_CR4)
              & (operation.old ^ operation.new == Cr4.PGE)):
        m.d.comb += invalidator.drop.valid.eq(0)


def ignores_page_faults(m, invalidator):
    m.d.comb += invalidator.drop.valid.eq(invalidator.flush)


def one_pcid_in_the_mmu(m, mmu):
    for name in (*mmu._config.ports, "invalidator"):
        m.d.comb += getattr(m.submodules, name).control.pcid.eq(0)


def one_pcid_to_drop(m, invalidator):
    m.d.comb += invalidator.drop.pcid.eq(0)


def keeps_tables(m, walk_cache, when):
    """Let the walk cache keep what it holds when the drop is as ``when`` says."""
    for level in walk_cache._config.mode.levels[:-1]:
        with m.If(when(walk_cache.drop)):
            m.d.comb += getattr(m.submodules, level.name.lower()).drop.valid.eq(0)


def keeps_tables_over_cr3(m, walk_cache):
    keeps_tables(m, walk_cache, lambda drop: drop.by_pcid & ~drop.by_address & ~drop.globals)


def keeps_tables_over_invlpg(m, walk_cache):
    keeps_tables(m, walk_cache, lambda drop: drop.by_address & ~drop.tables_by_address)


BUGS = {
    "PCID ignored": {Mmu: one_pcid_in_the_mmu, Invalidator: one_pcid_to_drop},
    "INVLPG ignored": ignores(InvalidateOp.INVLPG),
    "INVLPG keeps global pages": {Invalidator: keeps_globals},
    "INVPCID ignored": ignores(*INVPCID),
    "MOV CR3 ignored": ignores(InvalidateOp.MOV_CR3),
    "MOV CR3 keeps the walk cache": {WalkCache: keeps_tables_over_cr3},
    "INVLPG keeps the walk cache": {WalkCache: keeps_tables_over_invlpg},
    "CR4.PGE toggled without a flush": {Invalidator: ignores_pge},
    "#PF drops nothing": {Invalidator: ignores_page_faults},
}
"""What each mistake changes, by component."""


@contextmanager
def planted(bug):
    """Have hardware that is made in the block make the mistake ``bug``, None for none."""
    with pytest.MonkeyPatch.context() as patch:
        for component, change in BUGS.get(bug, {}).items():
            patch.setattr(component, "elaborate", _changed(component.elaborate, change))
        yield


def _changed(original, change):
    def elaborate(self, platform):
        m = original(self, platform)
        change(m, self)
        return m

    return elaborate
