"""A cycle of a session as lines of text, and as figures."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...hdl.config import Config
from ...model.x86 import Vector
from ..engine.answer import Answer, Loss
from ..explain.tlb_contents import TlbEntry, cached_rights
from ..picture import size_name
from .held_entries import HeldPage, HeldTable
from .session import CycleState, PortState
from .walk_state import WalkState

__all__ = ["answer_figures", "answer_text", "changes", "cycle_figures", "cycle_text", "held_text",
           "memory_text", "page_text", "port_text", "table_text", "walk_text"]


def cycle_text(config: Config, state: CycleState, before: CycleState | None,
               texts: Sequence[str]) -> Iterator[str]:
    """Yield what happens in a cycle, and what it finds changed in TLBs and walk cache since.

    ``texts`` are the requests by row.
    """
    yield f"cycle {state.cycle}"
    for port in state.ports:
        for line in port_text(config, port, texts):
            yield f"  {port.name:<8}{line}"
    if state.invalidating is not None:
        yield (f"  offers  {state.invalidating}: {texts[state.invalidating]}"
               + (", not done" if state.pending else ""))
    for line in memory_text(state):
        yield f"  memory  {line}"
    for walk in state.walks:
        yield f"  walk {walk.number}  {walk_text(walk)}"
    if state.events:
        yield f"  events  {' '.join(state.events)}"
    for name, line in changes(before, state):
        yield f"  {name:<8}{line}"


def port_text(config: Config, port: PortState, texts: Sequence[str]) -> Iterator[str]:
    """Yield what is offered, what waits, and what is answered at a port."""
    if port.offered is not None:
        yield (f"offers {port.offered}: {texts[port.offered]}"
               + ("" if port.accepted else ", not accepted"))
    if port.waiting:
        yield f"waits for the answer to {', '.join(map(str, port.waiting))}"
    if port.answer is not None:
        yield (f"answers {_answered(config, port.answer)}"
               + ("" if port.taken else ", not taken"))


def memory_text(state: CycleState) -> Iterator[str]:
    """Yield the access to page tables, and the response."""
    if state.access is not None:
        yield f"{state.access}" + ("" if state.accessed else ", not accepted")
    if state.response is not None:
        yield f"responds {state.response:#x}"


def _answered(config: Config, answer: dict[str, int]) -> str:
    if not answer["fault"]:
        return f"{answer['paddr']:#x}, {size_name(config.mode.pages[answer['page']].page_bytes)}"
    return _fault(answer["vector"], answer["error_code"], answer["vaddr"])


def _fault(vector: int, error: int, vaddr: int) -> str:
    if not vector:
        return "nothing is there"
    if vector == Vector.PF:
        return f"#PF {error:#x} at {vaddr:#x}"
    return f"#{Vector(vector).name}"


def answer_text(answer: Answer | None) -> str:
    """Return the answer to a request in short, such as ``0x5000 in cycle 7``."""
    if answer is None:
        return "no answer yet"
    if answer.lost:
        how = "a reset" if answer.lost == Loss.BY_RESET else "a cancel"
        return f"lost by {how} in cycle {answer.answered}"
    if answer.fault:
        return f"{_fault(answer.vector, answer.error, answer.vaddr)} in cycle {answer.answered}"
    return (f"{answer.paddr:#x} " if answer.paddr else "") + f"in cycle {answer.answered}"


def answer_figures(text: str, answer: Answer | None) -> dict[str, Any]:
    """Return a request and its answer for ``--json``, None for one that has none."""
    return {"request": text, "answer": None if answer is None else answer._asdict()}


def walk_text(walk: WalkState) -> str:
    """Return a walk: its page, the level it is at, and what it does."""
    return (f"{walk.vaddr:#x} {walk.level.name}{' (flags)' * walk.updating} {walk.doing}"
            + (f": {walk.access}" if walk.access is not None else ""))


def page_text(entry: TlbEntry) -> str:
    """Return an entry of a TLB in one line."""
    pcid = "global" if entry.pcid is None else f"PCID {entry.pcid}"
    key = f" key {entry.rights.key}" if entry.rights.key else ""
    return (f"{entry.vaddr:#x} -> {entry.paddr:#x} {size_name(entry.page.page_bytes)} "
            f"{cached_rights(entry.rights)} {'dirty' if entry.dirty else 'clean'} {pcid}{key}"
            + (f" PAT {entry.memory_type}" if entry.memory_type else ""))


def table_text(held: HeldTable) -> str:
    """Return an entry of the walk cache in one line."""
    one = held.entry
    return f"{one.vaddr:#x} -> table {one.paddr:#x} {cached_rights(one.rights)} PCID {held.pcid}"


def held_text(state: CycleState) -> Iterator[tuple[str, str, str]]:
    """Yield every entry that is held: of which cache, where in it, and the entry."""
    for name, pages in _tlbs(state):
        for page in pages:
            yield name, page.place, page_text(page.entry)
    for table in state.tables:
        yield "walks", table.place, table_text(table)


def _tlbs(state: CycleState) -> Iterable[tuple[str, list[HeldPage]]]:
    return [*state.tlbs.items(), *([("l2", state.l2)] if state.l2 is not None else [])]


def changes(before: CycleState | None, state: CycleState) -> Iterator[tuple[str, str]]:
    """Yield what was entered (``+``) or has gone (``-``) since another cycle: where, and what."""
    now = {(name, place): text for name, place, text in held_text(state)}
    old = {} if before is None else {
        (name, place): text for name, place, text in held_text(before)}
    for (name, place), text in old.items():
        if now.get((name, place)) != text:
            yield name, f"- {place}: {text}"
    for (name, place), text in now.items():
        if old.get((name, place)) != text:
            yield name, f"+ {place}: {text}"


def cycle_figures(state: CycleState) -> dict[str, Any]:
    """Return a cycle for ``--json``; addresses are numbers."""
    return {
        "cycle": state.cycle,
        "ports": {port.name: {
            "offered": port.offered, "accepted": port.accepted, "waiting": [*port.waiting],
            "answer": port.answer, "taken": port.taken} for port in state.ports},
        "invalidating": state.invalidating,
        "pending": state.pending,
        "events": [*state.events],
        "memory": {
            "op": state.access and state.access.op.name.lower(),
            "address": state.access and state.access.address,
            "accepted": state.accessed, "response": state.response},
        "walks": [_walk_figures(walk) for walk in state.walks],
        "tlbs": {name: [_page_figures(page) for page in pages] for name, pages in _tlbs(state)},
        "walk_cache": [{
            "place": one.place, "level": one.entry.level.name, "vaddr": one.entry.vaddr,
            "pcid": one.pcid, "table": one.entry.paddr,
            "rights": cached_rights(one.entry.rights)} for one in state.tables],
    }


def _walk_figures(walk: WalkState) -> dict[str, Any]:
    return {"number": walk.number, "vaddr": walk.vaddr, "pcid": walk.pcid,
            "level": walk.level.name, "sets_flags": walk.updating, "doing": walk.doing,
            "awaits": walk.access and str(walk.access)}


def _page_figures(page: HeldPage) -> dict[str, Any]:
    one = page.entry
    return {"place": page.place, "vaddr": one.vaddr, "paddr": one.paddr,
            "page_bytes": one.page.page_bytes, "pcid": one.pcid, "global": one.pcid is None,
            "dirty": one.dirty, "rights": cached_rights(one.rights), "key": one.rights.key,
            "memory_type": one.memory_type}
