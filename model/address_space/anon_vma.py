"""Which mappings share anonymous pages; that decides which of them may merge. [mm/rmap.c]

A page of anonymous memory points to one ``AnonVma``, by which the kernel finds all mappings that it
may be in. So mappings merge only if they have the same one, or if one of them has none yet and the
other did not come from a fork.
"""

from .vma import AnonVma, Vma, VmFlag

__all__ = ["anon_vma_clone", "anon_vma_fork", "anon_vma_prepare", "may_share_anon_vma",
           "unlink_anon_vmas"]

MPROTECT_MAY_CHANGE = VmFlag.ACCESS | VmFlag.SOFTDIRTY


def _link(vma: Vma, anon_vma: AnonVma) -> None:
    vma.anon_vma_chain.insert(0, anon_vma)
    anon_vma.vmas[vma] = None


def anon_vma_prepare(vma: Vma, previous: Vma | None, following: Vma | None) -> None:
    """Give ``vma`` an anon_vma before its first private page, that of a neighbour if it fits.

    ``previous`` and ``following`` are the mappings next to it, adjacent or not.
    [__anon_vma_prepare, find_mergeable_anon_vma]
    """
    if vma.anon_vma is not None:
        return
    shared = None
    if following is not None:
        shared = _reusable(following, vma, following)
    if shared is None and previous is not None:
        shared = _reusable(previous, previous, vma)
    if shared is None:
        shared = AnonVma(children=1)
        shared.parent = shared
    vma.anon_vma = shared
    shared.active_vmas += 1
    _link(vma, shared)


def _reusable(owner: Vma, low: Vma, high: Vma) -> AnonVma | None:
    """Return the anon_vma of ``owner`` if ``low`` and ``high`` may share it."""
    compatible = (
        low.end == high.start
        and low.file is high.file
        and not (low.flags ^ high.flags) & ~MPROTECT_MAY_CHANGE
        and high.pgoff == low.pgoff_of(high.start)
    )
    return owner.anon_vma if compatible and len(owner.anon_vma_chain) == 1 else None


def may_share_anon_vma(one: AnonVma | None, other: AnonVma | None, vma: Vma | None) -> bool:
    """Return whether mappings with these anon_vmas may merge. [is_mergeable_anon_vma]

    ``vma`` is the mapping that grows, None to leave it out of account. One that came from a fork,
    and so has several anon_vmas, does not grow over a mapping that lacks its own.
    """
    if (one is None or other is None) and (vma is None or len(vma.anon_vma_chain) == 1):
        return True
    return one is other


def anon_vma_clone(target: Vma, source: Vma) -> None:
    """Link ``target`` to all anon_vmas of ``source``. [anon_vma_clone]

    A target without one of its own takes up an anon_vma that is no mapping's own any more. So a
    process that forks again and again does not make their chain longer and longer.
    """
    for anon_vma in reversed(source.anon_vma_chain):
        _link(target, anon_vma)
        if (target.anon_vma is None and source.anon_vma is not None
                and anon_vma.children < 2 and anon_vma.active_vmas == 0):
            target.anon_vma = anon_vma
    if target.anon_vma is not None:
        target.anon_vma.active_vmas += 1


def anon_vma_fork(child: Vma, parent: Vma) -> None:
    """Link a fork's copy ``child`` to the anon_vmas of ``parent`` and to one of its own.

    [anon_vma_fork]
    """
    if parent.anon_vma is None:
        return
    child.anon_vma = None
    anon_vma_clone(child, parent)
    if child.anon_vma is not None:
        return
    own = AnonVma(parent=parent.anon_vma, active_vmas=1)
    child.anon_vma = own
    _link(child, own)
    parent.anon_vma.children += 1


def unlink_anon_vmas(vma: Vma) -> None:
    """Take ``vma`` out of all its anon_vmas, which end with their last mapping.

    [unlink_anon_vmas]
    """
    for anon_vma in vma.anon_vma_chain:
        del anon_vma.vmas[vma]
        if not anon_vma.vmas and anon_vma.parent is not None:
            anon_vma.parent.children -= 1
    vma.anon_vma_chain.clear()
    if vma.anon_vma is not None:
        vma.anon_vma.active_vmas -= 1
        vma.anon_vma = None
