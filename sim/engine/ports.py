"""How the fields of commands reach the MMU's ports, for every engine that runs hardware."""

from collections.abc import Mapping

from ...hdl.config import Config
from ...hdl.shapes import control_layout

__all__ = ["CONTROL_FIELDS", "INVALIDATE_FIELDS", "REQUEST_FIELDS", "RESPONSE_FIELDS",
           "control_values"]

CONTROL_FIELDS = {
    "root": ("cr3", 12),
    "pcid": ("cr3", 0),
    "wp": ("cr0", 16),
    "pg": ("cr0", 31),
    "pse": ("cr4", 4),
    "pge": ("cr4", 7),
    "pcide": ("cr4", 17),
    "smep": ("cr4", 20),
    "smap": ("cr4", 21),
    "pke": ("cr4", 22),
    "nxe": ("efer", 11),
    "pkru": ("pkru", 0),
}
"""Field of the ``control`` port to the command's register and the field's lowest bit there."""

REQUEST_FIELDS = ("vaddr", "kind", "user", "implicit", "ac", "stack")
"""Fields of a request that are command fields of the same name; the tag counts commands."""

INVALIDATE_FIELDS = {
    "op": "invalidate", "vaddr": "vaddr", "pcid": "pcid", "old": "old", "new": "new",
}
"""Field of the ``invalidate`` port to the command's field."""

RESPONSE_FIELDS = {
    "paddr": "paddr",
    "vaddr": "vaddr",
    "error_code": "error",
    "fault": "fault",
    "vector": "vector",
    "page": "page",
    "memory_type": "memory_type",
}
"""Field of a response to the answer's field."""


def control_values(config: Config, registers: Mapping[str, int]) -> dict[str, int]:
    """Return what the fields of the ``control`` port are when the registers are ``registers``."""
    layout = control_layout(config)
    return {
        name: registers[register] >> low & (1 << layout[name].width) - 1
        for name, (register, low) in CONTROL_FIELDS.items()
    }
