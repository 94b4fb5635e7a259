"""Making an engine by its name, with the hardware's parameters and its memory's latency."""

from ...hdl.config import Config
from .base import Engine
from .model import ModelEngine

__all__ = ["ENGINES", "create"]

ENGINES = ("model", "amaranth", "cxxrtl")
"""Names that ``create`` takes."""


def create(name: str, config: Config, latency: int = 1) -> Engine:
    """Return the engine ``name``, which is one of ``ENGINES``.

    Page-table memory takes ``latency`` cycles to respond to hardware. The model has neither
    latency nor TLBs, and takes from ``config`` only the paging mode and MAXPHYADDR. Raise
    ``ValueError`` for an unknown name or a latency below 1, and ``ToolMissing`` if the engine
    needs a tool that is not installed.
    """
    if latency < 1:
        raise ValueError(f"Memory latency must be at least 1 cycle, not {latency}")
    if name == "model":
        return ModelEngine(config.mode, config.physical_bits)
    # Imported when asked for: simulators take a while to load.
    if name == "amaranth":
        from .amaranth import AmaranthEngine

        return AmaranthEngine(config, latency)
    if name == "cxxrtl":
        from .cxxrtl import CxxrtlEngine

        return CxxrtlEngine(config, latency)
    raise ValueError(f"Engine must be one of {', '.join(ENGINES)}, not {name!r}")
