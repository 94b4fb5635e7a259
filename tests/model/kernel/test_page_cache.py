"""Pages of files: read once, shared, written back up to the end of the file."""

from uuid import UUID

import pytest

from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.page_cache import CachedFile
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import X86_64

from .machines import PAGE, counted, machine


@pytest.fixture
def state():
    return machine(X86_64, megabytes=4)[0].state


def test_a_page_is_read_once_and_padded_with_zeros(state):
    file = File("data")
    state.page_cache.register(file, bytearray(b"a" * (PAGE + 10)))
    space = state.page_cache.space(file)
    assert [space.holds(index) for index in range(3)] == [True, True, False]
    pfn, major = state.file_page(space, 1)
    assert (major, state.frames.read(pfn)) == (True, (b"a" * 10).ljust(PAGE, b"\0"))
    assert state.file_page(space, 1) == (pfn, False)
    assert state.frames.refcount(pfn) == 3
    assert state.page_cache.owner(pfn) == (space, 1)


def test_write_back_stops_at_the_end_of_the_file(state):
    file, content = File("data"), bytearray(b"a" * (PAGE + 10))
    state.page_cache.register(file, content)
    pfn, _ = state.file_page(state.page_cache.space(file), 1)
    state.frames.write(pfn, b"b" * PAGE)
    state.page_cache.set_dirty(pfn)
    state.page_cache.write_back(pfn)
    assert content == b"a" * PAGE + b"b" * 10
    assert not state.page_cache.is_dirty(pfn)


def test_drop_writes_and_frees(state):
    free = state.frames.allocated()
    file, content = File("data"), bytearray(4 * PAGE)
    state.page_cache.register(file, content)
    for index in range(4):
        pfn, _ = state.file_page(state.page_cache.space(file), index)
        state.frames.put(pfn)
        state.frames.write(pfn, bytes([index]) * PAGE)
        state.page_cache.set_dirty(pfn)
    state.page_cache.check()
    state.page_cache.drop(file)
    assert state.frames.allocated() == free
    assert [content[index * PAGE] for index in range(4)] == [0, 1, 2, 3]


def test_a_page_of_shared_memory_moves_to_a_slot_and_back(state, tmp_path):
    free, cache = state.frames.allocated(), state.page_cache
    file = File("shared", is_shmem=True)
    with SwapFile.create(tmp_path / "swap", 10, uuid=UUID(int=1)) as device:
        state.swap.swapon(device)
        space = cache.space(file)
        pfn, _ = state.file_page(space, 3)
        state.frames.put(pfn)
        slot = state.swap.add_to_swap(pfn)
        cache.set_dirty(pfn)
        state.swap.swap_shmem_alloc(slot)
        cache.swap_out(pfn, slot)
        assert (space.pages, space.slots, cache.owner(pfn)) == ({}, {3: slot}, None)
        assert not cache.is_dirty(pfn)
        assert state.frames.refcount(pfn) == 1  # the swap cache's
        cache.swap_back(space, 3, pfn)
        assert (space.pages, space.slots, cache.owner(pfn)) == ({3: pfn}, {}, (space, 3))
        assert cache.is_dirty(pfn)
        assert state.frames.refcount(pfn) == 2
        cache.swap_out(pfn, slot)
        cache.drop(file)
        assert (state.frames.allocated(), state.swap.nr_swap_pages) == (free, 9)


def test_only_registered_files_and_shared_memory_have_pages(state):
    with pytest.raises(KeyError):
        state.page_cache.space(File("unknown"))
    shared = File("shared", is_shmem=True)
    assert state.page_cache.space(shared).content is None
    assert state.page_cache.shmem_spaces() == [state.page_cache.space(shared)]
    assert CachedFile(None).page(5) == bytes(PAGE)
    with pytest.raises(ValueError, match="is registered already"):
        state.page_cache.register(shared, bytearray())


def test_check_finds_a_page_that_two_files_claim(state):
    one, other = File("one"), File("other")
    for file in (one, other):
        state.page_cache.register(file, bytearray(PAGE))
    pfn, _ = state.file_page(state.page_cache.space(one), 0)
    state.page_cache.space(other).pages[0] = pfn
    with pytest.raises(BrokenInvariant, match="contradict each other"):
        state.page_cache.check()


def test_counted_is_what_is_free():
    kernel = machine(X86_64, megabytes=4)[0]
    assert counted(kernel)[0] + kernel.state.frames.allocated() == 256 * 3
