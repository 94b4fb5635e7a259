"""What is wrong in the model on purpose is found, and shown by a short program."""

import pytest

from pagewalk.model.address_space import merge, mmap
from pagewalk.model.address_space.vma import VmFlag
from pagewalk.model.kernel import make_present, user_tables
from pagewalk.model.x86 import PAGE_BYTES

from .compare import first_difference, minimised

pytestmark = pytest.mark.slow

MOST_PROGRAMS = 200
MOST_STEPS = 8
FIRST_SEEDS = [0, 1000, 2000]


def merge_what_is_read_only(monkeypatch):
    """Mappings merge although only one may be written."""
    is_mergeable = merge._is_mergeable
    monkeypatch.setattr(merge, "_is_mergeable", lambda vma, flags, file: is_mergeable(
        vma, flags ^ (vma.flags ^ flags) & VmFlag.WRITE, file))


def merge_what_is_unreadable(monkeypatch):
    """Mappings merge although only one may be read; no account goes wrong with that."""
    is_mergeable = merge._is_mergeable
    monkeypatch.setattr(merge, "_is_mergeable", lambda vma, flags, file: is_mergeable(
        vma, flags ^ (vma.flags ^ flags) & VmFlag.READ, file))


def merge_at_any_offset(monkeypatch):
    """What comes after a mapping merges with it, wherever in its file it is from."""
    monkeypatch.setattr(mmap, "can_merge_after", lambda vma, flags, anon_vma, file, _pgoff: (
        merge.can_merge_after(vma, flags, anon_vma, file, vma.pgoff + vma.pages)))


def map_a_page_too_many(monkeypatch):
    """A fault of anonymous memory also fills the next page."""
    handle = make_present._handle

    def twice(space, vma, address, *, write):
        result = handle(space, vma, address, write=write)
        following = (address & -PAGE_BYTES) + PAGE_BYTES
        if vma.is_anonymous and following < vma.end and space.tables.lookup(following) is None:
            handle(space, vma, following, write=write)
        return result
    monkeypatch.setattr(make_present, "_handle", twice)


def map_around_a_page_too_many(monkeypatch):
    """A read of a file also maps the page after those around."""
    around = make_present._MmFault._around

    def and_next(fault):
        addresses = around(fault)
        room = addresses.stop % (1 << 21) and addresses.stop < fault.vma.end
        return range(addresses.start, addresses.stop + PAGE_BYTES * bool(room), PAGE_BYTES)
    monkeypatch.setattr(make_present._MmFault, "_around", and_next)


def forget_to_discard(monkeypatch):
    """MADV_DONTNEED leaves the first page of its range."""
    discard = user_tables.UserTables.discard
    monkeypatch.setattr(user_tables.UserTables, "discard", lambda tables, vma, start, end: discard(
        tables, vma, min(start + PAGE_BYTES, end), end))


PLANTED = [merge_what_is_read_only, merge_what_is_unreadable, merge_at_any_offset,
           map_a_page_too_many, map_around_a_page_too_many, forget_to_discard]


def first_found(worlds, first):
    """Return the first difference that programs from a seed on meet."""
    for count in range(MOST_PROGRAMS):
        difference = first_difference(worlds.program(first + count), worlds.run)
        if difference is not None:
            print(f"Seed {first}: found by {count + 1} programs")
            return difference
    pytest.fail(f"Seed {first}: {MOST_PROGRAMS} programs find nothing wrong")


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found_and_shown_in_a_few_steps(worlds, monkeypatch, plant):
    plant(monkeypatch)
    difference = first_found(worlds, FIRST_SEEDS[0])
    assert len(minimised(difference, worlds.run).program.steps) <= MOST_STEPS


@pytest.mark.parametrize("first", FIRST_SEEDS[1:])
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found_from_other_seeds(worlds, monkeypatch, plant, first):
    plant(monkeypatch)
    first_found(worlds, first)
