"""Verilog of the MMU: ports that stay, text that tools read, the same text every time."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.toolchain import run_yosys
from pagewalk.hdl.verilog import port_list, to_verilog
from pagewalk.model.x86 import IA32, MODES, X86_64

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[1] / "data"
NAMES = {"name": "my_mmu", "clock": "clock_i", "reset": "reset_i"}
CONFIGS = {mode.name: Config(mode=mode) for mode in MODES.values()}
GEOMETRIES = {
    "smallest": Config(ports=("data",), entries=1, walk_cache=0),
    "smallest walk cache": Config(
        ports=("data",), entries=1, walk_cache=1, mode=X86_64.without_1g_pages()),
    "three ports": Config(
        ports=("fetch", "load", "store"), entries=3, policy="lru", walk_cache=5, tag_bits=1),
    "fifo": Config(IA32, ports=("dma",), entries=4, policy="fifo", paddr_bits=32, tag_bits=64),
    "random": Config(ports=("a", "b"), entries=5, policy="random", paddr_bits=52, walk_cache=3),
    "second level": Config(entries=4, l2_entries=256, l2_ways=2, l2_policy="lru"),
    "misses": Config(entries=4, misses=3, order="tag", cancel=True),
    "misses in order": Config(IA32, entries=4, misses=2, hit_latency=2, walkers=2),
    "everything": Config(entries=4, access_bytes=64, cancel=True, accessed="success", ad="write",
                         rights=True, memory_response="registered", probes=True, checks=True,
                         dropped=True, invalidation="pulse"),
    "second level, ia32": Config(IA32, entries=4, l2_entries=64, l2_policy="random"),
}

every_mode = pytest.mark.parametrize("mode", MODES)
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES)
needs_verilator = pytest.mark.skipif(
    shutil.which("verilator") is None, reason="needs verilator: make test installs it")


@cache
def verilog(mode: str) -> str:
    return to_verilog(CONFIGS[mode])


@cache
def named_verilog(geometry: str) -> str:
    return to_verilog(GEOMETRIES[geometry], **NAMES)


def icarus(source: Path) -> str:
    """Compile ``source`` and return all that Icarus Verilog says; it must be installed."""
    return output_of("iverilog", "-g2005", "-Wall", "-o", source.with_suffix(".vvp"), source)


def verilator(source: Path) -> str:
    """Return all that Verilator finds fault with in ``source``."""
    said = output_of("verilator", "--lint-only", "-Wall", source).splitlines(keepends=True)
    return "".join(line for line in said if not line.startswith("- "))  # new ones: how long it took


def output_of(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr + (f"exit code {result.returncode}"
                                            if result.returncode else "")


@every_mode
def test_ports_are_the_golden_ones(mode):
    """Other designs connect to these ports by name.

    If they are meant to change, put the text that this test prints in place of the golden file
    and say in the changelog what users have to change.
    """
    golden = DATA / f"ports-{mode}.txt"
    found = "".join(f"{port.direction:6} {port.width:2} {port.name}\n"
                    for port in port_list(verilog(mode)))
    assert found == golden.read_text(), f"the ports are not those of {golden.name}, but:\n{found}"


def test_cancel_adds_its_inputs_to_each_port_and_nothing_else():
    with_cancel, without = (
        {(port.direction, port.width, port.name) for port in port_list(to_verilog(config))}
        for config in (GEOMETRIES["misses"], Config(entries=4, misses=3, order="tag")))
    assert with_cancel - without == {
        ("input", width, f"{port}_cancel_{name}") for port in ("fetch", "data")
        for name, width in (("valid", 1), ("all", 1), ("tag", 4))}
    assert without <= with_cancel
    assert {name for _, _, name in without} == {port.name for port in port_list(verilog("x86_64"))}


def test_ports_of_everything_that_may_be_had_are_the_golden_ones():
    """As above, with every option that adds ports."""
    found = "".join(f"{port.direction:6} {port.width:2} {port.name}\n"
                    for port in port_list(to_verilog(GEOMETRIES["everything"])))
    assert found == (DATA / "ports-everything.txt").read_text(), found


@every_mode
def test_icarus_compiles_it_without_a_warning(mode, tmp_path):
    source = tmp_path / "mmu.v"
    source.write_text(verilog(mode))
    assert icarus(source) == ""


@every_mode
def test_yosys_reads_it_back(mode, tmp_path):
    script = """
        read_verilog mmu.v
        hierarchy -check -top pagewalk_mmu
        proc
        check -assert
    """
    run_yosys(script, tmp_path, {"mmu.v": verilog(mode)})


@every_mode
def test_registers_begin_with_what_the_reset_gives_them(mode):
    text, name = verilog(mode), r"(\\\S+ |\w+)"
    declared = re.findall(rf"^  (?:output )?reg +(?:\[\d+:\d+\] +)?{name}[;,]$", text, re.M)
    begin = dict(re.findall(rf"^    {name} = ([^;]+);$", text, re.M))
    reset = dict(re.findall(rf"^    if \(rst\) {name} <= ([^;]+);$", text, re.M))
    assert len(reset) > 100
    assert {*declared} == {*begin}
    assert reset.items() <= begin.items()


def test_text_is_the_same_in_another_process(tmp_path):
    code = ("from pagewalk.hdl.config import Config; from pagewalk.hdl.verilog import to_verilog;"
            " import sys; sys.stdout.write(to_verilog(Config()))")
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"})
    assert result.stdout == verilog(Config().mode.name)


@every_mode
def test_header_lists_the_parameters(mode):
    lines = verilog(mode).splitlines()
    assert lines[0].startswith("// pagewalk_mmu: an x86 memory-management unit, made by pagewalk")
    start = lines.index("// Parameters") + 1
    end = lines.index("//", start)
    parameters = dict(line.removeprefix("//").split(maxsplit=1) for line in lines[start:end])
    assert parameters == {
        "mode": mode, "pages": {"x86_64": "4K 2M 1G", "la57": "4K 2M 1G", "ia32": "4K 4M"}[mode],
        "ports": "fetch data", "entries": "32", "ways": "0", "large_entries": "4",
        "index": "folded", "walk_cache": "8", "policy": "plru",
        "paddr_bits": "40", "tag_bits": "4", "access_bytes": "0", "misses": "1", "order": "request",
        "cancel": "False", "hit_latency": "1", "l2_entries": "0", "l2_ways": "4",
        "l2_policy": "plru", "prefetch": "none", "walkers": "1", "walk_stages": "1",
        "accessed": "use", "ad": "exchange", "memory_response": "direct", "rights": "False",
        "probes": "False", "checks": "False", "dropped": "False",
        "invalidation": "stream",
        "clock": "clk", "reset": "rst"}
    assert {field.name for field in fields(Config)} <= {*parameters}


def test_header_has_the_names_of_clock_and_reset():
    header = named_verilog("smallest").partition("\nmodule ")[0]
    assert header.startswith("// my_mmu: an x86")
    assert re.search(r"^//   clock +clock_i\n//   reset +reset_i$", header, re.MULTILINE)
    assert "//   clock_i, reset_i: clock, rising edge; " in header


@every_mode
def test_header_gives_the_encodings(mode):
    header = " ".join(verilog(mode).partition("\nmodule ")[0].replace("//", "").split())
    pages = {"x86_64": "0 4K, 1 2M, 2 1G", "la57": "0 4K, 1 2M, 2 1G", "ia32": "0 4K, 1 4M"}
    invalidations = (
        "0 INVPCID ADDRESS, 1 INVPCID CONTEXT, 2 INVPCID ALL, 3 INVPCID ALL NON GLOBAL, 4 INVLPG,"
        " 5 MOV CR3, 6 MOV CR4, 7 MOV CR0")
    for codes in (
        "0 READ, 1 WRITE, 2 FETCH",
        pages[mode],
        "12 #SS, 13 #GP, 14 #PF, 18 #MC",
        invalidations,
        "0 READ, 1 COMPARE EXCHANGE",
    ):
        assert codes in header


@every_geometry
def test_other_geometries_compile_under_other_names(geometry, tmp_path):
    text = named_verilog(geometry)
    source = tmp_path / "mmu.v"
    source.write_text(text)
    assert icarus(source) == ""
    assert "\nmodule my_mmu(\n" in text
    ports = port_list(text)
    assert [tuple(port) for port in ports[:2]] == [("clock_i", "input", 1), ("reset_i", "input", 1)]
    requests = [port.name for port in ports if port.name.endswith("_req_vaddr")]
    assert requests == [f"{port}_req_vaddr" for port in GEOMETRIES[geometry].ports]


@needs_verilator
@every_mode
def test_verilator_finds_nothing(mode, tmp_path):
    source = tmp_path / "mmu.v"
    source.write_text(verilog(mode))
    assert verilator(source) == ""


@needs_verilator
@every_geometry
def test_verilator_finds_nothing_in_other_geometries(geometry, tmp_path):
    source = tmp_path / "mmu.v"
    source.write_text(named_verilog(geometry))
    assert verilator(source) == ""


@needs_verilator
@pytest.mark.parametrize(("old", "new", "warning"), [
    ("\n    control_pse,", "", "UNUSEDSIGNAL"),
    ("endmodule", "wire more;\nassign events_flush = more;\nendmodule", "UNDRIVEN"),
    ("/* verilator lint_off DECLFILENAME */\n", "", "DECLFILENAME"),
])
def test_verilator_still_sees_what_is_not_as_it_was(old, new, warning, tmp_path):
    """One warning is waived, and that one alone."""
    text = named_verilog("smallest")
    assert text.count(old) == text.count("lint_off") == 1
    source = tmp_path / "mmu.v"
    source.write_text(text.replace(old, new))
    assert f"%Warning-{warning}: " in verilator(source)
