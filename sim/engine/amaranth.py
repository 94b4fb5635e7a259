"""The engine that runs the MMU in Amaranth's own simulator; needs no compiler."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np
from amaranth.sim import Simulator
from numpy.typing import NDArray

from ...hdl.config import Config
from ...hdl.mmu import Mmu
from ...model.physical.memory import PhysicalMemory
from .base import EngineStalled, Run, check_stops, stall_limit
from .intake import Intake
from .job import Job
from .memory_model import MemoryModel
from .timed_memory import TimedMemory
from .waveform import recorded, telling_failures
from .wires import Wires

__all__ = ["AmaranthEngine"]


class AmaranthEngine:
    """Drives an ``Mmu`` cycle by cycle, at a few thousand cycles per second.

    It drives as ``harness.cc`` does, cycle for cycle: commands are offered one at a time in order;
    memory takes an access, does it at once and responds later, and answers are taken, as
    ``latency`` says.

    Parameters
    ----------
    config : Config
        Parameters of the MMU.
    latency : int or MemoryModel
        Cycles that page-table memory takes, or all that there is to say of its behaviour.
    """

    def __init__(self, config: Config, latency: int | MemoryModel = 1) -> None:
        self.config = config
        self.memory_model = MemoryModel.of(latency)
        self._intake = Intake(config)
        self._power_up()

    def _power_up(self) -> None:
        self._wires = Wires(Mmu(self.config))
        self._timed = TimedMemory(
            self.memory_model, self.config.mode.entry_bytes, len(self.config.ports),
            plain_writes=self.config.ad == "write")
        self._cycle = 0  # cycles of all runs so far
        self._job: Job | None = None
        self._simulator: Simulator | None = None  # made by the first run

    @contextmanager
    def write_vcd(self, file: TextIO) -> Iterator[None]:
        """Write each signal and memory of the runs in the block to ``file``, as VCD.

        It must come before the first run, and ends with a run that stalls. ``recorded`` says what
        is in the file. Raise ``WaveformFailed``, and let ``run`` raise it, for what cannot be
        written.
        """
        self._simulator = self._new_simulator()
        with recorded(self._simulator, file):
            yield

    def _new_simulator(self) -> Simulator:
        simulator = Simulator(self._wires.top)
        simulator.add_clock(1e-6)
        simulator.add_process(self._drive)
        return simulator

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
        if self._simulator is None:
            self._simulator = self._new_simulator()
        self._job = job = Job(
            self.config, self._wires, self._timed, self._cycle, memory, commands,
            stop_on_fault=stop_on_fault, stop_on_unexpected=stop_on_unexpected)
        limit = stall_limit(self.config, self.memory_model)
        while not job.done:
            with telling_failures():
                self._simulator.advance()
            if job.idle_cycles > limit:
                # Requests that still wait must not meet the next run's.
                self._power_up()
                raise EngineStalled(f"No progress for {limit} cycles, "
                                    f"at command {job.row} of {len(commands)}")
        run = job.run()
        self._cycle += job.cycle
        self._intake.keep(commands, run.done)
        return run

    async def _drive(self, ctx: Any) -> None:
        # A process, not a testbench: the inputs of a cycle follow from earlier cycles alone, and a
        # process lets the simulator settle once a cycle instead of after every input.
        driven: Job | None = None
        async for _, _, *outputs in ctx.tick().sample(*self._wires.outputs):
            if driven is not None:
                driven.observe(*outputs)
            driven = self._job if self._job is not None and not self._job.done else None
            if driven is not None:
                driven.drive(ctx)
            else:
                self._wires.rest(ctx)
