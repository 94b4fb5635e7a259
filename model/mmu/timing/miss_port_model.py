"""A request port that goes on behind a miss, or whose requests can be cancelled."""

from .cycle import Asked, PortAnswer, WalkResult
from .miss_file_model import FileInputs, MissFileModel
from .port_model import Held, PortModel
from .timed_geometry import TimedGeometry

__all__ = ["MissPortModel"]


class MissPortModel(PortModel):
    """Looks up as ``PortModel`` does; what misses goes into a file, and comes back to be answered.

    With ``order`` "request" what is behind it goes there, too.
    """

    def __init__(self, geometry: TimedGeometry, number: int) -> None:
        super().__init__(geometry, number)
        self._ordered = geometry.order == "request"
        self._file = MissFileModel(geometry)
        self._given_back = False  # what is held is from the file,
        self._result: WalkResult | None = None  # and was walked, with this result
        # What is entered in this cycle: the request as it was looked up, and what its walk found.
        self._filling: tuple[Held, WalkResult] | None = None
        self._chosen = 0  # the place that it goes to, if the page has none
        # What was answered in the cycle of the response, while it is not taken, and its place.
        self._offering: tuple[PortAnswer, int] | None = None
        self._responded = False  # the cycle before was that of such a response

    @property
    def idle(self) -> bool:
        return self._held is None and self._waiting is None and not self._file.used

    def asks(self, cancel: tuple[int | None] | None) -> Asked | None:
        held, file = self._held, self._file
        if file.asking:
            return file.asked[0]
        kept = held if not self._given_back and self._goes_aside(held)[0] else None
        at_once = kept is not None and file.asks_at_once and not self._names(cancel, kept.asked)
        return kept.asked if kept is not None and at_once else None

    @property
    def asks_number(self) -> int:
        file = self._file
        return file.asked[1] if file.asking else file.place.bit_length() - 1

    def cycle(self, offered: Asked | None, takes: bool, paused: bool, result: WalkResult | None,
              cancel: tuple[int | None] | None, dropping: bool
              ) -> tuple[PortAnswer | None, int]:
        held, file, late, busy = self._held, self._file, self._looked, self.busy
        gone = file.cancelled(cancel[0]) if cancel is not None else 0
        cancelled = held is not None and self._names(cancel, held.asked)
        missed, behind = self._goes_aside(held)
        own = None if held is None else self._own_answer(held)
        leaves = held is not None and (
            missed or behind
            or bool(takes and self._offering is None and own is not None and not own.fault))
        taken = (file.serving and not busy and self.fault is None and self._offering is None
                 and (held is None or leaves))
        free = bool(file.room) and self.fault is None and not (
            self._responded or file.serving or self._filling)
        if held is not None:
            follows = (self._given_back or file.room > 1) if missed or behind else leaves
            free = free and bool(self._latency) and follows
        looks = self._let_in(offered, paused, free, cancel)
        fresh = None if looks is None else self._look_up(looks)
        at_hand = held
        if not self._latency:
            late = fresh
            if held is None and fresh is not None:
                at_hand = fresh
                missed, behind = self._goes_aside(fresh)
                own = self._own_answer(fresh)
        early, self._responded = self._offering, False
        if early is None and at_hand is None:
            early = self._at_once(result)
            self._responded = early is not None
        answer = early[0] if early is not None else None if missed or behind else own
        answered = early is None and answer is not None and takes
        told = early[1] if early is not None and takes else 0
        self._offering = None if takes or early is None or early[1] & gone else early
        filled = self._fill(busy=busy, dropping=dropping)
        lost, silent = file.is_lost(gone), file.is_silent
        walked = self._take(taken)
        if answered and at_hand is not None and at_hand.hit and self._result is None:
            self._touch(at_hand)
        events = self._events(offered, late)
        if answered and answer is not None and answer.fault:
            events |= self._fault
            self._note_fault(at_hand, answer)
        aside = held is not None and (missed or behind) and not cancelled
        kept = held.asked if held is not None and aside and not self._given_back else None
        file.cycle(FileInputs(
            kept, missed, taken, bool(aside and self._given_back and missed),
            bool(answered and self._given_back), told, filled, dropping or busy, gone,
            self._starts), result)
        self._starts = False
        self._hold(fresh, looks, cancel, answered=bool(answered),
                   ends=bool(answered or leaves or cancelled))
        if walked is not None and not lost:
            given, result, enters = walked
            if result is not None and enters and not dropping:
                self._filling = given, result
            if not silent:
                self._held, self._result, self._given_back = given, result, True
        self._looked = fresh
        self._carry_out()
        return answer, events

    def _at_once(self, result: WalkResult | None) -> tuple[PortAnswer, int] | None:
        """Return the answer that is given in the cycle of the response to a walk, and its place."""
        if result is None or result.found is None or self._file.serving or self.fault is not None:
            return None
        place = 1 << result.miss
        asked = self._file.answerable(place)
        if asked is None:
            return None
        return Held(asked, None, rights=self._rights).of_walk(result), place

    @staticmethod
    def _names(cancel: tuple[int | None] | None, asked: Asked | None) -> bool:
        """Return whether a request is cancelled."""
        return cancel is not None and asked is not None and cancel[0] in (None, asked.tag)

    def _goes_aside(self, held: Held | None) -> tuple[bool, bool]:
        """Return whether a request has missed, and whether it is behind others."""
        if held is None:
            return False, False
        missed = held.answer is None and self._result is None
        return missed, self._ordered and not self._given_back and bool(self._file.used)

    def _own_answer(self, held: Held) -> PortAnswer | None:
        return held.of_walk(self._result) if self._result is not None else held.answer

    def _look_up(self, asked: Asked) -> Held:
        return Held(asked, self._tlb.look_up(asked) if asked.translated else None,
                    rights=self._rights)

    def _let_in(self, offered: Asked | None, paused: bool, free: bool,
                cancel: tuple[int | None] | None) -> Asked | None:
        """Decide whether a request is accepted; return the one that is looked up."""
        if self._latency < 2:
            self.ready = free and not paused
            return offered if self.ready else None
        looks = self._waiting if free and not self.busy else None
        self.ready = (self._waiting is None or looks is not None) and not paused
        if self._waiting is None or looks is not None:
            self._waiting = offered if self.ready else None
        elif self._names(cancel, self._waiting):
            self._waiting = None
        return looks

    def _fill(self, *, busy: bool, dropping: bool) -> bool:
        """Enter the page of the request that was given back; return whether it was."""
        filling, self._filling = self._filling, None
        if filling is None or dropping or busy:
            return False
        given, result = filling
        assert given.lookup is not None
        assert result.found is not None
        self._tlb.fill(given.asked, given.lookup, result.found, self._chosen)
        return True

    def _take(self, taken: bool) -> tuple[Held, WalkResult | None, bool] | None:
        """Look up what is served, if it is taken; return it with its result."""
        if not taken:
            return None
        asked, result, enters = self._file.at_hand
        self._chosen = self._tlb.choose()
        return self._look_up(asked), result, enters and result is not None

    def _touch(self, held: Held) -> None:
        assert held.lookup is not None
        self._tlb.touch(held.lookup)

    def _hold(self, fresh: Held | None, looks: Asked | None, cancel: tuple[int | None] | None,
              *, answered: bool, ends: bool) -> None:
        """Hold what was looked up, and let go what was answered or put aside."""
        if ends:
            self._held, self._given_back, self._result = None, False, None
        stays = bool(self._latency) or not answered
        lost = self._latency == 2 and self._names(cancel, looks)
        if fresh is not None and stays and not lost:
            self._held = fresh
