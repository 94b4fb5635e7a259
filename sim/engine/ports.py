"""How the fields of commands reach the MMU's ports, for every engine that runs hardware."""

from collections.abc import Mapping

from ...hdl.config import Config
from ...hdl.flat import flat_fields
from ...hdl.port_shapes import response_layout, sized_response_layout
from ...hdl.shapes import control_layout, invalidate_layout, request_layout
from ...model.x86 import PAGE_SHIFT, Cr0, Cr3, Cr4, Efer, lowest_bit

__all__ = ["CONTROL_FIELDS", "control_values", "invalidate_fields", "request_fields",
           "response_fields"]

CONTROL_FIELDS = {
    "root": ("cr3", PAGE_SHIFT),
    "pcid": ("cr3", lowest_bit(Cr3.PCID)),
    "wp": ("cr0", lowest_bit(Cr0.WP)),
    "pg": ("cr0", lowest_bit(Cr0.PG)),
    "pse": ("cr4", lowest_bit(Cr4.PSE)),
    "pge": ("cr4", lowest_bit(Cr4.PGE)),
    "pcide": ("cr4", lowest_bit(Cr4.PCIDE)),
    "smep": ("cr4", lowest_bit(Cr4.SMEP)),
    "smap": ("cr4", lowest_bit(Cr4.SMAP)),
    "pke": ("cr4", lowest_bit(Cr4.PKE)),
    "nxe": ("efer", lowest_bit(Efer.NXE)),
    "pkru": ("pkru", 0),
}
"""Where each field of the ``control`` port comes from: register, and lowest bit in it."""

INSIDE = ("tag", "part")
"""What is not of a command or an answer: engines choose tags, and the MMU alone sees parts."""

INVALIDATE_FIELDS = {"op": "invalidate", "type": "old", "reserved": "new"}
"""Which field of the command a field of the ``invalidate`` port is, if not that of its name."""


def request_fields(config: Config) -> dict[str, str]:
    """Return which field of the command each field of a request is, but for the tag."""
    size = ["size"] * (config.access_bytes > 0)
    return {name: name for name in [*request_layout(config).members, *size] if name not in INSIDE}


def invalidate_fields(config: Config) -> dict[str, str]:
    """Return which field of the command each field of the ``invalidate`` port is."""
    return {name: INVALIDATE_FIELDS.get(name, name) for name in invalidate_layout(config).members}


def response_fields(config: Config) -> dict[str, str]:
    """Return which field of the answer each field of a response is, by flat name, but for the tag.
    """
    layout = sized_response_layout(config) if config.access_bytes else response_layout(config)
    return {name: "error" if name == "error_code" else name
            for name, _, _ in flat_fields(layout) if name not in INSIDE}


def control_values(config: Config, registers: Mapping[str, int]) -> dict[str, int]:
    """Return what the fields of the ``control`` port are when the registers are ``registers``."""
    layout = control_layout(config)
    return {
        name: registers[register] >> low & (1 << layout[name].width) - 1
        for name, (register, low) in CONTROL_FIELDS.items()
    }
