"""The testbench of the MMU's Verilog, run by cocotb inside the simulator; see ``test_mmu.py``.

In each cycle, monitors read all ports, the reference compares them with what it expects, and the
drivers set the inputs of the next cycle: one coroutine, so that nothing depends on an order that
the simulator chooses.
"""

import os
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import cocotb
from bins import Bins
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject
from cocotb.triggers import RisingEdge
from drivers import Memory, Pace, Requester, SoftwareDriver
from page_tables import Tables
from reference import Reference
from scoreboard import Scoreboard
from stimulus import AccessSource, Software
from streams import (
    ANSWER,
    INVALIDATE,
    MEMORY_REQUEST,
    MEMORY_RESPONSE,
    REQUEST,
    Cycle,
    EventMonitor,
    Monitor,
    Stream,
)

from pagewalk.hdl.shapes import page_name
from pagewalk.model.x86 import MODES, PagingMode

PORTS = ("fetch", "data")
PACES = (
    Pace("full speed", 2500, request=1, take_answer=1, take_access=1, latency=1, operation=0.003),
    Pace("slow memory", 1000, request=1, take_answer=1, take_access=0.6, latency=4, operation=0.03),
    Pace("slow requesters", 1000, request=0.4, take_answer=0.4, take_access=1, latency=2,
         operation=0.05),
    Pace("all mixed", 1000, request=0.7, take_answer=0.6, take_access=0.7, latency=3,
         operation=0.12),
)
STUCK = 400  # cycles in which a run must come to an end once all is offered


class Geometry(NamedTuple):
    """Parameters of the MMU: entries of each port's TLB and of the walk cache's lowest level."""

    entries: int
    walk_cache: int


class Bench:
    """One run from reset: streams, monitors, drivers and the reference, tied together.

    All inputs have a value once it is made, reset above all. ``tag`` is the tag of the last access
    to page-table memory in the run before.
    """

    def __init__(
        self, dut: HierarchyObject, tables: Tables, geometry: Geometry, pace: Pace, bins: Bins,
        seed: int, tag: int,
    ) -> None:
        self.scoreboard = Scoreboard()
        self._reset, self._edge = dut.rst, RisingEdge(dut.clk)
        self._tables, self._cycle = tables, 0
        self._reference = Reference(
            tables, PORTS, geometry.entries, geometry.walk_cache, self.scoreboard, bins, tag)
        streams = {stream.name: stream for stream in _streams(dut)}
        self._monitors = {name: Monitor(stream) for name, stream in streams.items()}
        self._event_monitor = EventMonitor(dut, _event_names(tables.mode))
        rng = Random(f"{seed} {pace.name}")
        sources = [AccessSource(tables, port, rng) for port in PORTS]
        self._requesters = [
            Requester(streams[f"{port}_req"], streams[f"{port}_rsp"], source, pace, rng)
            for port, source in zip(PORTS, sources, strict=True)]
        self._memory = Memory(streams["memory_req"], streams["memory_rsp"], tables, pace, rng)
        self._software = SoftwareDriver(
            dut, streams["invalidate"], Software(tables, sources, rng), pace, rng)
        self._reset.value = 1
        for stream in streams.values():
            stream.clear()

    async def run(self) -> int:
        """Play until every request has its answer, then compare what is left; return ``tag``."""
        await self._edge
        await self._edge
        self._reset.value = 0
        last = None
        while last is None or self._cycle < last:
            await self._edge
            self._step()
            if last is None and not any(requester.left for requester in self._requesters):
                self._software.active = False
                last = self._cycle + STUCK
            if last is not None and self._reference.idle and not self._software.busy:
                last = min(last, self._cycle + 2)  # events come a cycle late
        self.scoreboard.equal("requests without an answer", False, not self._reference.idle)
        self.scoreboard.finish(self._tables.memory, self._tables.shadow, list(PORTS))
        return self._reference.tag

    def _step(self) -> None:
        beats = {name: monitor.sample() for name, monitor in self._monitors.items()}
        events = self._event_monitor.sample()
        cycle = Cycle(self._cycle, self._software.control, beats, events)
        self._reference.step(cycle)
        accepted = sum(beats[f"{port}_req"].transfer for port in PORTS)
        self._memory.step(cycle)
        self._software.step(cycle, accepted, memory_is_busy=self._memory.is_busy)
        for requester in self._requesters:
            requester.step(cycle)
        self._cycle += 1


def _streams(dut: HierarchyObject) -> list[Stream]:
    """Return the streams of the MMU."""
    streams = [
        Stream(dut, "invalidate", INVALIDATE, outward=False),
        Stream(dut, "memory_req", MEMORY_REQUEST, outward=True),
        Stream(dut, "memory_rsp", MEMORY_RESPONSE, outward=False),
    ]
    for port in PORTS:
        streams.append(Stream(dut, f"{port}_req", REQUEST, outward=False))
        streams.append(Stream(dut, f"{port}_rsp", ANSWER, outward=True))
    return streams


def _event_names(mode: PagingMode) -> Iterator[str]:
    for port in PORTS:
        yield from (f"{port}_{event}" for event in ("lookup", "miss", "stall", "fault"))
        yield from (f"{port}_hit_{page_name(page)}" for page in mode.pages)
    yield from (f"walk_{event}" for event in ("start", "end", "update", "restart", "fault"))
    yield from (f"walk_hit_{level.name.lower()}" for level in mode.levels[:-1])
    yield from (f"walk_read_{level.name.lower()}" for level in mode.levels)
    yield "flush"


@cocotb.test()
async def random_traffic_agrees_in_every_cycle(dut: HierarchyObject) -> None:
    mode = MODES[os.environ["PAGEWALK_MODE"]]
    geometry = Geometry(
        int(os.environ["PAGEWALK_ENTRIES"]), int(os.environ["PAGEWALK_WALK_CACHE"]))
    seed = int(os.environ["PAGEWALK_SEED"])
    bins, tag = Bins(mode, PORTS, walk_cache=bool(geometry.walk_cache)), 0
    for pace in PACES:
        # The same tables in every run: entries that outlive the reset would be hit.
        bench = Bench(dut, Tables(mode, Random(seed)), geometry, pace, bins, seed, tag)
        if pace is PACES[0]:
            Clock(dut.clk, 10, unit="ns").start()  # not before the inputs have their values
        tag = await bench.run()
        dut._log.info("%s: %s", pace.name, dict(bench.scoreboard.observed_events))
    dut._log.info("met:\n%s", bins.table())
    assert not bins.missing, f"never met with seed {seed}: {', '.join(bins.missing)}"
