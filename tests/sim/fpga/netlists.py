"""Small netlists in the JSON of Yosys, written by hand."""

import json

from pagewalk.sim.fpga.component import TOP
from pagewalk.sim.fpga.critical_path import CriticalPath, Station
from pagewalk.sim.fpga.measure import Measurement
from pagewalk.sim.fpga.netlist import Netlist
from pagewalk.sim.fpga.origin import INPUT_MARK
from pagewalk.sim.fpga.placement import Placement

MEASURED = Measurement(
    {"lut4": 300, "ff": 200, "carry": 0, "dpr16x4": 9, "bram": 0}, {"": 50, "data.tlb": 150},
    (Placement(1, 90.0, (), {"TRELLIS_FF": 250}), Placement(2, 100.0, (), {"TRELLIS_FF": 250})),
    CriticalPath((Station("data.tlb", "slot", 1.5, 8.0), Station("(port)", "data_rsp", 0.5, 0.0))))


def cell(kind, inputs, outputs, **parameters):
    return {
        "hide_name": 0, "type": kind, "parameters": parameters, "attributes": {},
        "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
        "connections": {pin: [bit] for pin, bit in {**inputs, **outputs}.items()},
    }


def net(*bits, is_input=False):
    return {"hide_name": 0, "bits": list(bits), "attributes": {INPUT_MARK: "1"} if is_input else {}}


def toggle():
    """A flip-flop that changes as long as ``go``: one table, one flip-flop, one output."""
    module = {
        "attributes": {},
        "ports": {"clk": {"direction": "input", "bits": [2]},
                  "go": {"direction": "input", "bits": [3]},
                  "out": {"direction": "output", "bits": [4]}},
        "cells": {
            "mmu": cell("$scopeinfo", {}, {}), "mmu.unit": cell("$scopeinfo", {}, {}),
            "mmu.unit.leaf": cell("$scopeinfo", {}, {}),
            "mmu.unit.state_TRELLIS_FF_Q": cell(
                "TRELLIS_FF", {"CLK": 2, "DI": 5, "LSR": "0"}, {"Q": 4}),
            "go_LUT4_A": cell("LUT4", {"A": 3, "B": 4, "C": "0", "D": "0"}, {"Z": 5}),
        },
        "netnames": {
            "clk": net(2), "go": net(3), "out": net(4),
            "mmu.unit.leaf.in": net(3, is_input=True), "mmu.unit.state": net(4),
            "mmu.unit.leaf.seen": net(4, is_input=True), "go_LUT4_A_Z": net(5),
        },
    }
    return Netlist(json.dumps({"modules": {TOP: module}}))
