"""What an answer says of each page that an access is in, for the referee.

An access of several bytes may cross into a second page. Both are judged by themselves, the first
one first: of a fault in the second page is known that the first has translated, but not to what.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from ..hdl.config import Config
from ..model.mmu.control import QUIET
from ..model.mmu.crossing import second_vaddr
from ..model.mmu.tlb_outcome import NOTHING, Explanation, Outcome
from ..model.mmu.walk import Access, Control, is_canonical
from ..model.x86 import Cr0, PagingMode, Vector
from .engine.answer import SECOND
from .record_rows import Row, page_rights_of

__all__ = ["TRANSLATED", "IllegalAnswer", "Told", "explanations_of", "pages_of", "permitted_of",
           "shown", "told_of"]


class IllegalAnswer(Exception):
    """An answer, or an entry in memory, that the architecture does not permit."""


TRANSLATED = Outcome()
"""Stands for a translation that an answer does not tell, as the second page faulted."""

Told = tuple[Outcome, ...]
"""What an answer tells of the pages, up to the one that faulted."""


def pages_of(mode: PagingMode, control: Control, access: Access) -> list[Access]:
    """Return the accesses to the pages that an access is in, in the order of translation.

    Only the second one is translated if it is not canonical, but the first is. [Bochs]
    """
    vaddr = second_vaddr(mode, control, access)
    first = replace(access, size=1)
    if vaddr is None:
        return [first]
    second = replace(first, vaddr=vaddr)
    beyond = (control.cr0 & Cr0.PG and is_canonical(mode, access.vaddr)
              and not is_canonical(mode, vaddr))
    return [second] if beyond else [first, second]


def permitted_of(found: Sequence[Sequence[Explanation]]) -> set[Told]:
    """Return what may be told, by the explanations that there are for each page."""
    outcomes = [{one.outcome for one in explanations} for explanations in found]
    return {_told(one) for one in product(*outcomes)}


def _told(outcomes: Told) -> Told:
    """Return what an answer tells of the outcomes of all pages."""
    if len(outcomes) == 1 or not _translates(outcomes[0]):
        return outcomes[:1]
    _, second = outcomes
    if _translates(second):
        return outcomes
    return (NOTHING,) if second == NOTHING else (TRANSLATED, second)


def _translates(outcome: Outcome) -> bool:
    return outcome.vector is None and outcome.found


def explanations_of(
    told: Told, found: Sequence[Sequence[Explanation]]
) -> list[list[Explanation]]:
    """Return, of the explanations ``found`` for each page, those of what was told of it.

    Of pages that are told nothing there are none.
    """
    if told == (NOTHING,):  # it may be the second page that was not there
        found = [next(one for one in found if any(each.outcome == NOTHING for each in one))]
    return [[one for one in explanations
             if one.outcome == outcome or (outcome is TRANSLATED and _translates(one.outcome))]
            for outcome, explanations in zip(told, found, strict=False)]


def shown(told: Told) -> str:
    """Return what was told in words."""
    return ", then ".join("a translation" if one is TRANSLATED else str(one) for one in told)


def told_of(config: Config, control: Control, pages: Sequence[Access], answer: Row) -> Told:
    """Return what an answer tells.

    Hardware may give any number: raise ``IllegalAnswer`` for a vector that no access ends in, and
    for the fault of an access to two pages whose address is in neither.
    """
    outcome = _outcome(config, control, pages[0], answer)
    if len(pages) == 1 or (not _translates(outcome) and outcome.vector is None):
        return (outcome,)
    if outcome.vector is None:
        second = {name: answer[field] for name, field in SECOND.items()}
        return outcome, _outcome(config, control, pages[1], {**answer, **second})
    places = [page.vaddr for page in pages]
    if answer["vaddr"] not in places:
        raise IllegalAnswer(f"A fault at {answer['vaddr']:#x} was answered; expected it at "
                            + " or ".join(f"{vaddr:#x}" for vaddr in places))
    return (TRANSLATED, outcome) if answer["vaddr"] == places[1] else (outcome,)


def _outcome(config: Config, control: Control, access: Access, answer: Row) -> Outcome:
    """Return what an answer says of its page in the form that the history has it."""
    page_rights = page_rights_of(answer) if config.rights else None
    if not control.cr0 & Cr0.PG:
        return Outcome(answer["paddr"], page_rights=page_rights)
    if answer["fault"] and access.purpose in QUIET and not answer["vector"]:
        return NOTHING
    if answer["fault"]:
        if answer["vector"] not in [*Vector]:
            raise IllegalAnswer(f"Vector {answer['vector']} was answered; permitted are "
                                + ", ".join(f"{one:d}" for one in Vector))
        return Outcome(vector=Vector(answer["vector"]), error_code=answer["error"])
    page = dict(enumerate(config.mode.pages)).get(answer["page"])
    return Outcome(answer["paddr"], page, answer["memory_type"], page_rights=page_rights)
