from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, Cr4, Entry, InvalidateOp
from pagewalk.sim.engine.answer import ANSWER, PAGE_RIGHTS, SECOND
from pagewalk.sim.engine.base import Run
from pagewalk.sim.engine.command import Op
from pagewalk.sim.engine.model import ModelEngine
from pagewalk.sim.errors import InputError
from pagewalk.sim.image import UNMAPPED, Image, ProbeFlag, ProbeRight
from pagewalk.sim.image_format import IMAGE
from pagewalk.sim.probe_checks import FETCH, Plan
from pagewalk.sim.replay import replay

from .spoiled_images import (
    change_cache_disable,
    change_pat,
    change_size,
    change_write_through,
    deny_fetch,
    deny_user,
    deny_write,
    first_where,
    grant_user,
    grant_write,
    map_a_hole,
    mapped_4k,
    move_page,
)


class FakeHardware:
    """An engine that is not the model's, right unless told to spoil answers or memory."""

    def __init__(self, mode, spoil=lambda _: None, spoil_memory=lambda _: None):
        self.model = ModelEngine(mode)
        self.spoil, self.spoil_memory = spoil, spoil_memory
        self.commands = []

    def run(self, memory, commands):
        self.commands.append(commands)
        answers = self.model.run(memory, commands).answers
        self.spoil(answers)
        self.spoil_memory(memory)
        return Run(answers, cycles=10 + len(commands), events={"data_lookup": len(commands)})


def mismatches(image, engine=None):
    """Replay, and return the mismatches by field, after checking that the result adds up."""
    result = replay(image, engine or ModelEngine(image.mode))
    assert result.agreed == (not result.mismatches_by_field)
    assert result.mismatches <= sum(result.mismatches_by_field.values())
    assert bool(result.first) == bool(result.mismatches)
    assert {one.field for one in result.first} <= set(result.mismatches_by_field)
    return dict(result.mismatches_by_field)


# Agreement


def test_the_model_agrees_with_every_probe_of_the_shipped_images(shipped):
    result = replay(shipped, ModelEngine(shipped.mode))
    assert result.agreed
    assert result.mismatches_by_field == {}
    assert result.total == len(shipped.views[0].probes)
    assert result.accesses > 3 * result.total
    assert (result.cycles, result.events, result.first) == (0, {}, [])


def test_hardware_that_is_right_agrees(small):
    engine = FakeHardware(small.mode)
    assert mismatches(small, engine) == {}


def test_cycles_and_events_are_summed(small):
    engine = FakeHardware(small.mode)
    result = replay(small, engine)
    commands = sum(map(len, engine.commands))
    assert result.accesses == commands - 1  # and one invalidation
    assert result.cycles == 10 * len(engine.commands) + commands
    assert result.events == {"data_lookup": commands}
    assert result.seconds > 0


def test_a_view_starts_with_an_invalidation_of_everything(small):
    engine = FakeHardware(small.mode)
    replay(small, engine)
    first, *rest = engine.commands
    assert first["op"].tolist() != [Op.ACCESS]
    assert first["invalidate"].tolist() == [InvalidateOp.INVPCID_ALL]
    assert all((commands["op"] == Op.ACCESS).all() for commands in rest)


def test_progress_grows_to_the_total(shipped):
    seen = []
    replay(shipped, ModelEngine(shipped.mode), limit=1000, progress=lambda *at: seen.append(at))
    assert seen[-1] == (1000, 1000)
    assert seen == sorted(set(seen))
    assert len(seen) > 2


def test_limit_and_views_choose_probes(small):
    engine = ModelEngine(small.mode)
    assert replay(small, engine, limit=17).total == 17
    assert replay(small, engine, views=[small.views[0].name], limit=10**6).total == 300
    with pytest.raises(InputError, match="view_name has no 'none'"):
        replay(small, engine, views=["none"])


def test_a_replay_leaves_the_image_as_it_was(small):
    before = small.views[0].memory().frames.copy()
    replay(small, ModelEngine(small.mode))
    assert (small.views[0].memory().frames == before).all()


def test_write_protection_is_on_whatever_the_image_says(arrays, write_image):
    arrays["cr0"][0] &= ~np.uint64(Cr0.WP)
    assert mismatches(Image.load(write_image(arrays))) == {}


RECORDS = [
    (move_page, {"paddr": 1}),
    (change_size, {"page_size": 1}),
    (grant_write, {"write": 1}),
    (deny_write, {"write": 1}),
    (grant_user, {"user": 1}),
    (deny_user, {"user": 1}),
    (deny_fetch, {"fetch": 1}),
    (change_write_through, {"memory_type": 1}),
    (change_cache_disable, {"memory_type": 1}),
    (change_pat, {"memory_type": 1}),
    (map_a_hole, {"present": 1, "error": 1}),  # its writes and user reads fault with P=0
]


@pytest.mark.parametrize(("lie", "found"), RECORDS, ids=[
    lie.__name__ for lie, _ in RECORDS])
def test_a_wrong_record_is_found_in_its_field(lie, found, arrays, write_image):
    lie(arrays)
    assert mismatches(Image.load(write_image(arrays))) == found


def test_a_page_said_to_be_a_hole_is_found(arrays, write_image):
    row = mapped_4k(arrays)
    arrays["probe_pa"][row], arrays["probe_size"][row] = UNMAPPED, 0
    found = mismatches(Image.load(write_image(arrays)))
    assert found["present"] == 1
    assert set(found) <= {"present", "error"}  # its faults, if any, come with P=1


# Page tables that are not those of the record


def leaf_of(image, row):
    """Return the position in ``frame_data`` of the leaf entry of a probe."""
    view = image.views[0]
    va = int(view.probes.va[row])
    step = walk(view.memory(), image.mode, view.control, Access(va, ac=True)).steps[-1]
    frame = first_where(view.pfns == step.paddr >> 12)
    return frame, (step.paddr & 0xFFF) // image.mode.entry_bytes


TABLES = [
    (Entry.P, {"present"}, {"present", "write", "user", "fetch", "error"}),
    (Entry.RW, {"write"}, {"write"}),
    (Entry.US, {"user"}, {"user", "fetch"}),
    (Entry.PWT, {"memory_type"}, {"memory_type"}),
    (Entry.PAT, {"memory_type"}, {"memory_type"}),
    (1 << 12, {"paddr"}, {"paddr"}),
]


@pytest.mark.parametrize(("bit", "least", "most"), TABLES, ids=[
    "P", "RW", "US", "PWT", "PAT", "address"])
def test_a_flipped_bit_of_a_leaf_is_found(bit, least, most, small, arrays, write_image):
    entry = leaf_of(small, mapped_4k(arrays, 7))
    arrays["frame_data"][entry] ^= bit
    assert least <= set(mismatches(Image.load(write_image(arrays)))) <= most


def test_a_lost_no_execute_bit_is_found(arrays_of, write_image):
    image = Image.shipped(X86_64).cut(limit=300)
    arrays = arrays_of(image)
    entry = leaf_of(image, mapped_4k(arrays, 7, ProbeFlag.X))
    arrays["frame_data"][entry] ^= Entry.XD
    assert set(mismatches(Image.load(write_image(arrays)))) == {"fetch"}


def test_a_fetch_is_judged_where_smep_does_not_decide(small):
    """A user page whose leaf has X is fetched as user: as supervisor SMEP would refuse anyway."""
    view = small.views[0]
    assert view.control.cr4 & Cr4.SMEP
    plan = Plan.of(view.probes, view.control)
    fetch = (plan.check == FETCH) & view.probes.has_rights[plan.probe]
    user = view.probes.rights[plan.probe] & ProbeRight.USER != 0
    assert (plan.commands["user"][fetch] == user[fetch]).all()
    assert (plan.commands["kind"][fetch] == AccessKind.FETCH).all()


def test_only_what_was_recorded_is_judged(small):
    probes = small.views[0].probes
    plan = Plan.of(probes, small.views[0].control)
    made = Counter(plan.probe.tolist())
    for index in range(len(probes)):
        recorded = not probes.mapped[index] or probes.rights[index] != 0xFF
        assert made[index] == (4 if recorded else 1)


def test_a_non_canonical_probe_ends_in_a_general_protection_fault(arrays_of, write_image):
    arrays = arrays_of(Image.shipped(X86_64).cut(limit=50))
    arrays["probe_va"][first_where(arrays["probe_pa"] == UNMAPPED)] = 0x0008_0000_0000_0000
    assert mismatches(Image.load(write_image(arrays))) == {}


# Hardware that is not right

SPOILS = {
    "paddr": {"model_paddr", "paddr"},
    "page": {"model_page", "page_size"},
    "memory_type": {"model_memory_type", "memory_type"},
    "error": {"model_error", "error"},
    "vector": {"model_vector", "vector"},
    "vaddr": {"model_vaddr", "cr2"},
    "value": {"model_value"},
    "accepted": set(),
    "answered": set(),
    "hit": set(),
    **{name: {"model_" + name} for name in ("lost", *PAGE_RIGHTS, *SECOND.values())},
}


@pytest.mark.parametrize("name", SPOILS)
def test_a_wrong_field_of_an_answer_is_found(name, small):
    def spoil(answers):
        answers[name] ^= 1

    found = mismatches(small, FakeHardware(small.mode, spoil))
    assert set(found) == SPOILS[name]
    if found:
        # Only of what a write leaves is it known whether the page is dirty.
        assert found["model_" + name] == (written(small) if name == "dirty" else 300)


def written(image):
    """Return how many probes are written to, in a replay of an image."""
    return sum(int(np.count_nonzero(~view.probes.mapped | (view.probes.rights != 0xFF)))
               for view in image.views)


def test_a_wrong_outcome_is_found(small):
    def spoil(answers):
        answers["fault"] ^= 1

    found = mismatches(small, FakeHardware(small.mode, spoil))
    assert {"model_fault", "present", "write", "user"} <= set(found)
    assert found["model_fault"] == found["present"] == 300


def test_every_field_of_an_answer_is_spoiled_in_these_tests():
    assert set(SPOILS) | {"fault"} == set(ANSWER.names)


@settings(max_examples=30, deadline=None)
@given(chosen=st.sets(st.integers(0, 299), min_size=1))
def test_a_probe_counts_once_however_often_it_is_wrong(chosen):
    image = SMALL
    wrong = image.views[0].probes.va[sorted(chosen)]

    def spoil(answers):
        hit = np.isin(engine.commands[-1]["vaddr"], wrong) & (answers["fault"] == 1)
        answers["vector"][hit] = 18
        answers["error"][hit] ^= 64

    engine = FakeHardware(image.mode, spoil)
    result = replay(image, engine)
    by_field = result.mismatches_by_field
    assert by_field["vector"] == by_field["error"] == by_field["model_error"] == result.mismatches
    assert result.mismatches <= np.isin(image.views[0].probes.va, wrong).sum()
    assert len(result.first) <= 10


SMALL = Image.shipped(IA32).cut(limit=300)


# Memory that is not right


def test_a_lost_accessed_flag_is_found(small):
    def spoil_memory(memory):
        memory.frames[0] &= ~np.uint64(Entry.A | Entry.A << 32)

    assert mismatches(small, FakeHardware(small.mode, spoil_memory=spoil_memory)) == {"frames": 1}


def test_a_model_that_changes_more_than_accessed_and_dirty_is_found(small):
    class Scribbler(ModelEngine):
        def run(self, memory, commands):
            run = super().run(memory, commands)
            memory.frames[1, 511] ^= np.uint64(Entry.G << 32)
            return run

    engine = Scribbler(small.mode)
    result = replay(small, engine)
    if result.agreed:  # an even number of calls
        result = replay(small, engine, limit=10)
    assert result.mismatches_by_field["frames"] == 1
    frames = [one for one in result.first if one.field == "frames"]
    assert (frames[0].expected ^ frames[0].got) == Entry.G << 32
    assert frames[0].paddr == (int(small.views[0].pfns[1]) << 12) + 511 * 8
    assert result.mismatched_items == result.mismatches - 1


def test_frames_are_those_of_the_view_alone(arrays, write_image):
    """Two views of one cap: what the first sets in the tables is not seen by the second."""
    for name, field in IMAGE.fields.items():
        if field.group == "view":
            arrays[name] = np.repeat(arrays[name], 2)
    arrays["probe_view"][150:] = 1
    image = Image.load(write_image(arrays))
    assert mismatches(image, FakeHardware(image.mode)) == {}


# What is kept of a mismatch


def test_a_mismatch_tells_where_and_how_the_golden_model_walks(arrays, write_image):
    row = mapped_4k(arrays)
    move_page(arrays)
    image = Image.load(write_image(arrays))
    (first,) = replay(image, ModelEngine(image.mode)).first
    assert (first.place, first.field) == (f"{image.views[0].name}, probe {row}", "paddr")
    assert first.expected == arrays["probe_pa"][row]
    assert first.got == first.expected ^ 1 << 20 == first.walk.paddr
    assert first.walk.access.vaddr == arrays["probe_va"][row]
    assert first.control == replace(image.views[0].control, cr0=first.control.cr0)


def test_no_more_than_the_first_mismatches_are_kept(arrays, write_image):
    mapped = arrays["probe_pa"] != UNMAPPED
    arrays["probe_pa"][mapped] += 1 << 30
    image = Image.load(write_image(arrays))
    result = replay(image, ModelEngine(image.mode))
    assert result.mismatches == mapped.sum()
    probes = [int(one.place.split()[-1]) for one in result.first]
    assert (len(probes), probes) == (10, sorted(set(probes)))


def test_the_result_can_be_written_as_json(small):
    result = replay(small, FakeHardware(small.mode)).as_json()
    assert result.keys() >= {"total", "mismatches", "mismatches_by_field", "cycles", "seconds"}
    assert result["total"] == 300
