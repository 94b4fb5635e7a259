"""The second-level TLB: when it looks up, enters and drops, and which requests it has walked."""

import enum
from collections import deque

from .cycle import Asked, DropOrder, Found, WalkResult
from .event_names import EventBits, page_name
from .l2_store import L2Store
from .timed_geometry import TimedGeometry

__all__ = ["L2Model"]

Request = tuple[Asked, int, int]  # with the port and the number of the miss

OUTCOME = 3  # cycles from the read of a set to what is known of it


class Work(enum.Enum):
    """What the array is used for."""

    NOTHING = enum.auto()
    LOOKUP = enum.auto()
    FILL = enum.auto()
    DROP = enum.auto()


class L2Model:
    """One operation at a time: drops before fills before lookups; misses go on to the walker.

    In each cycle ``look`` is called first, which says what is answered and offered, and then
    ``cycle``.
    """

    def __init__(self, geometry: TimedGeometry, generations: dict[int, int]) -> None:
        self._store = L2Store(geometry, generations)
        self._bits = bits = EventBits(geometry, "l2_")
        self._hits = [bits[f"hit_{page_name(page)}"] for page in geometry.mode.pages]
        self._work = Work.DROP  # after a reset all is dropped, a set a cycle
        self._age = 0  # cycles since the work began
        self._ends = self._store.sets  # at this age, if it is a drop
        self._raise: DropOrder | None = None  # the PCID whose generation the drop raises
        self._asked: Request | None = None  # what is looked up
        self._sizes: list[int] = []  # in which order, if it is under way
        self._found: tuple[int, int, Found] | None = None  # a hit that waits to be answered
        self._missed: deque[Request] = deque()  # from earlier cycles, not accepted yet
        self._kept: dict[tuple[int, int], Asked] = {}  # what walks are for, by port and miss
        self._fills: deque[tuple[Asked, Found]] = deque()
        self._fill_waits = self._entered = False
        self._answered = self._fails = False  # in this cycle
        self._refused: tuple[int, int] | None = None  # the entry to drop at a miss

    @property
    def generations(self) -> dict[int, int]:
        """The generations of PCIDs, which are kept at a reset."""
        return self._store.generations

    @property
    def busy(self) -> bool:
        """Whether something is being dropped."""
        return self._work is Work.DROP

    @property
    def ready(self) -> bool:
        """Whether a request is accepted in this cycle."""
        return self._asked is None

    def look(self, walked: WalkResult | None) -> tuple[WalkResult | None, Request | None]:
        """Return the hit that is answered, and the request that is offered to the walker.

        What was ``walked`` is answered before a hit.
        """
        self._fails, self._refused = False, None
        if self._work is Work.LOOKUP and self._found is None and self._age >= OUTCOME:
            self._judge(self._age - OUTCOME)
        self._answered = self._found is not None and walked is None
        hit = None
        if self._answered and self._found is not None and self._asked is not None:
            _, port, miss = self._asked
            hit = WalkResult(port, miss, found=self._found[2])
        if self._missed:
            return hit, self._missed[0]
        return hit, self._asked if self._fails else None

    def _judge(self, number: int) -> None:
        """Find what the sets that were read for the size of that number say of the request."""
        assert self._asked is not None
        found = self._store.find(self._asked[0], self._sizes[number])
        if found is not None and found[3]:
            self._found = found[:3]
        elif found is not None or number == len(self._sizes) - 1:
            self._fails, self._refused = True, None if found is None else found[:2]

    def cycle(self, came: Request | None, drop: DropOrder | None, walked: WalkResult | None,
              *, taken: bool) -> int:
        """Play a cycle after ``look``; return the events.

        ``came`` is a request that is accepted, ``taken`` says that the walker accepts what is
        offered.
        """
        events = self._finish(drop)
        self._pass_on(taken)
        fill_waits = self._fill_waits and not self._entered
        pops = self._entered
        self._fill_waits = bool(self._fills) and not pops and drop is None
        if pops:
            self._fills.popleft()
        self._entered = False
        ends = self._go_on(drop)
        if came is not None:
            self._asked = came
            self._kept[came[1:]] = came[0]
        elif self._answered or self._fails:
            self._asked = None
        self._note_walked(walked, drop)
        idle = self._work is Work.NOTHING
        self._age += 1
        if drop is not None:
            self._begin_drop(drop)
        elif idle and fill_waits:
            self._work, self._age = Work.FILL, 0
        elif idle and self._asked is not None:
            self._work, self._age, self._sizes = Work.LOOKUP, 0, self._store.sizes()
        elif ends:
            self._work = Work.NOTHING
        return events

    def _finish(self, drop: DropOrder | None) -> int:
        """Note what the lookup came to; return the events."""
        if self._answered and self._found is not None:
            index, way, found = self._found
            self._store.use(index, way)
            return self._bits["lookup"] | self._hits[found.page]
        if self._fails:
            if self._refused is not None and drop is None:
                self._store.remove(*self._refused)
            return self._bits["lookup"] | self._bits["miss"]
        return 0

    def _pass_on(self, taken: bool) -> None:
        """Keep what has missed until the walker takes it."""
        if self._fails and self._asked is not None:
            self._missed.append(self._asked)
        if taken:
            self._missed.popleft()

    def _go_on(self, drop: DropOrder | None) -> bool:
        """Do what the work under way comes to in this cycle; return whether it ends."""
        if self._work is Work.LOOKUP:
            if self._answered or drop is not None:
                self._found = None
            return self._answered or self._fails
        if self._work is Work.FILL and self._age == OUTCOME:
            if drop is None:
                self._store.fill(*self._fills[0])
                self._entered = True
            return True
        if self._work is Work.DROP:
            if self._raise is not None and self._age == OUTCOME - 1:
                self._store.raise_generation(self._raise)
                self._raise = None
            return self._age == self._ends - 1
        return False

    def _note_walked(self, walked: WalkResult | None, drop: DropOrder | None) -> None:
        """Have what was walked entered; nothing that was walked before a drop."""
        if drop is not None:
            self._fills.clear()
        elif walked is not None and walked.found is not None and not walked.stale:
            self._fills.append((self._kept[walked.port, walked.miss], walked.found))

    def _begin_drop(self, drop: DropOrder) -> None:
        """Begin a drop, which ends whatever is under way."""
        store, sweep = self._store, 2 * self._store.sets + 2
        self._work, self._age, self._raise = Work.DROP, 0, None
        if drop.by_address:
            self._ends = len(store.sizes()) + OUTCOME - 1
            store.drop(drop)
        elif drop.by_pcid and not drop.globals_too:
            wraps = store.wraps(drop)
            self._ends = OUTCOME + (sweep if wraps else 0)
            self._raise = drop
            if wraps:
                store.drop(drop)
        elif drop.by_pcid or not drop.globals_too:
            self._ends = sweep
            store.drop(drop)
        else:
            self._ends = store.sets
            store.clear()
