"""The model engine: walks together or one by one give the same answers, and the same memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import IA32, MODES, Entry, InvalidateOp, Vector
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.command import Op, accesses, exchange, invalidation, read, wait
from pagewalk.sim.engine.model import ModelEngine

from ..hdl.tables import PERMISSIVE, Tables
from ..model.mmu.scalar import FLAGS, random_accesses, random_controls, random_memory, rows_of

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)

ONE_BY_ONE = 1 << 60


class Engine(ModelEngine):
    """A model engine that walks ``shortest`` accesses or more in a row together."""

    def __init__(self, mode, shortest, paddr_bits=40):
        super().__init__(mode, paddr_bits)
        self.SHORTEST_BATCH = shortest


def random_commands(rng, mode, memory, cr3, count):
    """Return accesses of all sorts, each with registers of its own, and other commands between.

    Other processors read and write entries, some of them where there is no memory.
    """
    control = random_controls(rng, mode, cr3, count)
    access = random_accesses(rng, mode, count)
    commands = accesses(control, access.vaddr, access.kind,
                        **{name: getattr(access, name) for name in FLAGS})
    words = memory.frames.view(f"<u{mode.entry_bytes}")
    row, index = rng.choice(np.argwhere(words), count).T
    pfns, rows = memory.index()
    paddrs = (pfns[np.argsort(rows)][row] << 12) + mode.entry_bytes * index.astype(np.uint64)
    paddrs[rng.random(count) < 0.1] += np.uint64(1 << 50)
    entries = rng.permutation(words[row, index])
    others = [exchange(paddrs, entries), read(paddrs), np.repeat(wait(1), count),
              np.repeat(invalidation(Control(0), InvalidateOp.INVPCID_ALL), count)]
    # In stretches, so that there are runs of accesses long and short.
    stretch = np.repeat(rng.integers(0, 8, count), rng.integers(1, 60, count))[:count]
    for number, other in enumerate(others):
        commands[stretch == number] = other[stretch == number]
    return commands


def assert_same(engines, memory, commands):
    """Assert that all engines do the same; return what."""
    memories = [memory.copy() for _ in engines]
    runs = [engine.run(own, commands) for engine, own in zip(engines, memories, strict=True)]
    for run, own in zip(runs, memories, strict=True):
        assert run.answers.dtype == ANSWER
        assert (run.answers == runs[0].answers).all()
        assert (own.frames == memories[0].frames).all()
        assert (run.cycles, run.events) == (0, {})
    return runs[0].answers


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("seed", range(5))
def test_accesses_walked_together_are_answered_as_one_by_one(mode, seed):
    rng = default_rng(seed)
    paddr_bits = int(rng.integers(32, 53))
    memory, cr3 = random_memory(rng, mode, paddr_bits)
    commands = random_commands(rng, mode, memory, cr3, 1500)
    engines = [Engine(mode, shortest, paddr_bits) for shortest in (ONE_BY_ONE, 1, 2, 30)]
    answers = assert_same([*engines, ModelEngine(mode, paddr_bits)], memory, commands)
    vectors = set(answers["vector"][commands["op"] == Op.ACCESS].tolist())
    assert vectors >= {0, Vector.PF}
    assert answers["value"].any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("aaaaaerwi"), max_size=30), st.integers(1, 10))
def test_any_order_of_commands(letters, shortest):
    mode = MODES["x86_64"]
    tables = Tables(mode)
    path = tables.map(0x12_3000, 0x5000, PERMISSIVE & ~(Entry.A | Entry.D))
    access = accesses(Control(tables.cr3), 0x12_3ABC, 1)
    entry = tables.read(path[-1])
    sorts = {"a": access, "e": exchange(path[-1], entry), "r": read(path[-1]), "w": wait(2),
             "i": invalidation(Control(0), InvalidateOp.INVPCID_ALL)}
    commands = np.concatenate([access[:0], *(sorts[letter] for letter in letters)])
    answers = assert_same(
        [Engine(mode, ONE_BY_ONE), Engine(mode, shortest)], tables.memory, commands)
    in_memory = entry
    for letter, answer in zip(letters, answers, strict=True):
        assert answer["paddr"] == (0x5ABC if letter == "a" else 0)
        assert answer["value"] == (in_memory if letter in "er" else 0)
        in_memory = {"a": in_memory | Entry.A | Entry.D, "e": entry}.get(letter, in_memory)


@every_mode
@pytest.mark.parametrize("shortest", [1, ONE_BY_ONE])
def test_what_others_write_is_met_and_what_walks_set_is_read(mode, shortest):
    tables = Tables(mode)
    *_, pte = tables.map(0x12_3000, 0x5000)
    control = Control(tables.cr3)
    access = np.repeat(accesses(control, 0x12_3ABC, 1), 3)
    other = 0x9000 | Entry.P | Entry.RW | Entry.US
    commands = np.concatenate([access, exchange(pte, other), access, read(pte)])
    answers = Engine(mode, shortest).run(tables.memory, commands).answers
    assert answers["paddr"].tolist() == [0x5ABC] * 3 + [0] + [0x9ABC] * 3 + [0]
    assert answers["value"][[3, 7]].tolist() == [0x5000 | PERMISSIVE, other | Entry.A | Entry.D]


@pytest.mark.parametrize("shortest", [1, ONE_BY_ONE])
def test_an_access_that_crosses_a_page_is_answered_for_both(shortest):
    tables = Tables(IA32)
    tables.map(0x12_3000, 0x5000)
    *_, second = tables.map(0x12_4000, 0x9000)
    control = Control(tables.cr3)
    commands = np.concatenate([
        accesses(control, 0x12_3FFC, size=[0, 4, 5, 16]), exchange(second, 0),
        accesses(control, 0x12_3FFC, size=[4, 5])])
    engine = Engine(Config(mode=IA32, access_bytes=16), shortest)
    answers = engine.run(tables.memory, commands).answers
    assert answers["paddr"].tolist() == [0x5FFC] * 4 + [0, 0x5FFC, 0]
    assert answers["second_paddr"].tolist() == [0, 0, 0x9000, 0x9000, 0, 0, 0]
    assert answers["vaddr"].tolist() == [0] * 6 + [0x12_4000]
    assert answers["vector"].tolist() == [0] * 6 + [Vector.PF]


def test_no_commands_have_no_answers():
    tables = Tables(MODES["ia32"])
    for shortest in (1, 28):
        run = Engine(MODES["ia32"], shortest).run(tables.memory, accesses(Control(0), [])[:0])
        assert run.answers.shape == (0,)


@every_mode
def test_an_access_without_a_record_is_answered_as_one_with_it(mode):
    rng = default_rng(1)
    memory, cr3 = random_memory(rng, mode, 40)
    control, access = random_controls(rng, mode, cr3, 200), random_accesses(rng, mode, 200)
    engine, other = ModelEngine(mode), memory.copy()
    expected = engine.run(memory, accesses(
        control, access.vaddr, access.kind,
        **{name: getattr(access, name) for name in FLAGS})).answers
    found = np.array([engine.access(other, *row) for row in rows_of(control, access)], ANSWER)
    assert (found == expected).all()
    assert (other.frames == memory.frames).all()
    assert {0, 1} == set(found["fault"].tolist())
