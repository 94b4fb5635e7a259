"""The misses of a port that are not answered yet: what they wait for, and which is next.

Sets of places are numbers with a bit for each place.
"""

from typing import NamedTuple

from .cycle import Asked, WalkResult
from .timed_geometry import TimedGeometry

__all__ = ["FileInputs", "MissFileModel"]


class FileInputs(NamedTuple):
    """What the port tells its file in a cycle.

    ``kept`` is a request to keep: one that ``walks``, or else is to be looked up again. ``taken``
    says that the port takes what is served, ``back`` that what it took last has to be walked,
    ``answered`` that it is answered. ``told`` is the place of a request that was answered before it
    is given back. ``filled`` says that a page was entered, ``spoiled`` that no
    response may be entered any more. ``gone`` are requests that are cancelled, ``accepted`` that
    the walk that is asked for is.
    """

    kept: Asked | None
    walks: bool
    taken: bool
    back: bool
    answered: bool
    told: int
    filled: bool
    spoiled: bool
    gone: int
    accepted: bool


class MissFileModel:
    """Keeps requests, asks for their walks one by one, and serves them one by one."""

    def __init__(self, geometry: TimedGeometry) -> None:
        self._count, self._ordered = geometry.misses, geometry.order == "request"
        self._all = (1 << self._count) - 1
        self.used = 0
        self._queued = self._asked = self._returned = self._again = 0
        self._enters = self._tried = self._dead = self._told = 0
        self._requests: list[Asked | None] = [None] * self._count
        self._results: list[WalkResult | None] = [None] * self._count
        self._head = self._tail = self._turn = 1
        self._served = self._with_port = 0
        self._picked = False
        self.serving = False
        """Whether a request is there to be taken."""
        self.asking = False
        """Whether a walk is asked for in this cycle."""
        self._asked_last = 0
        self._since_response = 3  # cycles

    @property
    def room(self) -> int:
        """The number of places that are vacant."""
        return (self._all & ~self.used).bit_count()

    @property
    def asks_at_once(self) -> bool:
        """Whether a walk is asked for what is kept in this cycle, if it needs one."""
        return not self.asking and not self._queued and self._since_response >= 2

    @property
    def place(self) -> int:
        """The place of what is kept in this cycle."""
        vacant = self._all & ~self.used
        return self._tail if self._ordered else vacant & -vacant

    @property
    def asked(self) -> tuple[Asked, int]:
        """The request for which a walk is asked for, and its number."""
        number = self._asked_last.bit_length() - 1
        request = self._requests[number]
        assert request is not None
        return request, number

    @property
    def at_hand(self) -> tuple[Asked, WalkResult | None, bool]:
        """What is served: the request, its result if it was walked, and whether that is entered."""
        number = self._served.bit_length() - 1
        request = self._requests[number]
        assert request is not None
        result = self._results[number] if self._returned & self._served else None
        return request, result, bool(self._enters & self._served)

    @property
    def is_silent(self) -> bool:
        """Whether what is served was answered already."""
        return bool(self._told & self._served)

    def answerable(self, place: int) -> Asked | None:
        """Return the request at a place, if it may be answered as soon as its walk responds."""
        if place & self._dead or (self._ordered and place != self._head):
            return None
        return self._requests[place.bit_length() - 1]

    def is_lost(self, gone: int) -> bool:
        """Return whether what is served is cancelled."""
        return self.serving and bool(gone & self._served)

    def cancelled(self, tag: int | None) -> int:
        """Return the places of the requests that have a tag, or of all."""
        return sum(1 << place for place, request in enumerate(self._requests)
                   if self.used >> place & 1 and request is not None
                   and (tag is None or request.tag == tag))

    def cycle(self, told: FileInputs, response: WalkResult | None) -> None:
        """Play a cycle, with the response to a walk if there is one."""
        arrived = 0 if response is None else 1 << response.miss
        kept = self.place if told.kept is not None else 0
        back = self._with_port if told.back else 0
        taken = self._served if told.taken else 0
        bounced = self._queued & ~self._tried if told.filled else 0
        gone, over = told.gone, (self._dead | told.gone) & ~(self._asked & ~arrived)
        waiting = (self._queued & ~bounced | (kept if told.walks else 0) | back) & ~gone
        direct = bool(kept) and told.walks and self.asks_at_once
        chosen = self._ask(waiting, arrived, direct=direct, accepted=told.accepted)
        candidates = (self._returned | self._again | (arrived & ~self._dead)) & ~gone
        released = self.used & ((self._with_port if told.answered else 0)
                                | taken & self._told | over)
        if self._ordered:
            released, candidates = self._in_order(told, kept, released, candidates)
        served = self._served
        self._serve(told, candidates)
        self.used = (self.used | kept) & ~released
        self._queued = waiting & ~chosen
        self._asked = (self._asked | chosen) & ~arrived
        self._returned = (self._returned | (arrived & ~self._dead)) & ~taken & ~gone
        self._again = (self._again | bounced | (0 if told.walks else kept)) & ~taken & ~gone
        self._tried = (self._tried | back) & ~kept
        self._dead = (self._dead | gone) & ~kept
        self._told = (self._told | told.told) & ~kept
        self._note_response(told, arrived, response)
        if told.taken:
            self._with_port = served
        if kept:
            self._requests[kept.bit_length() - 1] = told.kept

    def _note_response(self, told: FileInputs, arrived: int, response: WalkResult | None) -> None:
        """Keep a response, and whether it may be entered."""
        self._since_response = 0 if arrived else self._since_response + 1
        if response is not None:
            self._results[response.miss] = response
        enterable = response is not None and response.found is not None and not response.stale
        self._enters = 0 if told.spoiled else (
            self._enters & ~arrived | (arrived if enterable else 0))

    def _ask(self, waiting: int, arrived: int, *, direct: bool, accepted: bool) -> int:
        """Ask for the next walk, if none is asked for and no response came lately; return whose.

        It is asked for in this cycle if it is ``direct``, else from the next one on.
        """
        free = (not self.asking or accepted) and not arrived and self._since_response >= 2
        if (free or direct) and waiting:
            self.asking = not (direct and accepted)
            self._asked_last = after(self._asked_last, waiting)
            return self._asked_last
        if accepted:
            self.asking = False
        return 0

    def _in_order(self, told: FileInputs, kept: int, finished: int, candidates: int
                  ) -> tuple[int, int]:
        """Keep the order of the requests; return the place that is released, and who is next."""
        released = self._head & finished
        turn = following = self._next(self._turn) if told.taken else self._turn
        if released:
            if self._head & self._turn and not told.taken:
                turn = self._next(self._turn)
            self._head = self._next(self._head)
        if told.back:
            turn = self._with_port
        self._turn = turn
        if kept:
            self._tail = self._next(self._tail)
        return released, 0 if told.back else candidates & following

    def _next(self, place: int) -> int:
        return place << 1 if place << 1 <= self._all else 1

    def _serve(self, told: FileInputs, candidates: int) -> None:
        """Pick a request in one cycle, read it in the next one, and serve it from then on."""
        others = candidates & ~(self._served if self._picked else 0)
        withdrawn = told.gone & self._served or (self._ordered and told.back)
        if told.taken or not self._picked:
            self._picked, self.serving = bool(others), False
            if others:
                self._served = after(self._served, others)
        elif withdrawn:
            self._picked = self.serving = False
        else:
            self.serving = True


def after(last: int, candidates: int) -> int:
    """Return the first of the candidates behind the place ``last``, round about."""
    first = candidates & ~(last | last - 1) or candidates
    return first & -first
