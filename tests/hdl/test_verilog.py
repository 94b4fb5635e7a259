"""Verilog of the MMU: ports that stay, text that tools read, the same text every time."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.toolchain import run_yosys
from pagewalk.hdl.verilog import port_list, to_verilog
from pagewalk.model.x86 import MODES, X86_64

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[1] / "data"
CONFIGS = {name: Config(mode=mode) for name, mode in MODES.items()}

every_mode = pytest.mark.parametrize("mode", MODES)


@cache
def verilog(mode: str) -> str:
    return to_verilog(CONFIGS[mode])


def icarus(source: Path) -> str:
    """Compile ``source`` and return all that Icarus Verilog says; it must be installed."""
    result = subprocess.run(
        ["iverilog", "-g2012", "-Wall", "-o", source.with_suffix(".vvp"), source],
        capture_output=True, text=True, check=False)
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


@every_mode
def test_icarus_compiles_it_without_a_warning(mode, tmp_path):
    source = tmp_path / "mmu.v"
    source.write_text(verilog(mode))
    assert icarus(source) == ""


@every_mode
def test_yosys_reads_it_back(mode, tmp_path):
    script = """
        read_verilog -sv mmu.v
        hierarchy -check -top pagewalk_mmu
        proc
        check -assert
    """
    run_yosys(script, tmp_path, {"mmu.v": verilog(mode)})


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
    parameters = dict(line.removeprefix("//").split(maxsplit=1) for line in lines[start:start + 7])
    assert parameters == {
        "mode": mode, "ports": "fetch data", "entries": "32", "walk_cache": "8",
        "policy": "plru", "paddr_bits": "40", "tag_bits": "4"}


@every_mode
def test_header_gives_the_encodings(mode):
    header = " ".join(verilog(mode).partition("\nmodule ")[0].replace("//", "").split())
    pages = {"x86_64": "0 4K, 1 2M, 2 1G", "ia32": "0 4K, 1 4M"}
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


@pytest.mark.parametrize("parameters", [
    {"ports": ("data",), "entries": 1, "walk_cache": 0},
    {"ports": ("data",), "entries": 1, "walk_cache": 1, "mode": X86_64.without_1g_pages()},
    {"ports": ("fetch", "load", "store"), "entries": 3, "policy": "lru", "walk_cache": 5,
     "tag_bits": 1},
], ids=["smallest", "smallest walk cache", "three ports"])
def test_other_geometries_compile_under_another_name(parameters, tmp_path):
    config = Config(**parameters)
    text = to_verilog(config, name="my_mmu")
    source = tmp_path / "mmu.v"
    source.write_text(text)
    assert icarus(source) == ""
    assert "\nmodule my_mmu(\n" in text
    requests = [port.name for port in port_list(text) if port.name.endswith("_req_vaddr")]
    assert requests == [f"{port}_req_vaddr" for port in config.ports]


def test_module_name_must_be_an_identifier():
    with pytest.raises(ValueError, match=r"^Module name must be a Verilog identifier, not '2x'$"):
        to_verilog(Config(), name="2x")
