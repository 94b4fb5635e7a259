"""The judgement of the pool's walks, in a cycle of its own after the response."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import Entry
from .bitfield import field
from .entry_judge import EntryJudge, asks_layout
from .permission import sets_dirty
from .shapes import walk_response_layout
from .walk_context import table_rights_layout
from .walk_shapes import WalkStep

__all__ = ["WalkVerdict", "subject_layout"]


def subject_layout(config):
    """Return what is judged, if ``valid``: an entry that was read or exchanged.

    With ``replay`` it is the entry at which the walk of another request ended, which ``led``:
    ``led_write`` says that this one was a write, ``led_fault`` that it ended in a fault. What is
    judged is in memory as its flags were before the last exchange.
    """
    return data.StructLayout({
        "valid": 1, "entry": 8 * config.mode.entry_bytes, "error": 1, "exchanged": 1,
        "level": range(len(config.mode.levels)), "updating": 1, "above": table_rights_layout(),
        "stale": 1, "replay": 1, "lacking": 1, "setting": 1, "led_write": 1, "led_fault": 1})


class WalkVerdict(wiring.Component):
    """Judges what a walk came to, for the request that it is for.

    The verdict comes in the next cycle, and so does the answer. A request that another's walk
    is to answer is answered if its own access, under its own registers, may use the entry as it is.
    Otherwise it has to walk itself, from the root: what is not permitted, or lacks a flag, may be
    otherwise in memory by now.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    subject : In(subject_layout), asks : In(asks_layout)
        What is judged, and for whom.
    update, restart, finish, failed : Out(1)
        The verdict, all 0 unless the subject was ``valid``: set flags of the entry, start over, or
        the request is answered; if so, whether by a fault.
    dirty : Out(1)
        ``update`` has to set the dirty flag, too.
    lost, sets : Out(1)
        The walk starts over as its exchange was lost to another writer, or to set flags.
    merged : Out(1)
        The request is answered by the walk of another.
    answered : Out(1), answer : Out(walk_response_layout)
        The answer to the request that was judged in the cycle before.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "subject": In(subject_layout(config)), "asks": In(asks_layout(config)),
            "update": Out(1), "restart": Out(1), "finish": Out(1), "failed": Out(1),
            "dirty": Out(1), "lost": Out(1), "sets": Out(1), "merged": Out(1),
            "answered": Out(1), "answer": Out(walk_response_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.judge = judge = EntryJudge(self._config)
        subject, asks = self.subject, self.asks
        replay, answer = subject.replay, Signal.like(self.answer)
        unfit, step = Signal(), judge.step
        lacks_dirty = sets_dirty(asks.needs) & ~(
            field(subject.entry, Entry.D) | subject.led_write)
        m.d.comb += [
            judge.asks.eq(asks),
            judge.place.level.eq(subject.level),
            judge.place.updating.eq(subject.updating | replay),
            judge.place.table.writable.eq(subject.above.writable),
            judge.place.table.user.eq(subject.above.user),
            judge.place.table.execute_disable.eq(subject.above.execute_disable),
            judge.response.data.eq(subject.entry),
            judge.response.error.eq(subject.error & ~replay),
            judge.response.exchanged.eq(subject.exchanged | replay),
            unfit.eq(replay & (judge.result.fault | subject.led_fault | lacks_dirty)),
            self.answered.eq(self.finish),
            self.answer.eq(answer),
        ]
        m.d.sync += [
            self.update.eq(subject.valid & (step == WalkStep.UPDATE)),
            self.dirty.eq(field(judge.desired, Entry.D)),
            self.lost.eq(subject.valid & (step == WalkStep.RESTART) & ~judge.sets),
            self.sets.eq(judge.sets),
            self.restart.eq(subject.valid & ((step == WalkStep.RESTART) | unfit)),
            self.finish.eq(subject.valid & (step == WalkStep.FINISH) & ~unfit),
            self.failed.eq(judge.result.fault),
            self.merged.eq(subject.valid & replay & (step == WalkStep.FINISH) & ~unfit),
        ]
        if self._config.notes_lacking:
            m.d.comb += judge.place.lacking.eq(subject.lacking & ~replay)
        if self._config.sets_flags_last:
            m.d.comb += judge.place.setting.eq(subject.setting)
        with m.If(subject.valid):
            m.d.sync += [
                answer.eq(judge.result),
                answer.translation.dirty.eq(
                    judge.result.translation.dirty | (replay & subject.led_write)),
                answer.stale.eq(subject.stale | judge.result.stale),
            ]
        return m
