"""The TLB in sets, next to the MMU in Amaranth's simulator, and to plain lists."""

import random

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import X86_64, Entry, InvalidateOp
from pagewalk.sim.engine import create
from pagewalk.sim.engine.command import accesses, invalidation
from pagewalk.sim.explain.set_tlb import SetTlb

PAGE = 4096
FLAGS = Entry.P | Entry.RW | Entry.US


def tables(pages):
    """Four levels of tables, with pages at the lowest addresses, every third of them global."""
    memory = PhysicalMemory(8)
    memory.add(range(1, 5))
    for table in (1, 2, 3):
        memory.write(table * PAGE, 8, (table + 1) * PAGE | FLAGS)
    for page in range(pages):
        memory.write(4 * PAGE + 8 * page, 8,
                     (16 + page) * PAGE | FLAGS | (Entry.G if page % 3 == 0 else 0))
    return memory


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_hits_and_misses_are_those_of_the_hardware(seed):
    rng = random.Random(seed)
    config = Config(mode=X86_64, ports=("data",), entries=4, policy="lru", walk_cache=0)
    engine = create("amaranth", config, 1)
    control, pages = Control(PAGE), 7
    memory = tables(pages)
    tlb = SetTlb(tables(pages), X86_64, 1, 4)
    commands, expected = [], []
    for _ in range(300):
        vaddr, chance = rng.randrange(pages) * PAGE + rng.randrange(PAGE), rng.random()
        if chance < 0.1:
            tlb.invlpg(control, vaddr)
            commands.append(invalidation(control, [InvalidateOp.INVLPG], vaddr=[vaddr]))
        elif chance < 0.15:
            tlb.mov_cr3()
            commands.append(invalidation(control, [InvalidateOp.MOV_CR3], old=[0], new=[PAGE]))
        else:
            expected.append(tlb.access(control, vaddr) is None)
            commands.append(accesses(control, [vaddr], 0, user=True))
    answers = engine.run(memory, np.concatenate(commands)).answers
    asked = answers["answered"] > 0
    hits = [bool(hit) for hit, paddr in zip(answers["hit"], answers["paddr"], strict=True) if paddr]
    assert asked.any()
    assert hits == expected
    assert 50 < sum(hits) < 250


@pytest.mark.parametrize(("sets", "ways"), [(1, 4), (2, 2), (4, 1)])
def test_a_set_keeps_what_was_used_last(sets, ways):
    rng = random.Random(sets)
    tlb, control = SetTlb(tables(12), X86_64, sets, ways), Control(PAGE)
    used = []
    for _ in range(500):
        page = rng.randrange(12)
        recent = [one for one in dict.fromkeys(reversed(used)) if one % sets == page % sets][:ways]
        assert (tlb.access(control, page * PAGE) is None) == (page in recent)
        used.append(page)


def test_entries_of_another_pcid_are_not_used():
    one, other = (Control(PAGE | pcid, cr4=1 << 17 | 1 << 5 | 1 << 7) for pcid in (1, 2))
    tlb = SetTlb(tables(4), X86_64, 1, 4)
    assert tlb.access(one, PAGE) is not None
    assert tlb.lookup(other, PAGE) is None
    assert tlb.access(one, 0) is not None
    assert tlb.lookup(other, 0) is not None  # it is global
    tlb.mov_cr3(1)
    assert (tlb.lookup(one, PAGE), tlb.lookup(one, 0) is None) == (None, False)
