"""What the pool's walks are judged by, and when it is whose turn."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .entry_judge import asks_layout
from .onehot import encode
from .permission import AccessNeeds
from .select import select
from .shapes import memory_response_layout, walk_request_layout, walk_response_layout
from .walk_context import table_rights_layout
from .walk_verdict import WalkVerdict

__all__ = ["WalkReview", "reviewed_layout"]


def reviewed_layout(config):
    """Return what is to be known of a context to judge it, or another by what it came to."""
    return data.StructLayout({
        "parked": 1, "leader": range(max(2, config.walkers)), "done": 1, "judged": 1,
        "level": range(len(config.mode.levels)), "above": table_rights_layout(),
        "write": 1, "failed": 1, "stale": 1, "lacking": 1, "setting": 1})


class WalkReview(wiring.Component):
    """Keeps requests and entries, and judges one walk a cycle.

    A response that is to be judged is so in the next cycle. When there is none, a request that is
    parked with a walk that has ended is judged by the entry at which it did, the lowest context
    first.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    contexts : In(reviewed_layout), one for each context
        The contexts.
    take : In(1), taker : In, request : In(walk_request_layout)
        The context ``taker`` takes a request.
    responded : In(1), number : In, level : In, updating : In(1)
        Whether there is a response; whose it is then, at which level, to an access that sets flags.
    response : In(memory_response_layout)
        The response.
    drop : In(1)
        Something is dropped.
    replay : Out, one bit for each context
        The parked request that is judged in the next cycle.
    has_followers : Out, one bit for each context
        Others are parked with it.
    judging, judged_level, entry : Out
        The context that is judged in this cycle, if one is; the level of the entry, and the entry.
    update, restart, finish, failed, dirty, lost, sets, merged : Out(1)
        The verdict on what was judged in the cycle before, as ``WalkVerdict`` has it.
    answered : Out(1), answer : Out(walk_response_layout)
        The answer to the request that was judged in the cycle before.
    """

    def __init__(self, config):
        self._config = config
        count, number = config.walkers, range(max(2, config.walkers))
        levels = range(len(config.mode.levels))
        verdict = ("update", "restart", "finish", "failed", "dirty", "lost", "sets", "merged")
        super().__init__({
            "contexts": In(reviewed_layout(config)).array(count),
            "take": In(1), "taker": In(number), "request": In(walk_request_layout(config)),
            "responded": In(1), "number": In(number), "level": In(levels), "updating": In(1),
            "response": In(memory_response_layout(config)),
            "drop": In(1),
            "replay": Out(count), "has_followers": Out(count),
            "judging": Out(number), "judged_level": Out(levels),
            "entry": Out(8 * config.mode.entry_bytes),
            **dict.fromkeys(verdict, Out(1)),
            "answered": Out(1), "answer": Out(walk_response_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.verdict = verdict = WalkVerdict(self._config)
        contexts, subject = self.contexts, verdict.subject
        place = Signal.like(self.number)  # the context whose entry it is
        candidates, chosen = Signal(len(contexts)), Signal(len(contexts))
        leader, led = Signal.like(self.number), self._keep(m, verdict)

        def of(number, name):
            return select(number, [one[name] for one in contexts])

        m.d.comb += [
            candidates.eq(Cat(
                one.parked & select(one.leader, [other.done for other in contexts])
                for one in contexts)),
            chosen.eq(candidates & -candidates),
            self.replay.eq(Mux(self.responded, 0, chosen)),
            self.has_followers.eq(Cat(
                Cat(one.parked & (one.leader == number) for one in contexts).any()
                for number in range(len(contexts)))),
            leader.eq(of(encode(chosen), "leader")),
            led.addr.eq(leader),
        ]
        m.d.sync += [
            self.judging.eq(Mux(self.responded, self.number, encode(chosen))),
            place.eq(Mux(self.responded, self.number, leader)),
            self.entry.eq(Mux(self.responded, self.response.data, led.data)),
            self.judged_level.eq(Mux(self.responded, self.level, of(leader, "level"))),
            subject.error.eq(self.response.error),
            subject.exchanged.eq(self.response.exchanged),
            subject.updating.eq(self.updating),
            subject.replay.eq(~self.responded),
        ]
        m.d.comb += [
            subject.valid.eq(Cat(one.judged for one in contexts).any()),
            subject.entry.eq(self.entry),
            subject.level.eq(self.judged_level),
            *(subject.above[name].eq(select(place, [one.above[name] for one in contexts]))
              for name in table_rights_layout().members),
            subject.stale.eq(of(self.judging, "stale") | self.drop),
            subject.lacking.eq(of(self.judging, "lacking")),
            subject.setting.eq(of(self.judging, "setting")),
            subject.led_write.eq(of(place, "write")),
            subject.led_fault.eq(of(place, "failed")),
            *(getattr(self, name).eq(getattr(verdict, name)) for name in (
                "update", "restart", "finish", "failed", "dirty", "lost", "sets", "merged",
                "answered", "answer")),
        ]
        return m

    def _keep(self, m, verdict):
        """Keep what requests ask, and entries; return the port that reads the entries."""
        depth = max(2, len(self.contexts))
        m.submodules.needs = needs = AccessNeeds(self._config)
        m.submodules.requests = requests = memory.Memory(
            shape=asks_layout(self._config), depth=depth, init=[])
        m.submodules.entries = entries = memory.Memory(
            shape=len(self.entry), depth=depth, init=[])
        write, read = requests.write_port(), requests.read_port(domain="comb")
        write_entry = entries.write_port()
        m.d.comb += [
            write.addr.eq(self.taker),
            write.en.eq(self.take),
            needs.access.eq(self.request.access),
            needs.control.eq(self.request.control),
            write.data.port.eq(self.request.port),
            write.data.miss.eq(self.request.miss),
            *([write.data.prefetch.eq(self.request.prefetch)] if self._config.prefetches else []),
            write.data.pse.eq(self.request.control.pse),
            write.data.pge.eq(self.request.control.pge),
            write.data.needs.eq(needs.needs),
            read.addr.eq(self.judging),
            verdict.asks.eq(read.data),
            write_entry.addr.eq(self.judging),
            write_entry.en.eq(verdict.subject.valid & ~verdict.subject.replay),
            write_entry.data.eq(self.entry),
        ]
        return entries.read_port(domain="comb")
