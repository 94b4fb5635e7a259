"""The plain dictionary that workloads are compared with."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.sim.workloads.expected import Expected
from pagewalk.sim.workloads.memory_only import paged
from pagewalk.sim.workloads.workload import (
    DATA_ACCESS,
    Discard,
    Exit,
    Fork,
    Map,
    Move,
    Protect,
    Region,
    Unmap,
)

REGIONS = Region(0x1000, 1), Region(0x2000, 1, shared=True)

accesses = st.lists(st.builds(
    lambda process, store, bits, slot, value: (
        process, store, 1 << bits, 0x1FF0 + (slot >> bits << bits),
        value & (1 << 8 * (1 << bits)) - 1 if store else 0),
    st.integers(0, 1), st.booleans(), st.integers(0, 3), st.integers(0, 31),
    st.integers(0, (1 << 64) - 1)), max_size=60)


@given(accesses)
def test_expected_values_are_those_of_memory_byte_by_byte(rows):
    memory, found = {}, []
    for process, store, size, vaddr, value in rows:
        owner = process if vaddr < 0x2000 else "both"
        found.append(int.from_bytes(
            bytes(memory.get((owner, vaddr + i), 0) for i in range(size)), "little"))
        if store:
            data = value.to_bytes(size, "little")
            memory.update({(owner, vaddr + i): byte for i, byte in enumerate(data)})
    expected = Expected(REGIONS)
    assert expected.values(np.array(rows, DATA_ACCESS)).tolist() == found
    sweep = expected.sweep()
    stored = {(owner, vaddr >> 3) for owner, vaddr in memory}
    swept = [(process if vaddr < 0x2000 else "both", vaddr >> 3)
             for process, _, _, vaddr, _ in sweep.tolist()]
    assert len(swept) == len(stored)
    assert set(swept) == stored
    assert not sweep["store"].any()
    for (owner, number), value in zip(swept, expected.values(sweep).tolist(), strict=True):
        assert value == int.from_bytes(
            bytes(memory.get((owner, 8 * number + i), 0) for i in range(8)), "little")


def test_expected_values_of_many_accesses_go_on_from_part_to_part(monkeypatch):
    made = paged("random", pages=3, visits=50, span=16)
    whole = Expected(made.regions).values(made.accesses)
    monkeypatch.setattr(Expected, "CHUNK", 7)
    assert (Expected(made.regions).values(made.accesses) == whole).all()
    assert whole.any()


class Memory:
    """Stores and loads of 8 bytes by hand."""

    def __init__(self, *regions):
        self.expected = Expected(regions)

    def store(self, process, vaddr, value):
        self.expected.values(np.array([(process, True, 8, vaddr, value)], DATA_ACCESS))

    def load(self, process, vaddr):
        return int(self.expected.values(np.array([(process, False, 8, vaddr, 0)], DATA_ACCESS))[0])


def test_a_fork_copies_what_is_private_and_shares_the_rest():
    memory = Memory(*REGIONS)
    memory.store(0, 0x1008, 1)
    memory.store(0, 0x2008, 2)
    memory.expected.happens(Fork(0))
    memory.store(0, 0x1008, 3)
    memory.store(1, 0x2008, 4)
    assert [memory.load(process, 0x1008) for process in (0, 1)] == [3, 1]
    assert [memory.load(process, 0x2008) for process in (0, 1)] == [4, 4]
    memory.expected.happens(Exit(0))
    memory.expected.happens(Fork(1))
    assert memory.load(2, 0x1008) == 1
    swept = memory.expected.sweep()
    assert set(swept["process"].tolist()) == {1, 2}


def test_what_is_mapped_anew_unmapped_or_discarded_is_forgotten_to_the_byte():
    for event in (Map, Unmap, Discard):
        memory = Memory()
        for vaddr in (0x4FF8, 0x5000, 0x6FF8, 0x7000):
            memory.store(0, vaddr, vaddr)
        memory.expected.happens(event(0, Region(0x5000, 2)))
        assert [memory.load(0, vaddr) for vaddr in (0x4FF8, 0x5000, 0x6FF8, 0x7000)] == [
            0x4FF8, 0, 0, 0x7000]


def test_a_page_that_moves_takes_what_it_holds_with_it():
    memory = Memory()
    for vaddr in (0x5000, 0x5FF8, 0x6000):
        memory.store(0, vaddr, vaddr)
    memory.expected.happens(Move(0, 0x5000, 0x9000))
    memory.expected.happens(Protect(0, Region(0x9000, 1), False))
    assert [memory.load(0, vaddr) for vaddr in (0x5000, 0x5FF8, 0x6000, 0x9000, 0x9FF8)] == [
        0, 0, 0x6000, 0x5000, 0x5FF8]
