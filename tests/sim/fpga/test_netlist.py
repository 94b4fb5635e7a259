"""What a netlist consists of, and which component each net belongs to."""

import pytest

from pagewalk.sim.fpga.chip import DEVICES

from .netlists import toggle


def test_cells_are_counted_by_resource():
    assert toggle().counts(DEVICES["ecp5-85k"].family) == {
        "lut4": 1, "ff": 1, "carry": 0, "dpr16x4": 0, "bram": 0}


@pytest.mark.parametrize(("net", "component", "name"), [
    ("mmu.unit.state", "unit", "state"),
    ("out", "unit", "state"),  # the same net
    ("mmu.unit.leaf.seen", "unit", "state"),  # and where it leads
    ("go", "", "go"),
    ("mmu.unit.leaf.in", "", "go"),
    ("go_LUT4_A_Z", "", "near go"),  # Yosys named it
    ("mmu.unit.other_LUT4_Z_1", "unit", "near other"),
    ("mmu.unit.leaf.deep.field[3]", "unit.leaf", "deep.field[3]"),  # no component is called deep
])
def test_a_net_belongs_to_the_innermost_component_that_drives_it(net, component, name):
    assert toggle().owner(net) == (component, name)


def test_a_cell_belongs_where_its_output_does():
    netlist = toggle()
    assert netlist.owner_of_cell("mmu.unit.state_TRELLIS_FF_Q") == ("unit", "state")
    assert netlist.owner_of_cell("mmu.unit.ram.0.1$DPRAM_COMB2") == ("unit", "ram.0.1$DPRAM_COMB2")


def test_new_bits_are_those_of_no_net():
    bits = toggle().new_bits()
    assert [next(bits), next(bits)] == [6, 7]
