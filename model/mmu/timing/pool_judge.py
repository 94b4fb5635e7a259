"""The judge of the pool: what an entry means for a walk, or for a request that joined it."""

from collections.abc import Sequence
from typing import NamedTuple

from ...x86 import Entry
from ..flag_rules import FlagRules
from .cycle import WalkResult
from .entry_steps import Next, NextStep, Spot, judge
from .pool_walk import PoolWalk, Subject
from .walk_cache_model import TableAt

__all__ = ["Verdict", "verdict_on"]


class Verdict(NamedTuple):
    """What is decided, to be done in the next cycle."""

    step: NextStep
    replay: bool  # the request was to be answered by another's walk,
    unfit: bool  # and has to walk itself


def verdict_on(subject: Subject, walks: Sequence[PoolWalk], rules: FlagRules, *, dropped: bool
               ) -> tuple[Verdict, WalkResult | None]:
    """Return the verdict, and the answer to the request, if there is one; both for the next cycle.

    A request that joined a walk is answered by the entry at which that ended, if its own access may
    use the entry as it is. Else it walks itself, as what it lacks may be there by now. ``dropped``
    says that something is dropped in this cycle.
    """
    walk, place = walks[subject.judging], walks[subject.place]
    asked, replay = walk.asked, subject.replay
    assert asked is not None
    assert place.asked is not None
    above = place.table if replay else place.before
    spot = Spot(TableAt(subject.level, 0, above.rights), subject.updating or replay,
                walk.lacking and not replay, walk.setting)
    step = judge(asked, walk.port, spot, subject.reply, rules, notes=True)
    result = step.result
    unfit = replay and (result is None or result.found is None or place.failed or (
        asked.write and not (subject.reply.data & Entry.D or place.asked.write)))
    verdict = Verdict(step, replay, unfit)
    if step.step is not Next.FINISH or unfit or result is None:
        return verdict, None
    found = result.found
    if found is not None and replay and place.asked.write:
        found = found._replace(dirty=True)
    stale = walk.stale or dropped or result.stale
    return verdict, result._replace(miss=walk.miss, found=found, stale=stale)
