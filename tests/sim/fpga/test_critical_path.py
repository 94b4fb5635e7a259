import pytest

from pagewalk.sim.fpga.critical_path import PORTS, Station, critical_path
from pagewalk.sim.fpga.placement import Stretch

from .netlists import toggle


def logic(ns, cell="x"):
    return Stretch("logic", ns, "", cell)


def routing(ns, net):
    return Stretch("routing", ns, net, "x")


def test_stations_are_nets_and_the_register_at_the_end():
    path = critical_path([
        logic(0.5), routing(1.0, "mmu.unit.leaf.seen"), logic(0.2), routing(2.0, "go_LUT4_A_Z"),
        logic(0.1, "mmu.unit.state_TRELLIS_FF_Q")], toggle())
    assert path.stations == (
        Station("unit", "state", 0.5, 1.0), Station("", "near go", 0.2, 2.0),
        Station("unit", "state", 0.1, 0.0))
    assert path.components() == ["unit", "", "unit"]
    assert path.by_component() == pytest.approx({"unit": 1.6, "": 2.2})
    assert (path.logic_ns, path.routing_ns) == pytest.approx((0.8, 3.0))


def test_bits_of_one_name_in_a_row_are_one_station():
    path = critical_path([
        logic(0.5), routing(1.0, "mmu.unit.sum[0]"), logic(0.2), routing(2.0, "mmu.unit.sum[1]"),
        logic(0.1, "port out[0]")], toggle())
    assert path.stations == (Station("unit", "sum", 0.7, 3.0), Station(PORTS, "out", 0.1, 0.0))


def test_no_path_has_no_stations():
    path = critical_path([], toggle())
    assert (path.stations, path.logic_ns, path.routing_ns, path.components()) == ((), 0, 0, [])
