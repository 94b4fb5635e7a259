"""Making an engine by its name, with the hardware's parameters and its memory's behaviour."""

from ...hdl.config import Config
from .base import Engine
from .memory_model import MemoryModel
from .model import ModelEngine

__all__ = ["ENGINES", "create"]

ENGINES = ("model", "timing", "amaranth", "cxxrtl", "verilator")
"""Names that ``create`` takes."""


def create(name: str, config: Config, latency: int | MemoryModel = 1) -> Engine:
    """Return the engine ``name``, which is one of ``ENGINES``.

    ``latency`` is a ``MemoryModel``, or the number of cycles that page-table memory takes to
    respond to hardware if that is all there is to say of it. The model has neither cycles nor TLBs,
    and takes from ``config`` only what changes answers or flags. Raise
    ``ValueError`` for an unknown name or a latency out of range, ``UnknownTiming`` if the engine
    ``timing`` does not know what ``config`` is like, and ``ToolMissing`` if the engine
    needs a tool that is not installed.
    """
    memory_model = MemoryModel.of(latency)
    if name == "model":
        return ModelEngine(config)
    # Imported when asked for: simulators take a while to load.
    if name == "timing":
        from .timing import TimingEngine

        return TimingEngine(config, memory_model)
    if name == "amaranth":
        from .amaranth import AmaranthEngine

        return AmaranthEngine(config, memory_model)
    if name == "cxxrtl":
        from .cxxrtl import CxxrtlEngine

        return CxxrtlEngine(config, memory_model)
    if name == "verilator":
        from .verilator import VerilatorEngine

        return VerilatorEngine(config, memory_model)
    raise ValueError(f"Engine must be one of {', '.join(ENGINES)}, not {name!r}")
