"""The part of the compiled harness that depends on the design: the text of ``glue.h``."""

from collections.abc import Iterable, Iterator
from typing import Any

from ...hdl.config import Config
from ...hdl.event_shapes import events_layout
from ...hdl.flat import flat_fields
from ...hdl.shapes import MEMORY_TAG_BITS, MemoryOp
from ...model.x86 import PAGE_BYTES, AccessKind, Vector
from .answer import ANSWER, Loss
from .command import COMMAND, Op
from .cpp_text import record_lines
from .harness_batch import RunStatus
from .memory_model import CHANCE_BITS, PURPOSES
from .ports import CONTROL_FIELDS, invalidate_fields, request_fields, response_fields

__all__ = ["event_names", "glue_text", "port_member"]


def event_names(config: Config) -> list[str]:
    """Return the names of the events, in the order in which the harness counts them."""
    return [name for name, _, _ in flat_fields(events_layout(config))]


def glue_text(config: Config) -> str:
    """Return ``glue.h``: the types, numbers and ports of the MMU that the harness does not know."""
    behind_fault = config.hit_latency == 2 or config.has_miss_file
    compare_exchange: Any = MemoryOp.COMPARE_EXCHANGE  # which mypy takes for an int
    return "\n".join([
        f"using Entry = uint{8 * config.mode.entry_bytes}_t;",
        f"const uint64_t FRAME_BYTES = {PAGE_BYTES};",
        f"const bool ACCEPTS_BEHIND_FAULT = {_bool(behind_fault)};",
        f"const bool ANSWERS_BY_TAG = {_bool(config.order == 'tag')};",
        f"const uint64_t HIT_LATENCY = {config.hit_latency};",
        f"const uint64_t TAG_MASK = {(1 << config.tag_bits) - 1}u;",
        f"const uint64_t TAG_COUNT = {1 << MEMORY_TAG_BITS};",  # of page-table accesses of a walk
        f"const unsigned WALKERS = {config.walkers};",
        f"const unsigned INVALIDATE = {len(config.ports)};",
        f"const unsigned COMPARE_EXCHANGE = {compare_exchange.value};",
        f"const bool PLAIN_WRITES = {_bool(config.ad == 'write')};",
        f"const unsigned WRITE = {AccessKind.WRITE:d};",
        f"const unsigned MACHINE_CHECK = {Vector.MC:d};",
        f"const unsigned GENERAL_PROTECTION = {Vector.GP:d};",
        f"const bool PULSES = {_bool(config.invalidation == 'pulse')};",
        f"const bool CANCELS = {_bool(config.cancel)};",
        *(f"const unsigned OP_{op.name} = {op:d};" for op in Op),
        *(f"const unsigned LOST_{loss.name} = {loss:d};" for loss in Loss),
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


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _input_functions(config: Config) -> Iterator[str]:
    """Yield the functions that set inputs of the MMU."""
    readies = [f"{port}_rsp_ready" for port in config.ports]
    yield from _function("void accept_outputs(Top &top)", [
        _put(name, "1") for name in (*readies, "memory_req_ready")])
    yield from _switch("void accept_answer(Top &top, unsigned port, bool value)", "port",
                       [[_put(name, "value")] for name in readies])
    pulses = config.invalidation == "pulse"
    valids = [*(f"{port}_req_valid" for port in config.ports),
              "invalidate_strobe" if pulses else "invalidate_valid"]
    yield from _function("void offer_nothing(Top &top)", [_put(name, "0") for name in valids])
    yield from _function("void put_control(Top &top, const Command &command)", [
        _put(f"control_{name}", f"command.{register}_ >> {low}")
        for name, (register, low) in CONTROL_FIELDS.items()
    ])
    payloads = [
        [*(_put(f"{port}_req_{name}", f"command.{field}_")
           for name, field in request_fields(config).items()),
         _put(f"{port}_req_tag", "tag")]
        for port in config.ports
    ]
    payloads.append([
        _put(f"invalidate_{name}", f"command.{field}_")
        for name, field in invalidate_fields(config).items()
    ])
    cancels = [[_put(f"{port}_cancel_{name}", name) for name in ("valid", "all", "tag")]
               for port in config.ports] if config.cancel else [[]]
    yield from _switch("void cancel(Top &top, unsigned port, bool valid, bool all, uint64_t tag)",
                       "port", cancels)
    yield from _switch(
        "void offer(Top &top, unsigned stream, const Command &command, uint64_t tag)", "stream",
        [[*payload, _put(valid, "1")] for payload, valid in zip(payloads, valids, strict=True)])


def _output_functions(config: Config) -> Iterator[str]:
    """Yield the functions that read outputs of the MMU."""
    readies = [*(_take(f"{port}_req_ready") for port in config.ports),
               "!" + _take("invalidate_busy") if config.invalidation == "pulse"
               else _take("invalidate_ready")]
    yield from _switch("bool is_ready(const Top &top, unsigned stream)", "stream",
                       [[f"return {ready};"] for ready in readies])
    yield from _switch("bool is_answered(const Top &top, unsigned port)", "port",
                       [[f"return {_take(f'{port}_rsp_valid')};"] for port in config.ports])
    yield from _switch("bool is_missed(const Top &top, unsigned port)", "port",
                       [[f"return {_take(f'events_{port}_miss')};"] for port in config.ports])
    refused = _take("invalidate_refused") if config.checks else "false"
    yield from _function("bool is_refused(const Top &top)", [f"return {refused};"])
    payloads = [
        [*(f"answer.{field}_ = {_take(f'{port}_rsp_{name}')};"
           for name, field in response_fields(config).items()),
         f"return {_take(f'{port}_rsp_tag')};"]
        for port in config.ports
    ]
    yield from _switch(
        "uint64_t take_answer(const Top &top, unsigned port, Answer &answer)", "port", payloads)
    yield from _function("void count_events(const Top &top, uint64_t *counts)", [
        f"counts[{number}] += {_take(f'events_{name}')};"
        for number, name in enumerate(event_names(config))
    ])


def _put(name: str, value: str) -> str:
    return f"put(top.{port_member(name)}, {value});"


def _take(name: str) -> str:
    return f"take(top.{port_member(name)})"


def port_member(name: str) -> str:
    """Return the member of ``Top`` that is the port ``name``, as CXXRTL calls it."""
    return f"p_{name.replace('_', '__')}"


def _function(head: str, body: Iterable[str]) -> Iterator[str]:
    yield from (f"{head} {{", *body, "}")


def _switch(head: str, number: str, cases: list[list[str]]) -> Iterator[str]:
    """Yield a function that executes one of ``cases``, chosen by its argument called ``number``."""
    lines = [f"switch ({number}) {{"]
    for case, body in enumerate(cases):
        lines += ["default:" if case == len(cases) - 1 else f"case {case}:", *body, "break;"]
    return _function(head, [*lines, "}"])
