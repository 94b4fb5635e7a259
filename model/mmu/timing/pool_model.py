"""Several walks at once, or one in several stages: what the pool offers to memory in a cycle."""

from typing import NamedTuple

from ...x86 import Cr4, Entry
from .cycle import Asked, DropOrder, MemoryAccess, MemoryReply, WalkResult
from .entry_steps import Next
from .event_names import EventBits
from .pool_judge import Verdict, verdict_on
from .pool_reads import COUNTS, known, leads, read_of
from .pool_tables import PoolTables
from .pool_walk import PoolWalk, Stage, Subject
from .timed_geometry import TimedGeometry
from .walk_cache_model import TableAt

__all__ = ["PoolModel"]

class Moment(NamedTuple):
    """What the walks are up to in a cycle, a value for each."""

    wants: list[bool]
    waiting: list[bool]
    judged: list[bool]
    parked: list[bool]


class Offered(NamedTuple):
    """What is offered: whose access it is, whether it follows from the response, and what."""

    source: int
    following: bool
    access: MemoryAccess | None
    led: TableAt | None  # the table that the response leads to
    responder: int  # the walk whose response it is, -1 if nobody's


class PoolModel:
    """Walks for up to ``walkers`` requests; one access is offered a cycle, one response judged.

    Parameters
    ----------
    geometry : TimedGeometry
        The parameters.
    counts : sequence of int
        Of each walk, the number of the access that memory accepted last.
    """

    def __init__(self, geometry: TimedGeometry, counts: list[int]) -> None:
        self._mode, self._rules = geometry.mode, geometry.flag_rules
        self._notes = geometry.notes_lacking
        self._walks = [PoolWalk(count) for count in counts]
        self._tables = PoolTables(geometry)
        self._bits = bits = EventBits(geometry, "walk_")
        levels = [level.name.lower() for level in self._mode.levels]
        self._reads = [bits[f"read_{level}"] for level in levels]
        self._hits = [bits[f"hit_{level}"] for level in levels[:-1]]
        self._merge = bits["merge"] if geometry.walkers > 1 else 0
        self._coming: tuple[Asked, int, int] | None = None  # waits for a walk: port, miss
        self._registers: tuple[int, ...] = ()  # of the request that was taken last
        self._begun = -1  # the walk that took a request in the cycle before
        self._led: tuple[int, Asked, TableAt, bool] | None = None  # by the last response
        self._passed = False  # the access that this led to was accepted
        self._subject: Subject | None = None
        self._last_judged = -1  # in the cycle before
        self._verdict: Verdict | None = None
        self._turn, self._held = 0, False
        self.result: WalkResult | None = None
        """What is answered in this cycle."""

    @property
    def counts(self) -> list[int]:
        """Of each walk, the number of the access that memory accepted last."""
        return [walk.count for walk in self._walks]

    def accepts(self, _drop: DropOrder | None) -> bool:
        """Return whether a request is accepted in this cycle."""
        return self._coming is None or self._taker() >= 0

    def _free(self) -> int:
        """Return the first walk that is free, -1 if none is."""
        return next((number for number, walk in enumerate(self._walks)
                     if walk.stage is Stage.FREE), -1)

    def _taker(self) -> int:
        """Return the walk that takes the request that waits, -1 if none does."""
        return self._free() if self._coming is not None and self._tables.looking else -1

    def cycle(self, reply: MemoryReply | None, drop: DropOrder | None, takes: bool,
              came: tuple[Asked, int, int] | None) -> tuple[MemoryAccess | None, int]:
        """Play a cycle; return the access that is offered, and the events.

        ``came`` is a request that is accepted in this cycle, with its port and miss.
        """
        moment, taker = self._moment(), self._taker()
        offered = self._offer(moment, reply)
        events = self._events(offered, takes, taker)
        fill = self._fill()
        verdict, self.result = None, None
        if self._subject is not None and any(moment.judged):
            verdict, self.result = verdict_on(self._subject, self._walks, self._rules,
                                              dropped=drop is not None)
        replay = self._replay(moment) if reply is None else -1
        subject = self._next_subject(reply, replay)
        expected = self._expected()
        following = self._following(moment, expected)
        kept = self._coming[0] if taker >= 0 and self._coming else None
        leader = self._leader(moment, kept) if kept is not None else -1
        self._move(moment, offered, takes)
        self._respond(reply, offered, takes)
        self._turn_on(moment, offered, takes, following)
        if drop is not None:
            for walk in self._walks:
                walk.stale = True
        for number, walk in enumerate(self._walks):
            walk.replayed = number == replay
        asks = (self._coming is not None and taker < 0) or came is not None
        self._tables.cycle(kept, fill, asks, drop)
        self._take(taker, leader, drop)
        self._subject, self._verdict = subject, verdict
        if came is not None:
            self._coming = came
        return offered.access, events

    def _moment(self) -> Moment:
        """Return what the walks are up to."""
        led, passed = self._led is not None, self._passed
        wants, waiting, judged, parked = [], [], [], []
        for number, walk in enumerate(self._walks):
            stage, back = walk.stage, walk.stage is Stage.WAIT and walk.responded
            begins = stage is Stage.BEGIN and number == self._begun and not self._tables.found
            wants.append(begins or stage is Stage.ASK or (back and led and not passed))
            waiting.append(stage is Stage.WAIT and (not walk.responded or (led and passed)))
            replayed = stage is Stage.PARKED and walk.replayed
            judged.append((back and not led) or replayed)
            parked.append(stage is Stage.PARKED and not walk.replayed)
        return Moment(wants, waiting, judged, parked)

    # ---- memory

    def _offer(self, moment: Moment, reply: MemoryReply | None) -> Offered:
        """Return what is offered: what a response leads to, or what the walk in turn wants."""
        number, responder, led = self._turn, -1, None
        if reply is not None:
            number = reply.tag // COUNTS
            walk = self._walks[number]
            if moment.waiting[number] and reply.tag % COUNTS == walk.count:
                responder, led = number, leads(walk, known(walk, reply, self._rules), self._rules)
            if not self._held:
                access = None if led is None else read_of(walk, number, led)
                return Offered(number, True, access, led, responder)
        walk = self._walks[self._turn]
        if not moment.wants[self._turn]:
            return Offered(self._turn, False, None, led, responder)
        if not walk.updating:
            access = read_of(walk, self._turn, walk.table)
        else:
            flags = Entry.A | Entry.D if walk.dirty else Entry.A
            access = read_of(walk, self._turn, walk.table)._replace(
                op=1, expected=walk.entry, desired=walk.entry | flags)
        return Offered(self._turn, False, access, led, responder)

    def _respond(self, reply: MemoryReply | None, offered: Offered, takes: bool) -> None:
        """Note whose response there was, and where it led."""
        for number, walk in enumerate(self._walks):
            walk.responded = number == offered.responder
        self._led = None
        self._passed = offered.following and offered.access is not None and takes
        if reply is None or offered.responder < 0:
            return
        walk = self._walks[offered.responder]
        entry = known(walk, reply, self._rules).data
        accessed = bool(entry & Entry.A) or walk.updating
        walk.before = walk.table
        if offered.led is not None:
            assert walk.asked is not None
            notes = self._notes
            cacheable = not entry & Entry.PS and not (notes and (not accessed or walk.lacking))
            walk.lacking = walk.lacking or (notes and not accessed)
            self._led = offered.responder, walk.asked, offered.led, cacheable
            walk.table = offered.led
            walk.updating = False

    def _turn_on(self, moment: Moment, offered: Offered, takes: bool, following: int) -> None:
        """Give the port to the next walk, unless what is offered has to stay."""
        if offered.access is not None and takes:
            self._walks[offered.source].count = offered.access.tag % COUNTS
        self._held = offered.access is not None and not takes
        if self._held:
            self._turn = offered.source
        elif not (moment.wants[self._turn] and offered.source != self._turn):
            self._turn = following

    def _following(self, moment: Moment, expected: int) -> int:
        """Return the walk after that in turn that wants the port, or else the expected one."""
        count = len(self._walks)
        others = ((self._turn + step) % count for step in range(1, count))
        return next((other for other in others if moment.wants[other]), expected)

    def _expected(self) -> int:
        """Return the walk that may want the port in the next cycle."""
        if self._begun >= 0 and self._tables.found:
            return self._begun
        if self._coming is not None or self._last_judged < 0:
            return max(self._free(), 0)
        return self._last_judged

    def _fill(self) -> tuple[Asked, TableAt] | None:
        """Return the table that the response of the cycle before led to, if it may be kept."""
        if self._led is None:
            return None
        number, asked, table, cacheable = self._led
        return (asked, table) if cacheable and not self._walks[number].stale else None

    # ---- requests

    def _leader(self, moment: Moment, asked: Asked) -> int:
        """Return the walk that answers a request as well, -1 if it walks itself."""
        view, count = asked.view, len(self._walks)
        registers = view.root, asked.pcid, view.control.cr4 & Cr4.PSE, int(view.nxe)
        same, self._registers = registers == self._registers, registers
        if count == 1:
            return -1
        leader = next((number for number, walk in enumerate(self._walks)
                       if same and walk.current and not walk.stale and not moment.judged[number]
                       and walk.asked is not None and walk.asked.vpn == asked.vpn
                       and not walk.asked.quiet and not asked.quiet), -1)
        if not same:
            for walk in self._walks:
                walk.current = False
        return leader

    def _take(self, taker: int, leader: int, drop: DropOrder | None) -> None:
        """Have a walk take the request that waits."""
        self._begun = taker
        if taker < 0 or self._coming is None:
            return
        walk = self._walks[taker]
        walk.asked, walk.port, walk.miss = self._coming
        self._coming = None
        walk.stale, walk.current = drop is not None, leader < 0
        walk.leader = max(leader, 0)
        walk.stage = Stage.BEGIN if leader < 0 else Stage.PARKED
        walk.replayed = walk.responded = False
        walk.to_root()

    # ---- stages

    def _move(self, moment: Moment, offered: Offered, takes: bool) -> None:
        """Bring each walk to its stage of the next cycle."""
        self._last_judged = -1
        for number, walk in enumerate(self._walks):
            accepted = (moment.wants[number] and not offered.following and takes
                        and self._turn == number)
            if walk.stage is Stage.BEGIN and self._tables.found:
                assert walk.asked is not None
                walk.table = self._tables.begin(walk.asked) or walk.table
                walk.stage = Stage.ASK
            elif moment.wants[number]:
                walk.stage = Stage.WAIT if accepted else Stage.ASK
            elif moment.judged[number]:
                self._go_back(number, walk)
            elif walk.stage is Stage.OBEY:
                self._obey(number, walk, moment)
            elif walk.stage is Stage.DONE and not self._is_led(number, moment):
                walk.stage = Stage.FREE

    def _is_led(self, number: int, moment: Moment) -> bool:
        """Return whether others are parked with a walk."""
        return any(parked and walk.leader == number
                   for parked, walk in zip(moment.parked, self._walks, strict=True))

    def _go_back(self, number: int, walk: PoolWalk) -> None:
        """Be at the entry that is judged."""
        subject = self._subject
        assert subject is not None
        self._last_judged = number
        walk.current, walk.stage, walk.entry = False, Stage.OBEY, subject.reply.data
        if not subject.replay:
            walk.table = walk.before

    def _obey(self, number: int, walk: PoolWalk, moment: Moment) -> None:
        """Do what the judge said in the cycle before."""
        verdict = self._verdict
        assert verdict is not None
        step = verdict.step
        walk.updating = step.step is Next.UPDATE
        walk.dirty = bool(step.desired & Entry.D)
        walk.stage = Stage.ASK
        if step.step is Next.RESTART or verdict.unfit:
            walk.to_root()
            walk.setting = step.sets
        elif step.step is Next.FINISH:
            assert step.result is not None
            walk.failed = step.result.found is None
            walk.stage = Stage.DONE if self._is_led(number, moment) else Stage.FREE

    # ---- the judge

    def _replay(self, moment: Moment) -> int:
        """Return the first parked walk whose leader has ended, -1 if there is none."""
        return next((number for number, walk in enumerate(self._walks) if moment.parked[number]
                     and self._walks[walk.leader].stage is Stage.DONE), -1)

    def _next_subject(self, reply: MemoryReply | None, replay: int) -> Subject | None:
        """Return what is judged in the next cycle, if a walk is."""
        if reply is not None:
            number = reply.tag // COUNTS
            walk = self._walks[number]
            return Subject(number, number, walk.table.level, known(walk, reply, self._rules),
                           walk.updating, replay=False)
        if replay < 0:
            return None
        leader = self._walks[replay].leader
        walk = self._walks[leader]
        return Subject(replay, leader, walk.table.level, MemoryReply(0, walk.entry, 1),
                       updating=True, replay=True)

    def _events(self, offered: Offered, takes: bool, taker: int) -> int:
        """Return the events of this cycle, those of the verdict of the cycle before included."""
        bits, events = self._bits, 0
        if self.result is not None:
            events |= bits["end"] if self.result.found else bits["end"] | bits["fault"]
        verdict = self._verdict
        if verdict is not None:
            if verdict.step.step is Next.RESTART and not verdict.step.sets:
                events |= bits["restart"]
            elif verdict.replay and not verdict.unfit:
                events |= self._merge
        if taker >= 0:
            events |= bits["start"]
        if offered.access is not None and takes:
            walk = self._walks[offered.source]
            table = offered.led if offered.following and offered.led else walk.table
            events |= bits["update"] if offered.access.op else self._reads[table.level]
        if self._begun >= 0 and self._walks[self._begun].stage is Stage.BEGIN:
            asked = self._walks[self._begun].asked
            table_found = self._tables.begin(asked) if asked is not None else None
            if table_found is not None:
                events |= self._hits[table_found.level - 1]
        return events
