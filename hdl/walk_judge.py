"""What the response to a page-table access leads to. [SDM 4.5 to 4.8]"""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .entry_judge import EntryJudge
from .permission import AccessNeeds
from .shapes import memory_response_layout, walk_request_layout, walk_response_layout
from .walk_shapes import WalkStep, place_layout

__all__ = ["WalkJudge"]


class WalkJudge(wiring.Component):
    """Decides how a walk goes on, given the entry that memory returned. Combinational.

    It is an ``EntryJudge`` for whole requests, of which it finds out what they ask of the entry.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    request : In(walk_request_layout)
        What the walk is for.
    place : In(place_layout)
        The entry that was accessed, and whether the access was to set its flags.
    response : In(memory_response_layout)
        What memory said. An exchange is judged by the entry as it was before it.
    step : Out(WalkStep)
        What the walk does next, never ``BEGIN`` or ``REPEAT``.
    below : Out(place_layout)
        Where ``DESCEND`` leads.
    sets : Out(1)
        ``RESTART`` begins again to set flags, and not because memory refused.
    cacheable : Out(1)
        The walk cache may hold the table of ``below``.
    desired : Out
        What ``UPDATE`` makes of the entry.
    result : Out(walk_response_layout)
        What ``FINISH`` answers, as ``EntryJudge`` has it.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "request": In(walk_request_layout(config)),
            "place": In(place_layout(config)),
            "response": In(memory_response_layout(config)),
            "step": Out(WalkStep),
            "below": Out(place_layout(config)),
            "sets": Out(1),
            "cacheable": Out(1),
            "desired": Out(8 * config.mode.entry_bytes),
            "result": Out(walk_response_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.needs = needs = AccessNeeds(self._config)
        m.submodules.judge = judge = EntryJudge(self._config)
        request, asks = self.request, judge.asks
        m.d.comb += [
            needs.access.eq(request.access),
            needs.control.eq(request.control),
            asks.port.eq(request.port),
            asks.miss.eq(request.miss),
            *([asks.prefetch.eq(request.prefetch)] if self._config.prefetches else []),
            asks.pse.eq(request.control.pse),
            asks.pge.eq(request.control.pge),
            asks.needs.eq(needs.needs),
            judge.place.eq(self.place),
            judge.response.eq(self.response),
            self.step.eq(judge.step),
            self.below.eq(judge.below),
            self.sets.eq(judge.sets),
            self.cacheable.eq(judge.cacheable),
            self.desired.eq(judge.desired),
            self.result.eq(judge.result),
        ]
        return m
