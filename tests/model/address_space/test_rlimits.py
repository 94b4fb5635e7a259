"""Limits: what they are at first, and who may set them to what."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.rlimits import INFINITY, Resource, Rlimits


def fails(call, *arguments, **options):
    with pytest.raises(SysError) as caught:
        call(*arguments, **options)
    return caught.value.errno


def test_they_are_at_first_those_of_the_first_process():
    """[include/asm-generic/resource.h]"""
    limits = Rlimits()
    mega = 1 << 20
    assert [limits.get(resource) for resource in range(Resource.COUNT)] == [
        (INFINITY, INFINITY), (INFINITY, INFINITY), (INFINITY, INFINITY), (8 * mega, INFINITY),
        (0, INFINITY), (INFINITY, INFINITY), (INFINITY, INFINITY), (1024, 4096),
        (8 * mega, 8 * mega), (INFINITY, INFINITY), (INFINITY, INFINITY), (INFINITY, INFINITY),
        (819200, 819200), (0, 0), (0, 0), (INFINITY, INFINITY)]


def test_what_is_refused_in_its_order():
    limits = Rlimits()
    assert fails(limits.get, 16) == fails(limits.set, 16, 2, 1, privileged=True) == errno.EINVAL
    assert fails(limits.set, Resource.NOFILE, 2, 1, privileged=True) == errno.EINVAL
    many = (1 << 20) + 1
    assert fails(limits.set, Resource.NOFILE, 1, many, privileged=True) == errno.EPERM
    assert fails(limits.set, Resource.MEMLOCK, 1, (8 << 20) + 1, privileged=False) == errno.EPERM
    assert limits == Rlimits()
    limits.set(Resource.MEMLOCK, 1, (8 << 20) + 1, privileged=True)
    assert (limits.memlock, limits.get(Resource.MEMLOCK)) == (1, (1, (8 << 20) + 1))


def test_a_hard_limit_is_lowered_for_good():
    limits = Rlimits()
    limits.set(Resource.AS, 5, 10, privileged=False)
    limits.set(Resource.AS, 10, 10, privileged=False)
    assert fails(limits.set, Resource.AS, 5, 11, privileged=False) == errno.EPERM
    limits.set(Resource.CPU, 7, 7, privileged=False)
    assert (limits.address_space, limits.get(Resource.CPU)) == (10, (7, 7))


def test_a_child_has_limits_of_its_own():
    parent = Rlimits(memlock=64 << 20)
    assert parent.get(Resource.MEMLOCK) == (64 << 20, 64 << 20)
    child = parent.copy()
    child.set(Resource.CPU, 1, 1, privileged=False)
    child.stack = 5
    assert (parent.get(Resource.CPU), parent.stack) == ((INFINITY, INFINITY), 8 << 20)
