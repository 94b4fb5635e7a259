"""The engine that runs the MMU as compiled C++; needs g++, and a minute for each new design."""

import ctypes
import weakref
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from amaranth.back import rtlil
from numpy.typing import NDArray

from ...hdl.config import Config
from ...hdl.event_shapes import events_layout
from ...hdl.flat import FlatMmu, flat_fields
from ...hdl.shapes import MEMORY_TAG_BITS, MemoryOp
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PAGE_BYTES, AccessKind, Vector
from .answer import ANSWER
from .base import BUS_ERROR, EngineStalled, Run, check_stops
from .build import build_library
from .command import COMMAND, Op
from .cpp_text import record_lines
from .harness_batch import Batch as _Batch
from .harness_batch import FrameArrays, RunStatus
from .harness_batch import TimedModel as _Model
from .intake import Intake
from .memory_model import CHANCE_BITS, PURPOSES, MemoryModel
from .ports import CONTROL_FIELDS, INVALIDATE_FIELDS, REQUEST_FIELDS, RESPONSE_FIELDS

__all__ = ["CxxrtlEngine"]


SOURCES = ("harness.cc", "hardware.h", "timed_memory.h")


class CxxrtlEngine:
    """Drives an MMU that CXXRTL turned into C++, cycle for cycle as ``AmaranthEngine`` does.

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
        self._intake = Intake(config.mode, len(config.ports))
        sources = {name: (files(__package__) / name).read_text(encoding="utf-8")
                   for name in SOURCES}
        self._library = build_library(_rtlil(config), {**sources, "glue.h": _glue(config)})
        self._library.mmu_create.restype = ctypes.c_void_p
        self.events = _event_names(config)
        purposes = range(len(PURPOSES) - 1 + len(config.ports))
        self._keys = np.array([model.key(purpose) for purpose in purposes], np.uint64)
        self._power_up()

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
    ) -> _Batch:
        """Return the arguments of a run, which begins where the cycles so far have ended.

        Whoever has them played adds their cycles to ``cycle``. The harness works in the arrays, and
        in those of ``memory``: the caller keeps them alive, and takes new arguments when frames are
        added. Nothing in ``commands`` is checked.
        """
        frames, (pfns, rows) = memory.frames_and_zeros, memory.index()
        return _Batch(
            commands.ctypes.data, answers.ctypes.data, len(commands),
            FrameArrays(frames.ctypes.data, pfns.ctypes.data, rows.ctypes.data, len(pfns),
                    memory.zero_below),
            self._model(), self.cycle, self.memory_model.stall_limit, stop_on_fault,
            stop_on_unexpected, 0, events.ctypes.data)

    def check(self, status: int, batch: _Batch, count: int) -> None:
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

    def _model(self) -> _Model:
        model = self.memory_model
        chances = model.request_stall, model.answer_stall, model.error_rate
        return _Model(*model.latencies, *map(model.threshold, chances), self._keys.ctypes.data)

    def _bus_errors(self, batch: _Batch) -> NDArray[np.void]:
        """Return the bus errors of a run, copied out of the harness."""
        count = batch.error_count * BUS_ERROR.itemsize
        content = ctypes.string_at(batch.errors, count) if count else b""
        errors = np.frombuffer(content, BUS_ERROR).copy()
        errors["cycle"] -= np.uint64(self.cycle)
        return errors


@lru_cache(maxsize=8)
def _rtlil(config: Config) -> str:
    """Return the hardware as Yosys reads it; the same text for the same hardware.

    It takes a second to make, and is kept for further engines of the same configuration.
    """
    flat = FlatMmu(config)
    ports = [*flat.inputs.values(), *flat.outputs.values()]
    text: str = rtlil.convert(flat, name="mmu", ports=ports, emit_src=False)
    return text


def _event_names(config: Config) -> list[str]:
    """Return the names of the events, in the order in which the harness counts them."""
    return [name for name, _, _ in flat_fields(events_layout(config))]


def _glue(config: Config) -> str:
    """Return ``glue.h``: the types, numbers and ports of the MMU that the harness does not know."""
    compare_exchange: Any = MemoryOp.COMPARE_EXCHANGE  # which mypy takes for an int
    return "\n".join([
        "using Top = cxxrtl_design::p_mmu;",
        f"using Entry = uint{8 * config.mode.entry_bytes}_t;",
        f"const uint64_t FRAME_BYTES = {PAGE_BYTES};",
        f"const bool ACCEPTS_BEHIND_FAULT = {str(config.hit_latency == 2).lower()};",
        f"const uint64_t TAG_MASK = {(1 << config.tag_bits) - 1}u;",
        f"const uint64_t TAG_COUNT = {1 << MEMORY_TAG_BITS};",  # of page-table accesses of a walk
        f"const unsigned WALKERS = {config.walkers};",
        f"const unsigned INVALIDATE = {len(config.ports)};",
        f"const unsigned COMPARE_EXCHANGE = {compare_exchange.value};",
        f"const unsigned WRITE = {AccessKind.WRITE:d};",
        f"const unsigned MACHINE_CHECK = {Vector.MC:d};",
        *(f"const unsigned OP_{op.name} = {op:d};" for op in Op),
        *(f"const int {status.name} = {status:d};" for status in RunStatus),
        f"const unsigned CHANCE_BITS = {CHANCE_BITS};",
        *(f"const unsigned {purpose.upper()} = {number};"
          for number, purpose in enumerate(PURPOSES)),
        *record_lines("Command", COMMAND),
        *record_lines("Answer", ANSWER),
        *_input_functions(config),
        *_output_functions(config),
        "",
    ])


def _input_functions(config: Config) -> Iterator[str]:
    """Yield the functions that set inputs of the MMU."""
    readies = [f"{port}_rsp_ready" for port in config.ports]
    yield from _function("void accept_outputs(Top &top)", [
        _put(name, "1") for name in (*readies, "memory_req_ready")])
    yield from _switch("void accept_answer(Top &top, unsigned port, bool value)", "port",
                       [[_put(name, "value")] for name in readies])
    valids = [*(f"{port}_req_valid" for port in config.ports), "invalidate_valid"]
    yield from _function("void offer_nothing(Top &top)", [_put(name, "0") for name in valids])
    yield from _function("void put_control(Top &top, const Command &command)", [
        _put(f"control_{name}", f"command.{register}_ >> {low}")
        for name, (register, low) in CONTROL_FIELDS.items()
    ])
    payloads = [
        [*(_put(f"{port}_req_{name}", f"command.{name}_") for name in REQUEST_FIELDS),
         _put(f"{port}_req_tag", "row")]
        for port in config.ports
    ]
    payloads.append([
        _put(f"invalidate_{name}", f"command.{field}_") for name, field in INVALIDATE_FIELDS.items()
    ])
    yield from _switch(
        "void offer(Top &top, unsigned stream, const Command &command, uint64_t row)", "stream",
        [[*payload, _put(valid, "1")] for payload, valid in zip(payloads, valids, strict=True)])


def _output_functions(config: Config) -> Iterator[str]:
    """Yield the functions that read outputs of the MMU."""
    readies = [*(f"{port}_req_ready" for port in config.ports), "invalidate_ready"]
    yield from _switch("bool is_ready(const Top &top, unsigned stream)", "stream",
                       [[f"return {_take(name)};"] for name in readies])
    yield from _switch("bool is_answered(const Top &top, unsigned port)", "port",
                       [[f"return {_take(f'{port}_rsp_valid')};"] for port in config.ports])
    yield from _switch("bool is_missed(const Top &top, unsigned port)", "port",
                       [[f"return {_take(f'events_{port}_miss')};"] for port in config.ports])
    payloads = [
        [*(f"answer.{field}_ = {_take(f'{port}_rsp_{name}')};"
           for name, field in RESPONSE_FIELDS.items()),
         f"return {_take(f'{port}_rsp_tag')};"]
        for port in config.ports
    ]
    yield from _switch(
        "uint64_t take_answer(const Top &top, unsigned port, Answer &answer)", "port", payloads)
    yield from _function("void count_events(const Top &top, uint64_t *counts)", [
        f"counts[{number}] += {_take(f'events_{name}')};"
        for number, name in enumerate(_event_names(config))
    ])


def _put(name: str, value: str) -> str:
    return f"put({_port(name)}, {value});"


def _take(name: str) -> str:
    return f"take({_port(name)})"


def _port(name: str) -> str:
    """Return the port ``name`` as CXXRTL calls it."""
    return f"top.p_{name.replace('_', '__')}"


def _function(head: str, body: Iterable[str]) -> Iterator[str]:
    yield from (f"{head} {{", *body, "}")


def _switch(head: str, number: str, cases: list[list[str]]) -> Iterator[str]:
    """Yield a function that executes one of ``cases``, chosen by its argument called ``number``."""
    lines = [f"switch ({number}) {{"]
    for case, body in enumerate(cases):
        lines += ["default:" if case == len(cases) - 1 else f"case {case}:", *body, "break;"]
    return _function(head, [*lines, "}"])
