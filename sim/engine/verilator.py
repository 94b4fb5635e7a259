"""The engine that runs the MMU as C++ by Verilator; needs it, and g++."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import chain
from pathlib import Path

from ...hdl.config import Config
from ...hdl.flat import flat_widths
from ...hdl.outside_tool import ToolFailed, last_words, run_tool
from ...hdl.toolchain import run_yosys
from . import compiled
from .compiled import CompiledEngine, harness_sources
from .glue import port_member
from .lazy_verilog import lazy_verilog
from .recipe import GCC, LIBRARY, BuildRecipe, BuildStep, Tool, yosys_version

__all__ = ["VerilatorEngine"]

VERILATOR = Tool("verilator")

# Processes stay what they are, with conditions that skip what does not happen in a cycle; and words
# stay whole, as Verilator sorts their bits by itself. The entries of a fully associative TLB are
# modules of their own, which are written anew, to be evaluated only when something changes.
SCRIPT = """\
read_rtlil mmu.il
setattr -mod -set keep_hierarchy 1 *.tags
proc -nomux -norom
flatten
opt_merge *.tags
opt_clean
write_verilog -noattr mmu.v
"""
LAZY = re.compile(r"\.tags$")
VERILATE = (
    "verilator", "--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert",
    "-Wno-fatal", "-Wno-lint", "-Wno-style", "--top-module", "wrapper", "--prefix", "Vwrapper",
    "--Mdir", ".", "wrapper.v", "mmu.v")
# Of what runs in each cycle -O2 makes nothing quicker, in twice the time. The rest runs once.
HOT, COLD = "-O1", "-O0"
FLAGS = ("-std=c++17", "-DNDEBUG", "-fPIC", "-pthread", "-fno-gnu-unique")
RUNTIME = '#include "verilated.cpp"\n#include "verilated_threads.cpp"\n'


class VerilatorEngine(CompiledEngine):
    """Drives an MMU that Verilator turned into C++; see ``CompiledEngine``."""

    @staticmethod
    def _recipe(config: Config) -> BuildRecipe:
        inputs, outputs = flat_widths(config)
        widths = {"rst": 1, **inputs}, outputs
        sources = {**harness_sources(config, "verilator_hardware.h"),
                   "mmu.il": compiled.design_text(config),
                   "wrapper.v": "\n".join(_wrapper(*widths)),
                   "wrapper.h": "\n".join(_top(*widths)),
                   "runtime.cpp": RUNTIME}
        return BuildRecipe(sources, (
            BuildStep("Yosys writes the hardware as Verilog", _write_verilog),
            BuildStep("Verilator writes it as C++", lambda folder: _run(folder, *VERILATE)),
            BuildStep("g++ compiles it", _compile),
        ), (SCRIPT, LAZY.pattern, (files(__package__) / "lazy_verilog.py").read_text("utf-8"),
            *VERILATE, HOT, COLD, *FLAGS, yosys_version()), (GCC, VERILATOR), "verilator")


def _wrapper(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Iterator[str]:
    """Yield a Verilog module with the ports of an MMU, which samples inputs at the clock edge."""
    yield "module wrapper(input clk"
    yield from (f", input [{bits - 1}:0] {name}" for name, bits in inputs.items())
    yield from (f", output [{bits - 1}:0] {name}" for name, bits in outputs.items())
    yield ");"
    yield from (f"reg [{bits - 1}:0] sampled_{name} = 0;" for name, bits in inputs.items())
    yield "always @(posedge clk) begin"
    yield from (f"sampled_{name} <= {name};" for name in inputs)
    yield "end"
    yield "mmu mmu(.clk(clk)"
    yield from (f", .{name}(sampled_{name})" for name in inputs)
    yield from (f", .{name}({name})" for name in outputs)
    yield from (");", "endmodule", "")


def _top(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Iterator[str]:
    """Yield the type ``Top``, with a port for each of the wrapper's."""
    yield from ("struct Top {", "VerilatedContext context;", "Vwrapper verilated{&context};")
    for name, bits in chain([("clk", 1)], inputs.items(), outputs.items()):
        word = next(word for word, most in WORDS.items() if bits <= most)
        yield f"Port<{word}, {bits}> {port_member(name)}{{verilated.{name}}};"
    yield from ("};", "")


WORDS = {"CData": 8, "SData": 16, "IData": 32, "QData": 64}
"""The types of Verilator's ports, and how many bits each has at most."""


def _write_verilog(folder: Path) -> None:
    """Have Yosys write the hardware as Verilog, and write anew what is better evaluated lazily."""
    run_yosys(SCRIPT, folder, {})
    file = folder / "mmu.v"
    file.write_text(lazy_verilog(file.read_text(encoding="utf-8"), LAZY), encoding="utf-8")


def _compile(folder: Path) -> None:
    """Make the library of the harness, of what Verilator wrote, and of what comes with it."""
    written = sorted(path.name for path in folder.glob("Vwrapper*.cpp"))
    cold = [name for name in written if "Slow" in name or "Syms" in name]
    (folder / "cold.cpp").write_text("".join(f'#include "{name}"\n' for name in cold))
    hot = ["harness.cc", *(name for name in written if name not in cold)]
    hot.sort(key=lambda name: (folder / name).stat().st_size, reverse=True)
    # The largest first, so that the last to end is a small one.
    units = {"cold.cpp": COLD} | dict.fromkeys(hot, HOT) | {"runtime.cpp": COLD}
    (folder / "units").write_text("".join(
        f"{level} -c {name} -o {name}.o\n" for name, level in units.items()))
    include = _include_folder()
    # A process that starts the others, so that they end when it is ended.
    side_by_side = ("xargs", "-a", "units", "-P", str(len(os.sched_getaffinity(0))), "-L", "1")
    _run(folder, *side_by_side, GCC.name, *FLAGS, "-I.", f"-I{include}", f"-I{include / 'vltstd'}")
    _run(folder, GCC.name, *FLAGS, "-shared", *(f"{name}.o" for name in units), "-o", LIBRARY)


def _run(folder: Path, *command: str) -> None:
    code, output = run_tool(command, folder)
    if code != 0:
        name = VERILATOR.name if command[0] == VERILATOR.name else GCC.name
        raise ToolFailed(f"{name} failed: {last_words(output)}")


def _include_folder() -> Path:
    """Return where Verilator has what its C++ includes."""
    command = [VERILATOR.name, "--getenv", "VERILATOR_ROOT"]
    return Path(subprocess.run(command, capture_output=True, text=True).stdout.strip()) / "include"
