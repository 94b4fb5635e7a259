"""Small netlists in the JSON of Yosys, written by hand."""

import json

from pagewalk.sim.fpga.component import TOP
from pagewalk.sim.fpga.netlist import INPUT_MARK, Netlist


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
