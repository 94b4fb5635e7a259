"""Which invalidating commands an MMU with ``Config.checks`` must refuse."""

from collections.abc import Mapping

from ...hdl.config import Config
from ...model.mmu.control import Control
from ...model.mmu.register_checks import raises_gp
from ...model.x86 import Cr3, InvalidateOp
from .command import REGISTERS

__all__ = ["is_refused"]

DESCRIPTOR = (1 << 64) - 1  # the part of INVPCID's that is looked at


def is_refused(config: Config, command: Mapping[str, int]) -> bool:
    """Return whether an ``Op.INVALIDATE`` is a general-protection fault.

    ``command`` has the fields of ``COMMAND``, the registers being those before the operation.
    """
    if not config.checks:
        return False
    control = Control(**{name: command[name] for name in REGISTERS})
    op, old, new = InvalidateOp(command["invalidate"]), command["old"], command["new"]
    operands = {"old": old, "new": new}
    if op <= InvalidateOp.INVPCID_ALL_NON_GLOBAL:
        descriptor = new << 12 & DESCRIPTOR | command["pcid"] & Cr3.PCID
        operands = {"kind": old << 2 | op, "descriptor": descriptor}
    return raises_gp(config.mode, control, op, vaddr=command["vaddr"],
                     paddr_bits=config.paddr_bits, **operands)
