"""Who owns anonymous pages; what follows for merging is in ``test_merge``."""

from pagewalk.model.address_space.anon_vma import (
    anon_vma_clone,
    anon_vma_fork,
    anon_vma_prepare,
    may_share_anon_vma,
    unlink_anon_vmas,
)
from pagewalk.model.address_space.vma import File, Vma, VmFlag

PAGE = 0x1000
RW = VmFlag.READ | VmFlag.WRITE


def vma(start, end, flags=RW, pgoff=None, file=None):
    return Vma(start * PAGE, end * PAGE, flags, start if pgoff is None else pgoff, file)


def owned(*arguments, **options):
    one = vma(*arguments, **options)
    anon_vma_prepare(one, None, None)
    return one


def test_a_first_page_makes_a_root():
    one = owned(0, 1)
    root = one.anon_vma
    assert (root.parent, root.children, root.active_vmas) == (root, 1, 1)
    anon_vma_prepare(one, None, None)
    assert (one.anon_vma, one.anon_vma_chain, list(root.vmas)) == (root, [root], [one])


def test_the_owner_of_a_neighbour_is_shared_if_only_rights_differ():
    below, above = owned(0, 1), owned(2, 3)
    one = vma(1, 2, VmFlag.READ | VmFlag.EXEC)
    anon_vma_prepare(one, below, above)
    assert one.anon_vma is above.anon_vma
    one = vma(1, 2, VmFlag.READ)
    anon_vma_prepare(one, below, None)
    assert one.anon_vma is below.anon_vma


def test_the_owner_of_others_is_not():
    for neighbour in (owned(0, 1, file=File("/f")), owned(0, 1, RW | VmFlag.LOCKED),
                      owned(0, 1, pgoff=7), owned(-2, -1)):
        one = vma(1, 2)
        anon_vma_prepare(one, neighbour, None)
        assert one.anon_vma is not neighbour.anon_vma


def test_the_owner_of_what_a_fork_made_is_not():
    parent = owned(0, 1)
    child = parent.duplicate()
    anon_vma_fork(child, parent)
    one = vma(1, 2)
    anon_vma_prepare(one, child, None)
    assert one.anon_vma is not child.anon_vma
    assert not may_share_anon_vma(None, child.anon_vma, child)
    assert may_share_anon_vma(None, parent.anon_vma, parent)


def test_the_last_mapping_takes_its_owner_along():
    parent = owned(0, 1)
    child = parent.duplicate()
    anon_vma_fork(child, parent)
    copy = child.duplicate()
    anon_vma_clone(copy, child)
    owner, root = child.anon_vma, parent.anon_vma
    assert (owner.active_vmas, root.children) == (2, 2)
    unlink_anon_vmas(child)
    assert (owner.active_vmas, root.children, list(owner.vmas)) == (1, 2, [copy])
    unlink_anon_vmas(copy)
    assert (owner.active_vmas, root.children, list(root.vmas)) == (0, 1, [parent])
