import pytest

from pagewalk.model.physical.page import PageState
from pagewalk.sim.buddy.free_lists import read_free_lists
from pagewalk.sim.buddy.ftrace import Event, Kind
from pagewalk.sim.buddy.snapshot_machine import SnapshotMachine
from pagewalk.sim.errors import InputError

from ..kernel_traces import BOOTS, free_list_arrays, recorded, write_free_lists

ZONE_FREE = [(0, 0, 3, 1, 0, 1024), (0, 0, 3, 1, 1, 800), (0, 1, 10, 2, 0, 5120)]


@pytest.fixture
def lists(tmp_path):
    """Return free lists of two zones, read from a file."""
    def read(free=ZONE_FREE, pcp=()):
        return read_free_lists(write_free_lists(tmp_path / "x.npz", free_list_arrays(free, pcp)))
    return read


@pytest.mark.parametrize("boot", BOOTS)
def test_a_machine_is_as_recorded(boot):
    _, lists = recorded(boot)
    machine = SnapshotMachine(lists)
    assert {(number, order, kind): zone.free_list(order, kind).tolist()
            for number, zone in enumerate(machine.zones) for order in range(11)
            for kind in range(5) if len(zone.free_list(order, kind))} == lists.before.free
    for zone, types in zip(machine.zones, lists.before.pageblocks, strict=True):
        assert {pfn: zone.pageblock_type(pfn) for pfn in types} == types
        zone.check()
    pcps = machine.per_cpu_pages(lists.before, 0)
    assert {(number, pindex): list(pages) for number, pcp in enumerate(pcps)
            for pindex, pages in enumerate(pcp.lists) if pages} == lists.before.pcp
    for pcp in pcps:
        pcp.check()


def test_what_is_not_free_is_allocated(lists):
    machine = SnapshotMachine(lists())
    assert machine.mem_map.block(1) == machine.mem_map.block(4095) == (PageState.ALLOCATED, 0)
    assert machine.mem_map.block(8292)[0] == PageState.HOLE
    assert machine.zone_of(4095) is machine.zones[0]
    assert machine.zone_of(4096) is machine.zones[1]


def test_sizes_of_per_cpu_lists_follow_from_the_zone(lists):
    recorded_lists = lists()
    pcps = SnapshotMachine(recorded_lists).per_cpu_pages(recorded_lists.before, 0)
    assert [(pcp.batch, pcp.high) for pcp in pcps] == [(1, 237), (1, 20)]
    pcps = SnapshotMachine(recorded_lists).per_cpu_pages(recorded_lists.before, 8)
    assert [(pcp.batch, pcp.high) for pcp in pcps] == [(1, 480), (1, 524)]


def test_any_allocated_pages_may_turn_out_to_be_a_block(lists):
    machine = SnapshotMachine(lists())
    assert machine.adopt(1040, 4)
    assert machine.mem_map.block_of(1055) == (1040, PageState.ALLOCATED, 4)
    assert machine.adopt(1040, 4)
    assert machine.adopt(1042, 0)
    assert not machine.adopt(1024, 4)  # its first half is free
    assert not machine.adopt(800, 0)


@pytest.mark.parametrize(("free", "message"), [
    ([(0, 0, 3, 1, 0, 1025)], "No block of order 3 begins at page 0x401"),
    ([(0, 0, 3, 1, 0, 1024), (0, 0, 1, 1, 0, 1026)], "Block of order 1 at page 0x402 overlaps a "),
    ([(0, 0, 3, 1, 0, 1024), (0, 0, 4, 1, 0, 1024)], "Block of order 4 at page 0x400 overlaps a "),
    ([(0, 1, 10, 1, 0, 8192)], "Block of order 10 at page 0x2000 overlaps a "),
    ([(0, 0, 3, 1, 0, 1024), (0, 0, 3, 1, 1, 1032)],
     "Two free buddies of order 3 lie side by side at page 0x400"),
])
def test_lists_that_no_kernel_has_at_rest_are_refused(lists, free, message):
    recorded_lists = lists(free)
    with pytest.raises(InputError) as error:
        SnapshotMachine(recorded_lists)
    assert str(error.value).startswith(f"{recorded_lists.path}: before_free: {message}")
    assert str(error.value).endswith("; expected the free lists of a kernel at rest")


@pytest.mark.parametrize(("pcp", "message"), [
    ([(0, 0, 1, 0, 1025)], "Page 0x401 is not allocated"),
    ([(0, 0, 1, 0, 1100), (0, 0, 2, 0, 1100)], "Page 0x44c is not allocated"),
    ([(0, 0, 3, 0, 1101)], "No block of order 1 begins at page 0x44d"),
    ([(0, 1, 9, 0, 8288)], "Page 0x2060 is not of zone Normal"),
])
def test_per_cpu_pages_that_are_free_or_listed_twice_are_refused(lists, pcp, message):
    recorded_lists = lists(pcp=pcp)
    with pytest.raises(InputError) as error:
        SnapshotMachine(recorded_lists).per_cpu_pages(recorded_lists.before, 0)
    assert str(error.value) == (f"{recorded_lists.path}: before_pcp: {message}; expected pages "
                                f"that are on one list")


@pytest.mark.parametrize(("pfn", "order"), [(0, 0), (8292, 0), (8288, 3), (1 << 40, 0)])
def test_events_of_another_machine_are_refused(lists, pfn, order):
    recorded_lists = lists()
    with pytest.raises(InputError, match=rf"x\.npz: zone: none has page {pfn:#x}, which the trace "
                                         rf"names in line 9; expected the free lists of the mach"):
        SnapshotMachine(recorded_lists).check_events([Event(9, Kind.FREE, pfn, order)])
