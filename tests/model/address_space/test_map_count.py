"""How many mappings a process may have: vm.max_map_count, to the very mapping."""

import errno
from dataclasses import replace

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Madvise, MremapFlag, Prot

from .small_mm import FIXED, PAGE, RW, SPACE, at, small_mm

TO = MremapFlag.MAYMOVE | MremapFlag.FIXED

# What is done, how many mappings more there may be where it just works, and what it fails with.
CALLS = {
    "mmap": (lambda mm: mm.mmap(at(20), PAGE, RW, FIXED), 0, errno.ENOMEM),
    "mmap that merges": (lambda mm: mm.mmap(at(4), PAGE, RW, FIXED), 0, errno.ENOMEM),
    "munmap": (lambda mm: mm.munmap(at(1), PAGE), 1, errno.ENOMEM),
    "mprotect": (lambda mm: mm.mprotect(at(3), PAGE, Prot.READ), 1, errno.ENOMEM),
    "mprotect of a middle": (lambda mm: mm.mprotect(at(1), PAGE, Prot.READ), 2, errno.ENOMEM),
    "madvise": (lambda mm: mm.madvise(at(3), PAGE, Madvise.DONTFORK), 1, errno.EAGAIN),
    "mlock": (lambda mm: mm.mlock(at(3), PAGE), 1, errno.ENOMEM),
    "mremap that grows": (lambda mm: mm.mremap(at(0), 4 * PAGE, 9 * PAGE, MremapFlag.MAYMOVE, 0),
                          4, errno.ENOMEM),
    "mremap": (lambda mm: mm.mremap(at(0), 4 * PAGE, 4 * PAGE, TO, at(20)), 6, errno.ENOMEM),
}


def with_room(more):
    """A process with two mappings that may have some more."""
    mm = small_mm(replace(SPACE))
    mm.mmap(at(0), 4 * PAGE, RW, FIXED)
    mm.mmap(at(6), 4 * PAGE, RW, FIXED)
    mm.space.max_map_count = mm.map_count + more
    return mm


@pytest.mark.parametrize(("call", "room", "error"), CALLS.values(), ids=CALLS)
def test_the_last_mapping_that_may_be(call, room, error):
    call(with_room(room))
    with pytest.raises(SysError) as caught:
        call(with_room(room - 1))
    assert caught.value.errno == error


def test_the_heap_is_one_of_them():
    for more, grown in ((0, at(30) + PAGE), (-1, at(30))):
        mm = with_room(more)
        mm.start_brk = mm.brk_end = at(30)
        assert mm.brk(at(30) + PAGE) == grown


def test_what_makes_no_mapping_needs_no_room():
    mm = with_room(-1)
    mm.munmap(at(0), PAGE)
    mm.mprotect(at(1), 3 * PAGE, Prot.READ)
    assert mm.mremap(at(6), 4 * PAGE, 6 * PAGE, 0, 0) == at(6)
    mm.check()
