"""How long an engine waits for the hardware to make progress."""

from ...hdl.config import Config
from .memory_model import MemoryModel

__all__ = ["patience"]

SPARE = 8  # cycles before and after a sweep


def patience(config: Config, memory_model: MemoryModel) -> int:
    """Return the number of cycles without progress after which an engine gives up.

    That is what a walk may take, as ``MemoryModel.stall_limit`` has it, and before it TLBs that
    are in sets may be swept, as after a reset: two cycles for each set of the second level.
    """
    l2_sets = config.l2_entries // config.l2_ways
    return memory_model.stall_limit + 2 * l2_sets + config.sets + SPARE
