"""How the fields of commands reach the MMU's ports, for every engine that runs hardware."""

from collections.abc import Mapping

from ...hdl.config import Config
from ...hdl.shapes import control_layout
from ...model.x86 import PAGE_SHIFT, Cr0, Cr3, Cr4, Efer, lowest_bit

__all__ = ["CONTROL_FIELDS", "INVALIDATE_FIELDS", "REQUEST_FIELDS", "RESPONSE_FIELDS",
           "control_values"]

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

REQUEST_FIELDS = ("vaddr", "kind", "user", "implicit", "ac", "stack")
"""Fields of a request that are command fields of the same name; the tag counts commands."""

INVALIDATE_FIELDS = {
    "op": "invalidate", "vaddr": "vaddr", "pcid": "pcid", "old": "old", "new": "new",
}
"""Which field of the command each field of the ``invalidate`` port is."""

RESPONSE_FIELDS = {
    "paddr": "paddr",
    "vaddr": "vaddr",
    "error_code": "error",
    "fault": "fault",
    "vector": "vector",
    "page": "page",
    "memory_type": "memory_type",
}
"""Which field of the answer each field of a response is."""


def control_values(config: Config, registers: Mapping[str, int]) -> dict[str, int]:
    """Return what the fields of the ``control`` port are when the registers are ``registers``."""
    layout = control_layout(config)
    return {
        name: registers[register] >> low & (1 << layout[name].width) - 1
        for name, (register, low) in CONTROL_FIELDS.items()
    }
