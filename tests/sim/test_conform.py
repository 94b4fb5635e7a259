"""Access vectors: whoever answers right agrees, and whoever does not is found out."""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import IA32, MODES, X86_64, AccessKind, Vector
from pagewalk.sim.conform import conform
from pagewalk.sim.engine import create
from pagewalk.sim.engine.answer import ANSWER, PAGE_RIGHTS, SECOND
from pagewalk.sim.engine.base import Run
from pagewalk.sim.engine.command import Op
from pagewalk.sim.engine.model import ModelEngine
from pagewalk.sim.vectors import NO_PADDR, Vectors

from .engine_runs import COMPILED


@pytest.fixture
def few(vectors):
    """Some of them, more than go into one run of an engine."""
    return vectors.thin(400)


class FakeHardware:
    """An engine that is right but for what ``spoil`` does to each run."""

    def __init__(self, mode, spoil):
        self.model, self.spoil = ModelEngine(mode), spoil

    def run(self, memory, commands):
        answers = self.model.run(memory, commands).answers
        self.spoil(memory, commands, answers)
        return Run(answers, cycles=100, events={"data_lookup": 3})


def mismatches(vectors, engine=None):
    """Return the mismatches by field, after checking that the result adds up."""
    result = conform(vectors, engine or ModelEngine(vectors.mode))
    assert result.total == result.accesses == len(vectors)
    assert result.agreed == (not result.mismatches_by_field)
    assert result.mismatches <= sum(result.mismatches_by_field.values())
    assert bool(result.first) == bool(result.mismatches)
    return dict(result.mismatches_by_field)


# Agreement


def test_the_model_agrees_with_the_emulator_in_every_field(vectors):
    assert mismatches(vectors) == {}


@pytest.mark.slow
@pytest.mark.parametrize("engine", COMPILED)
@pytest.mark.parametrize("latency", [1, 3])
def test_compiled_hardware_agrees_with_the_emulator_in_every_field(vectors, latency, engine):
    result = conform(vectors, create(engine, Config(vectors.mode), latency))
    assert (result.total, result.agreed) == (4000, True)
    lookups = sum(count for name, count in result.events.items() if name.endswith("_lookup"))
    misses = sum(count for name, count in result.events.items() if name.endswith("_miss"))
    canonical = np.count_nonzero(vectors["vector"] != Vector.GP)
    assert lookups == misses == canonical  # every access met empty TLBs
    assert result.cycles > 10 * result.total


@pytest.mark.slow
def test_simulated_hardware_agrees_with_the_emulator(vectors):
    assert mismatches(vectors.thin(60), create("amaranth", Config(vectors.mode))) == {}


def test_entries_may_lie_in_any_frames(few):
    """The files at hand have a frame for each level; here each access has frames of its own."""
    moved = {name: array.copy() for name, array in few.fields.items()}
    entry_pa, reached = moved["entry_pa"], few.reached
    for level in range(len(few.mode.levels)):
        frames = np.uint64(0x20_0000) + (np.arange(len(few), dtype=np.uint64) << 15) + (level << 12)
        move = (entry_pa[:, level] & ~np.uint64(0xFFF) ^ frames) * reached[:, level]
        entry_pa[:, level] ^= move
        for name in ("before", "after") if level else ():
            # The entry above points there if it pointed at the table.
            above = few[name][:, level - 1]
            pointed = (above ^ few["entry_pa"][:, level]) & 0xFF_FFFF_F000 == 0
            moved[name][:, level - 1] ^= move * pointed
    again = Vectors(few.mode, moved, few.row)
    assert len(again.frames()) == reached.sum()
    assert mismatches(again) == {}


# What the engine is asked


class Observer:
    """An engine that lets a test see memory before each command."""

    def __init__(self, mode, see):
        self.model, self.see = ModelEngine(mode), see

    def run(self, memory, commands):
        answers = []
        for command in commands:
            self.see(memory, command)
            answers.append(self.model.run(memory, np.array([command])).answers)
        return Run(np.concatenate(answers))


@pytest.mark.slow
def test_an_access_has_the_memory_to_itself(few):
    seen = []

    def see(memory, command):
        if command["op"] == Op.ACCESS:
            row = len(seen)
            expected = few.take(slice(row // 256 * 256, row // 256 * 256 + 256)).tables(row % 256)
            assert set(memory.index()[0].tolist()) == set(expected.index()[0].tolist())
            assert (memory.frames[np.argsort(memory.index()[1])]
                    == expected.frames[np.argsort(expected.index()[1])]).all()
            seen.append(command)

    conform(few, Observer(few.mode, see))
    accesses = np.array(seen)
    assert (accesses["vaddr"] == few["va"]).all()
    assert (accesses["kind"] == few["kind"]).all()
    assert (accesses["user"] == (few["cpl"] == 3)).all()
    assert (accesses["cr3"] == few["entry_pa"][:, 0] & ~np.uint64(0xFFF)).all()
    assert ((accesses["port"] == 0) == (few["kind"] == AccessKind.FETCH)).all()
    for name in "ac", "cr0", "cr4", "efer", "pkru":
        assert (accesses[name] == few[name]).all()


def test_limit_and_progress(few):
    seen = []
    result = conform(few, ModelEngine(few.mode), limit=300, progress=lambda *at: seen.append(at))
    assert result.total == result.accesses == 300
    assert seen == [(256, 300), (300, 300)]


# Hardware that is not right


def spoiled(vectors, name):
    """Return the mismatches of an engine that flips a bit of one field of every answer."""

    def spoil(_memory, commands, answers):
        which = np.isin(commands["op"], [Op.ACCESS, Op.READ])
        answers[name][which] ^= 1

    return mismatches(vectors, FakeHardware(vectors.mode, spoil))


def test_a_wrong_field_of_an_answer_is_found_in_its_field(few):
    faults, page_faults = few["fault"] == 1, few["vector"] == Vector.PF
    assert spoiled(few, "vector") == {"vector": faults.sum()}
    assert spoiled(few, "error") == {"error": len(few)}
    assert spoiled(few, "vaddr") == {"cr2": page_faults.sum()}
    assert spoiled(few, "paddr") == {"pa": (~faults).sum()}
    assert spoiled(few, "fault") == {"fault": len(few), "vector": len(few), "pa": len(few)}
    assert spoiled(few, "value") == {
        f"after_{level.name.lower()}": few.reached[:, number].sum()
        for number, level in enumerate(few.mode.levels)}


def test_every_other_field_of_an_answer_is_not_in_the_vectors(few):
    others = set(ANSWER.names) - {"vector", "error", "vaddr", "paddr", "fault", "value"}
    assert others == {"accepted", "answered", "page", "memory_type", "hit", "lost", *PAGE_RIGHTS,
                      *SECOND.values()}
    assert all(spoiled(few, name) == {} for name in others)


def test_one_wrong_answer_is_one_mismatch(few):
    def spoil(_memory, commands, answers):
        rows = np.flatnonzero(commands["op"] == Op.ACCESS)
        if len(rows) == 400 - 256:
            answers["error"][rows[7]] ^= 4

    result = conform(few, FakeHardware(few.mode, spoil))
    assert (result.mismatches, result.mismatches_by_field) == (1, {"error": 1})
    first, = result.first
    assert first.place == f"row {few.row[256 + 7]}"
    assert first.expected == few["error"][256 + 7] == first.got ^ 4


def test_a_lost_flag_is_found_at_its_level(few):
    """An engine whose memory forgets what is written by compare-and-exchange, one level each."""
    for number, level in enumerate(few.mode.levels):
        def spoil(_memory, commands, answers, number=number):
            reads = np.flatnonzero(commands["op"] == Op.READ)
            paddr, value = commands["vaddr"][reads], answers["value"][reads]
            mine = np.isin(paddr, few["entry_pa"][:, number])
            answers["value"][reads] = np.where(mine, value & ~np.uint64(0x60), value)

        changed = few["after"][:, number] & np.uint64(0x60) != 0
        assert mismatches(few, FakeHardware(few.mode, spoil)) == {
            f"after_{level.name.lower()}": (changed & few.reached[:, number]).sum()}


def test_writing_elsewhere_is_found(few):
    def spoil(memory, *_):
        if len(memory):
            memory.frames[0, 511] = 0x20

    result = conform(few, FakeHardware(few.mode, spoil))
    assert result.mismatches_by_field == {"frames": 2}  # once in each of two runs
    assert {one.field for one in result.first} == {"frames"}
    assert result.first[0].place == f"rows {few.row[0]} to {few.row[255]}"
    assert (result.first[0].expected, result.first[0].got) == (0, 0x20)
    assert result.mismatched_items == 0


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_an_engine_with_another_mmu_is_found_out(mode, vectors_file):
    """MAXPHYADDR decides which bits are reserved, and so whether a fault says RSVD."""
    few = Vectors.load(vectors_file(mode.name)).thin(400)
    found = mismatches(few, ModelEngine(mode, paddr_bits=36))
    assert {"fault", "error", "pa"} <= set(found)


# A record that is not so


def lies(mode):
    names = ["fault", "vector", "error", "cr2", "pa"]
    return [*names, *(("after", number) for number in range(len(mode.levels)))]


@pytest.mark.parametrize(
    ("mode", "lie"), [(mode, lie) for mode in (IA32, X86_64) for lie in lies(mode)], ids=str)
def test_a_wrong_record_is_found_in_its_field(mode, lie, vectors_file):
    few = Vectors.load(vectors_file(mode.name)).thin(400)
    whole = few.reached.all(axis=1) & (few["vector"] == Vector.PF)
    row = int(np.flatnonzero(whole)[10])
    name, *level = (lie,) if isinstance(lie, str) else lie
    few.fields[name][(row, *level)] ^= 1
    field = name if not level else f"after_{mode.levels[level[0]].name.lower()}"
    result = conform(few, ModelEngine(mode))
    assert (result.mismatches, result.mismatches_by_field) == (1, {field: 1})
    first, = result.first
    assert (first.place, first.field) == (f"row {few.row[row]}", field)
    assert first.got == first.expected ^ 1


@pytest.mark.parametrize("name", ["error", "cr2", "pa", "after", "before", "cr4"])
def test_the_model_finds_the_same_with_entries_of_its_own_as_through_memory(name, few):
    """Whatever is wrong with a record, but for tables that lie elsewhere than it says."""
    rows = np.arange(5, len(few), 11)
    few.fields[name][rows] ^= few.fields[name].dtype.type(1 << (20 if name == "cr4" else 0))
    own = conform(few, ModelEngine(few.mode))
    through_memory = conform(few, FakeHardware(few.mode, lambda *_: None))
    assert own.mismatches_by_field == through_memory.mismatches_by_field
    assert own.mismatches == through_memory.mismatches > 0
    assert own.first == through_memory.first


def test_a_mismatch_tells_how_the_golden_model_walks(few):
    row = int(np.flatnonzero(few["fault"] == 0)[20])
    few.fields["pa"][row] ^= 1 << 20
    first, = conform(few, ModelEngine(few.mode)).first
    assert first.walk == walk(few.tables(row), few.mode, first.control, first.walk.access)
    assert first.walk.access.vaddr == few["va"][row]
    assert first.walk.paddr == first.got != first.expected != NO_PADDR
    assert [step.entry for step in first.walk.steps] == [
        entry for entry, reached in zip(few["before"][row].tolist(), few.reached[row], strict=True)
        if reached][:len(first.walk.steps)]
    assert (first.control.cr4, first.control.pkru) == (few["cr4"][row], few["pkru"][row])
