"""Every port is registered, and a port that is not is found."""

import pytest

from pagewalk.sim.fpga.chip import DEVICES
from pagewalk.sim.fpga.port_registers import PREFIX, bare_ports, register_ports

from .netlists import cell, toggle

ECP5 = DEVICES["ecp5-85k"].family


@pytest.fixture
def registered():
    netlist = toggle()
    register_ports(netlist, ECP5)
    return netlist


def test_ports_are_bare_before():
    assert bare_ports(toggle(), ECP5) == ["go[0]", "out[0]"]


def test_each_port_but_the_clock_gets_a_register(registered):
    assert bare_ports(registered, ECP5) == []
    added = {name: one["connections"] for name, one in registered.module["cells"].items()
             if name.startswith(PREFIX)}
    assert added == {
        "port go[0]": {"CLK": [2], "DI": [6], "Q": [3], "LSR": ["0"]},
        "port out[0]": {"CLK": [2], "DI": [4], "Q": [7], "LSR": ["0"]},
    }
    assert {name: port["bits"] for name, port in registered.module["ports"].items()} == {
        "clk": [2], "go": [6], "out": [7]}


def test_what_was_there_stays_as_it_was(registered):
    cells = registered.module["cells"]
    assert {name: one for name, one in cells.items() if not name.startswith(PREFIX)} == (
        toggle().module["cells"])


def test_a_design_without_a_clock_gets_one():
    netlist = toggle()
    del netlist.module["ports"]["clk"]
    register_ports(netlist, ECP5)
    clock, = netlist.module["ports"]["clk"]["bits"]
    assert netlist.module["cells"]["port go[0]"]["connections"]["CLK"] == [clock]
    assert bare_ports(netlist, ECP5) == []


def lut(pad):
    return cell("LUT4", {"A": pad, "B": "0", "C": "0", "D": "0"}, {"Z": 99})


# What is done to the registered netlist, and the port that is bare then.
SPOILED = {
    "logic reads an input": (lambda cells: cells.update(x=lut(6)), "go[0]"),
    "logic reads an output": (lambda cells: cells.update(x=lut(7)), "out[0]"),
    "no register drives an output": (lambda cells: cells.pop("port out[0]"), "out[0]"),
    "a table drives an output": (
        lambda cells: cells["port out[0]"].update(type="LUT4"), "out[0]"),
    "an input enables a register": (
        lambda cells: cells["port go[0]"]["connections"].update(DI=["0"], CE=[6]), "go[0]"),
    "an input resets its register": (
        lambda cells: cells["port go[0]"]["connections"].update(LSR=[6]), "go[0]"),
    "the register of an output has another clock": (
        lambda cells: cells["port out[0]"]["connections"].update(CLK=[5]), "out[0]"),
    "the register of an output is enabled": (
        lambda cells: cells["port out[0]"]["connections"].update(CE=[5]), "out[0]"),
}


@pytest.mark.parametrize(("spoil", "bare"), SPOILED.values(), ids=SPOILED)
def test_a_port_without_a_register_is_found(spoil, bare, registered):
    cells = registered.module["cells"]
    for one in cells.values():
        one["port_directions"].setdefault("CE", "input")
    spoil(cells)
    assert bare_ports(registered, ECP5) == [bare]
