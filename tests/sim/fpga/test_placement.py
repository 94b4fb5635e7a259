"""What is read from a report of nextpnr: one of a real run, cut short."""

import json

import pytest

from pagewalk.sim.fpga.placement import Stretch, parse_report


def part(kind, ns, cell, net=None):
    return {"type": kind, "delay": ns, "from": {"cell": "?", "port": "Q"},
            "to": {"cell": cell, "port": "D"}, **({} if net is None else {"net": net})}


REPORT = {
    "fmax": {"clk": {"achieved": 82.04792022705078, "constraint": 200}},
    "utilization": {"TRELLIS_FF": {"available": 83640, "used": 422},
                    "DP16KD": {"available": 208, "used": 0}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge clk", "path": [part("routing", 9.0, "a", "pad")]},
        {"from": "posedge clk", "to": "posedge clk", "path": [
            part("clk-to-q", 0.525, "state"), part("routing", 1.578, "table", "data.state"),
            part("logic", 0.236, "table"), part("routing", 0.5, "other", "data.next"),
            part("setup", 0.0, "other")]},
    ],
}


def test_a_report_is_read():
    placement = parse_report(json.dumps(REPORT), 7)
    assert (placement.seed, placement.utilization) == (7, {"TRELLIS_FF": 422})
    assert placement.fmax_mhz == pytest.approx(82.04792)
    assert placement.path == (
        Stretch("logic", 0.525, "", "state"), Stretch("routing", 1.578, "data.state", "table"),
        Stretch("logic", 0.236, "", "table"), Stretch("routing", 0.5, "data.next", "other"),
        Stretch("logic", 0.0, "", "other"))


def test_the_slowest_clock_counts():
    clocks = {"a": {"achieved": 90.0, "constraint": 200}, "b": {"achieved": 80.0, "constraint": 2}}
    assert parse_report(json.dumps(REPORT | {"fmax": clocks}), 1).fmax_mhz == 80.0


def test_paths_from_and_to_pads_do_not_count():
    report = REPORT | {"critical_paths": REPORT["critical_paths"][:1]}
    assert parse_report(json.dumps(report), 1).path == ()
