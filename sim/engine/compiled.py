"""What all engines that run the MMU as compiled C++ have in common."""

import ctypes
import weakref
from abc import ABC, abstractmethod
from functools import lru_cache
from importlib.resources import files

import numpy as np
from amaranth.back import rtlil
from numpy.typing import NDArray

from ...hdl.config import Config
from ...hdl.flat import FlatMmu
from ...model.physical.memory import PhysicalMemory
from .answer import ANSWER
from .base import BUS_ERROR, EngineStalled, Run, check_stops, stall_limit
from .build import build_library
from .glue import event_names, glue_text
from .harness_batch import Batch, FrameArrays, RunStatus, TimedModel
from .intake import Intake
from .memory_model import PURPOSES, MemoryModel
from .recipe import BuildRecipe

__all__ = ["CompiledEngine", "design_text", "harness_sources"]


class CompiledEngine(ABC):
    """Drives an MMU that is compiled, cycle for cycle as ``AmaranthEngine`` does.

    A run is one call of the compiled ``harness.cc``, which works on commands, answers and
    page-table memory in place, in the arrays of numpy. After an exception the hardware is as after
    a reset. Raise ``ToolMissing`` or ``ToolFailed`` if the hardware cannot be compiled.

    Parameters
    ----------
    config : Config
        Parameters of the MMU.
    latency : int or MemoryModel
        Cycles that page-table memory takes, or all that there is to say of its behaviour.

    Members
    -------
    events : list of str
        The names of the events, in the order in which the harness counts them.
    cycle : int
        The cycles of all runs so far.
    """

    def __init__(self, config: Config, latency: int | MemoryModel = 1) -> None:
        self.config = config
        self.memory_model = model = MemoryModel.of(latency)
        self._intake = Intake(config)
        self._library = build_library(self._recipe(config))
        self._library.mmu_create.restype = ctypes.c_void_p
        self.events = event_names(config)
        purposes = range(len(PURPOSES) - 1 + len(config.ports))
        self._keys = np.array([model.key(purpose) for purpose in purposes], np.uint64)
        self._power_up()

    @staticmethod
    @abstractmethod
    def _recipe(config: Config) -> BuildRecipe:
        """Return how the library of an MMU is made."""

    def _power_up(self) -> None:
        self._mmu = ctypes.c_void_p(self._library.mmu_create())
        self._power_down = weakref.finalize(self, self._library.mmu_destroy, self._mmu)
        self.cycle = 0

    def run(
        self,
        memory: PhysicalMemory,
        commands: NDArray[np.void],
        *,
        stop_on_fault: bool = False,
        stop_on_unexpected: bool = False,
    ) -> Run:
        """Carry out ``commands``; see ``Engine.run``."""
        check_stops(stop_on_fault, stop_on_unexpected)
        commands = self._intake.take(commands)
        answers = np.zeros(len(commands), ANSWER)
        events = np.zeros(len(self.events), np.uint64)
        batch = self.batch(memory, commands, answers, events, stop_on_fault, stop_on_unexpected)
        self.check(self._library.mmu_run(self._mmu, ctypes.byref(batch)), batch, len(commands))
        counts = dict(zip(self.events, events.tolist(), strict=True))
        run = Run(answers[:batch.count], batch.cycle, counts, bool(batch.stopped), stop_on_fault,
                  self._bus_errors(batch))
        self.cycle += run.cycles
        self._intake.keep(commands, run.done)
        return run

    # ---- for C++ that has the harness play runs itself

    @property
    def entry(self) -> tuple[int, int]:
        """The addresses of ``mmu_run`` and of the hardware that it takes; see harness.cc."""
        address = ctypes.cast(self._library.mmu_run, ctypes.c_void_p).value
        assert address is not None
        assert self._mmu.value is not None
        return address, self._mmu.value

    def batch(
        self, memory: PhysicalMemory, commands: NDArray[np.void], answers: NDArray[np.void],
        events: NDArray[np.uint64], stop_on_fault: bool = False, stop_on_unexpected: bool = False,
    ) -> Batch:
        """Return the arguments of a run, which begins where the cycles so far have ended.

        Whoever has them played adds their cycles to ``cycle``. The harness works in the arrays, and
        in those of ``memory``: the caller keeps them alive, and takes new arguments when frames are
        added. Nothing in ``commands`` is checked.
        """
        frames, (pfns, rows) = memory.frames_and_zeros, memory.index()
        return Batch(
            commands.ctypes.data, answers.ctypes.data, len(commands),
            FrameArrays(frames.ctypes.data, pfns.ctypes.data, rows.ctypes.data, len(pfns),
                    memory.zero_below),
            self._model(), self.cycle, stall_limit(self.config, self.memory_model), stop_on_fault,
            stop_on_unexpected, 0, events.ctypes.data)

    def check(self, status: int, batch: Batch, count: int) -> None:
        """Raise what comes of a run of so many commands; the hardware is reset then.

        ``status`` is what ``mmu_run`` has returned.
        """
        if status != RunStatus.DONE:
            self._power_down()
            self._power_up()
        if status == RunStatus.STALLED:
            raise EngineStalled(f"No progress for {batch.stall_limit} cycles, "
                                f"at command {batch.row} of {count}")
        if status == RunStatus.UNASKED:
            raise AssertionError(f"Answer in cycle {batch.cycle} is to no command that waits")

    def _model(self) -> TimedModel:
        model = self.memory_model
        chances = model.request_stall, model.answer_stall, model.error_rate
        return TimedModel(*model.latencies, *map(model.threshold, chances), self._keys.ctypes.data)

    def _bus_errors(self, batch: Batch) -> NDArray[np.void]:
        """Return the bus errors of a run, copied out of the harness."""
        count = batch.error_count * BUS_ERROR.itemsize
        content = ctypes.string_at(batch.errors, count) if count else b""
        errors = np.frombuffer(content, BUS_ERROR).copy()
        errors["cycle"] -= np.uint64(self.cycle)
        return errors


def harness_sources(config: Config, hardware: str) -> dict[str, str]:
    """Return the harness of an MMU as C++ by file name, of which the first is to be compiled.

    ``hardware`` is the file that says how the ports of the compiled hardware are set and read.
    """
    names = {"harness.cc": "harness.cc", "hardware.h": hardware,
             "timed_memory.h": "timed_memory.h"}
    sources = {name: (files(__package__) / file).read_text(encoding="utf-8")
               for name, file in names.items()}
    return {**sources, "glue.h": glue_text(config)}


@lru_cache(maxsize=8)
def design_text(config: Config) -> str:
    """Return the hardware as Yosys reads it; the same text for the same hardware.

    It takes a second to make, and is kept for further engines of the same configuration.
    """
    flat = FlatMmu(config)
    ports = [*flat.inputs.values(), *flat.outputs.values()]
    text: str = rtlil.convert(flat, name="mmu", ports=ports, emit_src=False)
    return text
