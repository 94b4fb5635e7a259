"""A request port: which request it accepts in a cycle, and what it answers."""

from ...x86 import Vector
from ..error_code import error_code
from .cycle import Asked, DropOrder, PortAnswer, WalkResult
from .event_names import EventBits, page_name
from .l1_model import FullModel, L1Lookup, L1Model
from .l1_sets_model import SetsModel
from .timed_geometry import TimedGeometry

__all__ = ["Held", "PortModel", "make_l1"]


def make_l1(geometry: TimedGeometry) -> L1Model:
    """Return the TLB of a port, empty."""
    return SetsModel(geometry) if geometry.ways else FullModel(geometry, geometry.entries)


class Held:
    """A request, what its lookup found if it had one, and the answer if that needs no walk."""

    __slots__ = ("_rights", "answer", "asked", "hit", "lookup")

    def __init__(self, asked: Asked, lookup: L1Lookup | None, *, rights: bool) -> None:
        self.asked, self.lookup, self._rights = asked, lookup, rights
        self.hit = lookup is not None and lookup.usable
        self.answer = self._answer()

    def _answer(self) -> PortAnswer | None:
        asked, access, lookup = self.asked, self.asked.access, self.lookup
        if asked.refused:
            return self._fault(Vector.SS if access.stack else Vector.GP, 0)
        if not asked.translated:
            answer = PortAnswer(asked.tag, access.vaddr & 0xFFFF_FFFF)
            return answer._replace(writable=1, user=1, dirty=1) if self._rights else answer
        if lookup is None:
            return None
        if not self.hit or lookup.line is None:
            return self._fault(0, 0) if asked.only_looks else None
        if lookup.denied:
            code = error_code(asked.view.control, access, present=True, key=lookup.key_denied)
            return self._fault(Vector.PF, code)
        return self.of_walk(WalkResult(0, found=lookup.line.found))

    def _fault(self, vector: int, code: int) -> PortAnswer:
        """Return the answer of a fault; to a probe it says no more than that."""
        if self.asked.quiet:
            return PortAnswer(self.asked.tag, fault=1)
        return PortAnswer(self.asked.tag, fault=1, vector=vector, error_code=code,
                          vaddr=self.asked.access.vaddr)

    def of_walk(self, result: WalkResult) -> PortAnswer:
        """Return the answer that a walk leads to."""
        asked, found, vaddr = self.asked, result.found, self.asked.access.vaddr
        if found is None:
            return self._fault(result.vector, result.error_code)
        answer = PortAnswer(asked.tag, found.address | vaddr & found.level.page_bytes - 1,
                            found.page, found.memory_type)
        if not self._rights:
            return answer
        rights = found.rights
        return answer._replace(
            writable=int(rights.writable), user=int(rights.user_page),
            execute_disable=int(rights.execute_disable), key=rights.key, dirty=int(found.dirty),
            global_page=int(found.global_page))


class PortModel:
    """Answers in the order of the requests; while it waits for a walk it accepts nothing.

    In each cycle all of what others read is from before it: ``busy``, ``idle``, ``fault`` and
    ``asks``. Then, if it is, ``walk_accepted`` is called, and ``cycle``; and afterwards
    ``fault_taken`` and ``give_drop`` for what happens at the end of the cycle.
    """

    def __init__(self, geometry: TimedGeometry, number: int) -> None:
        self._latency, self._rights = geometry.hit_latency, geometry.rights
        bits = EventBits(geometry, f"{geometry.ports[number]}_")
        self._lookup, self._miss = bits["lookup"], bits["miss"]
        self._stall, self._fault = bits["stall"], bits["fault"]
        self._hits = [bits[f"hit_{page_name(page)}"] for page in geometry.mode.pages]
        self._tlb = make_l1(geometry)
        self._busy_for = self._tlb.busy_at_reset  # cycles from now on, this one included
        self._waiting: Asked | None = None  # with a hit latency of 2, what is to be looked up
        self._held: Held | None = None
        self._looked: Held | None = None  # what was looked up in the cycle before
        self._walking = self._starts = False
        self._walked: PortAnswer | None = None  # the answer of a walk, not taken yet
        self._entering = False  # a walk responded in the cycle before
        self._drop: DropOrder | None = None  # to be carried out in this cycle
        self.fault: tuple[int, int] | None = None
        """The page number and PCID of the page fault that was answered last, until it is taken."""
        self.ready = False
        """Whether a request was accepted in the cycle played last, if there was one."""

    @property
    def busy(self) -> bool:
        """Whether a drop is at work in this cycle."""
        return self._busy_for > 0

    @property
    def idle(self) -> bool:
        """Whether no request waits for its answer."""
        return self._held is None and self._waiting is None

    def asks(self, _cancel: tuple[int | None] | None) -> Asked | None:
        """Return the request for which a walk is asked for in a cycle with this cancellation."""
        held = self._held
        if held is None or held.answer is not None or self._walking or self._walked is not None:
            return None
        return held.asked

    @property
    def asks_number(self) -> int:
        """The number of that request among those of the port that are walked."""
        return 0

    def walk_accepted(self) -> None:
        """Note that the walk that is asked for is accepted in this cycle."""
        self._starts = True

    def fault_taken(self) -> None:
        """Note that what the page fault could use is dropped."""
        self.fault = None

    def give_drop(self, drop: DropOrder) -> None:
        """Have a drop carried out from the next cycle on."""
        self._drop = drop
        by_address, any_other = self._tlb.busy_after
        self._busy_for = by_address if drop.by_address else any_other

    def cycle(self, offered: Asked | None, takes: bool, paused: bool, result: WalkResult | None,
              _cancel: tuple[int | None] | None, dropping: bool
              ) -> tuple[PortAnswer | None, int]:
        """Play a cycle; return the answer that is offered, and the events.

        ``offered`` is the request, ``takes`` whether an answer is taken, ``paused`` whether nothing
        may be accepted; ``result`` the response to a walk of the port, ``dropping`` whether a drop
        is given in this cycle. Where requests can be cancelled, it counts as well which tag is
        cancelled, None for all.
        """
        held, late = self._held, self._looked
        looks = self._take_in(offered, takes, paused)
        fresh = None
        if looks is not None:
            fresh = Held(looks, self._tlb.look_up(looks) if looks.translated else None,
                         rights=self._rights)
        if not self._latency:
            late = fresh
            held = held or fresh
        answer = None if held is None else self._answer(held, result)
        self._tell_tlb(held, takes and answer is not None, result, dropping)
        events = self._events(offered, late)
        if answer is not None and takes:
            self._held = self._walked = None
            if answer.fault:
                events |= self._fault
                self._note_fault(held, answer)
        if fresh is not None and (self._latency or answer is None or not takes):
            self._held = fresh
        self._looked, self._entering = fresh, result is not None
        if result is not None:
            self._walking = False
            self._walked = None if takes else answer
        if self._starts:
            self._walking, self._starts = True, False
        self._carry_out()
        return answer, events

    def _take_in(self, offered: Asked | None, takes: bool, paused: bool) -> Asked | None:
        """Decide whether a request is accepted; return the one that is looked up."""
        held = self._held
        settled = held is not None and held.answer is not None and not held.answer.fault
        free = self.fault is None and not self._entering and (
            held is None or bool(self._latency and takes and settled))
        if self._latency < 2:
            self.ready = free and not paused
            return offered if self.ready else None
        looks = self._waiting if free and not self.busy else None
        self.ready = (self._waiting is None or looks is not None) and not paused
        if self._waiting is None or looks is not None:
            self._waiting = offered if self.ready else None
        return looks

    def _answer(self, held: Held, result: WalkResult | None) -> PortAnswer | None:
        if self._walking:
            return held.of_walk(result) if result is not None else None
        return self._walked or held.answer

    def _tell_tlb(self, held: Held | None, answered: bool, result: WalkResult | None,
                  dropping: bool) -> None:
        """Enter what was walked; tell which entry was used."""
        if held is None or held.lookup is None:
            return
        if result is not None:
            stale = result.stale or self.busy or dropping
            if result.found is not None and not stale:
                self._tlb.fill(held.asked, held.lookup, result.found, self._tlb.choose())
        elif answered and held.hit:
            self._tlb.touch(held.lookup)

    def _events(self, offered: Asked | None, looked: Held | None) -> int:
        events = self._stall if offered is not None and not self.ready else 0
        if looked is not None and looked.lookup is not None:
            events |= self._lookup
            line = looked.lookup.line
            events |= self._hits[line.found.page] if looked.hit and line else self._miss
        return events

    def _note_fault(self, held: Held | None, answer: PortAnswer) -> None:
        if held is not None and answer.vector == Vector.PF:
            self.fault = held.asked.vpn, held.asked.pcid

    def _carry_out(self) -> None:
        """Carry out the drop that was given in the cycle before."""
        if self._drop is not None:
            self._tlb.drop(self._drop)
            self._drop = None
        if self._busy_for:
            self._busy_for -= 1
