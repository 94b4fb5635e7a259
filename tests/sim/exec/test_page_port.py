"""The kernel's copies from and to programs: as by the golden walk, but a translation a page."""

import numpy as np
import pytest

from pagewalk.model.kernel.calls.uaccess import UserAccess
from pagewalk.model.kernel.usercopy import ERMS
from pagewalk.model.x86 import PAGE_BYTES

from .worlds import CODE, DATA, DATA_PAGES, World, every_mode

pytestmark = pytest.mark.slow


@every_mode
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("engine", ["model", "cxxrtl"])
def test_copies_at_random_places(mode, engine, seed, swap):
    rng = np.random.default_rng(seed)
    world = World(engine, mode, megabytes=4, swap=swap)
    expected = bytearray(DATA_PAGES * PAGE_BYTES)
    for _ in range(40):
        start, size = (int(value) for value in rng.integers(1, 20_000, 2))
        data = rng.bytes(size)
        world.poke(DATA + start, data)
        expected[start : start + size] = data
        if rng.random() < 0.2:
            world.page_out(DATA, DATA_PAGES)
        start, size = (int(value) for value in rng.integers(1, 20_000, 2))
        assert world.peek(DATA + start, size) == expected[start : start + size]
    assert world.peek(DATA, len(expected)) == expected
    world.end()


@every_mode
def test_a_copy_takes_one_translation_for_each_page(mode):
    world = World("cxxrtl", mode)
    world.poke(DATA, bytes(DATA_PAGES * PAGE_BYTES))
    before = world.machine.counts.accesses
    world.poke(DATA + 100, bytes(3 * PAGE_BYTES))
    assert world.machine.counts.accesses - before == 4


@every_mode
def test_what_cannot_be_copied(mode):
    world = World("cxxrtl", mode)
    world.munmap(DATA + 2 * PAGE_BYTES, 1)
    access = UserAccess(world.kernel, world.port, ERMS)
    with world.port.entered():
        missing = access.copy_to_user(DATA + PAGE_BYTES + 10, bytes(PAGE_BYTES))
        assert missing >= 10
        assert access.copy_to_user(CODE - 8, bytes(8)) == 8
        data, lacking = access.copy_from_user(DATA + PAGE_BYTES, 2 * PAGE_BYTES)
    assert (len(data), lacking) == (2 * PAGE_BYTES, PAGE_BYTES)
