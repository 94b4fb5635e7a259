"""The model of the MMU's timing by itself: the figures that the timing reference promises."""

from dataclasses import replace

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.control import Access
from pagewalk.model.mmu.timing.control_view import view_of
from pagewalk.model.mmu.timing.cycle import Asked, CycleInputs, MemoryReply, Operation
from pagewalk.model.mmu.timing.event_names import event_names
from pagewalk.model.mmu.timing.mmu_model import MmuModel
from pagewalk.model.x86 import IA32, X86_64, AccessKind, InvalidateOp, Vector
from pagewalk.sim.engine.timing import timed_geometry

from ....hdl.tables import Tables

DATA, NEXT = 0x5000, 0x6000
REGISTERS = {"pcid": 0, "pg": 1, "wp": 1, "pse": 1, "pge": 1, "pcide": 0, "smep": 0, "smap": 0,
             "pke": 0, "nxe": 1, "pkru": 0}
SMALL = Config(mode=X86_64, ports=("data",), entries=4, walk_cache=2)


class Bench:
    """One port of a model, with memory that takes ``latency`` cycles."""

    def __init__(self, config, latency=1):
        self.tables = Tables(config.mode)
        for vaddr in (DATA, NEXT):
            self.tables.map(vaddr, vaddr + 0x10000)
        geometry = timed_geometry(config)
        self.model, self.names = MmuModel(geometry), event_names(geometry)
        self.view = view_of(config.mode, geometry.physical_bits,
                            REGISTERS | {"root": self.tables.cr3 >> 12})
        self.latency, self.cycle, self.due = latency, 0, {}

    def step(self, request=None, operation=None):
        """Play a cycle in which this is offered; return its outputs."""
        asked = None if request is None else Asked(self.view, request, 0)
        outputs = self.model.cycle(CycleInputs(
            self.view, [asked], [True], operation, self.due.pop(self.cycle, None)))
        if outputs.access is not None:
            assert not outputs.access.op
            self.due[self.cycle + self.latency] = MemoryReply(
                outputs.access.tag, self.tables.read(outputs.access.address))
        self.cycle += 1
        return outputs

    def access(self, vaddr, kind=AccessKind.READ):
        """Offer an access until it is accepted; return the cycles to its answer, and that."""
        request = Access(vaddr, kind)
        for _ in range(100):
            outputs, accepted = self.step(request), self.cycle - 1
            if outputs.ready[0]:
                break
        while outputs.answers[0] is None:
            outputs = self.step()
            assert self.cycle - accepted < 100
        return self.cycle - 1 - accepted, outputs.answers[0]

    def cycles(self, vaddr):
        """Return the cycles from the acceptance of a read to its answer, which must be right."""
        cycles, answer = self.access(vaddr)
        assert (answer.fault, answer.paddr) == (0, vaddr + 0x10000)
        return cycles


@pytest.mark.parametrize(("latency", "miss", "by_table"), [(1, 6, 3), (3, 14, 5)])
def test_a_miss_takes_two_cycles_and_its_memory_latencies(latency, miss, by_table):
    bench = Bench(SMALL, latency)
    assert [bench.cycles(vaddr) for vaddr in (DATA, DATA, NEXT, NEXT)] == [miss, 1, by_table, 1]


@pytest.mark.parametrize(("options", "miss", "hit", "by_table"), [
    ({"hit_latency": 0}, 6, 0, 3), ({"hit_latency": 2}, 7, 2, 4),
    ({"memory_response": "registered"}, 10, 1, 4), ({"walk_cache": 0}, 6, 1, 6),
    ({"walk_stages": 2}, 9, 1, 7), ({"misses": 2}, 6, 1, 3),
    ({"ways": 2}, 6, 1, 3)])
def test_each_option_costs_what_is_promised(options, miss, hit, by_table):
    bench = Bench(replace(SMALL, **options))
    assert [bench.cycles(vaddr) for vaddr in (DATA, DATA, NEXT)] == [miss, hit, by_table]


def test_a_second_level_hit_takes_five_cycles_and_a_miss_there_four_more():
    bench = Bench(replace(SMALL, entries=1, l2_entries=16))
    for vaddr, cycles in ((DATA, 6 + 4), (NEXT, 3 + 4), (DATA, 5)):
        assert bench.cycles(vaddr) == cycles
        for _ in range(6):  # in which the page is entered
            bench.step()


def test_after_a_page_fault_nothing_is_accepted_for_two_cycles():
    bench = Bench(replace(SMALL, mode=IA32))
    cycles, answer = bench.access(0x40_0000)
    assert (cycles, answer.vector) == (3, Vector.PF)
    ready = [bench.step(Access(DATA)).ready[0] for _ in range(3)]
    assert ready == [False, False, True]


def test_an_operation_is_accepted_when_all_is_answered_and_drops_in_the_next_cycle():
    bench = Bench(SMALL)
    bench.cycles(DATA)
    operation = Operation(InvalidateOp.INVLPG, DATA)
    # In the cycle after the answer to a walk its page is entered.
    assert [bench.step(Access(DATA)).ready for _ in range(2)] == [[False], [True]]
    waits, taken = bench.step(operation=operation), bench.step(operation=operation)
    assert (waits.operation_ready, taken.operation_ready) == (False, True)
    assert "flush" in [name for bit, name in enumerate(bench.names) if taken.events >> bit & 1]
    assert bench.step(Access(DATA)).ready == [False]
    assert bench.cycles(DATA) == 6


def test_a_reset_empties_all_and_counts_accesses_on():
    bench = Bench(SMALL)
    bench.cycles(DATA)
    bench.model.cycle(CycleInputs(bench.view, [None], [True], reset=True))
    bench.step(Access(DATA))
    assert bench.step().access.tag == 5  # after the four of the first walk
    bench = Bench(SMALL)
    bench.step(Access(DATA))
    assert bench.step().access.tag == 1
