"""``pagewalk step``: the hardware cycle by cycle, and what stands inside it."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console

from ...hdl.config import Config
from ...model.mmu.control import REGISTER_WIDTHS
from ...model.x86 import MODES
from ..engine.base import EngineStalled
from ..errors import InputError
from ..image import SHIPPED, Image
from ..step.session import CycleState, StepSession
from ..step.step_requests import RequestReader, StepRequest, read_requests
from ..step.step_text import answer_figures, answer_text, cycle_figures, cycle_text, held_text
from .common import (
    AGREED,
    DEFAULTS,
    Verbs,
    add_geometry,
    add_latency,
    add_ports,
    add_verb,
    hardware_config,
    json_file,
    whole,
)
from .conditions import conditions
from .files import file_name, output_name
from .memory_options import add_memory_options, bits, small_inputs
from .output import printing
from .table_source import TableSource, add_source, table_source
from .vcd_option import VCD_SIZE, waveform_file

__all__ = ["add"]

MOST_CYCLES = 100_000


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "step", _step,
                      "Run requests on the hardware cycle by cycle, and show its ports, its "
                      "walks, and what enters and leaves its TLBs.")
    parser.add_argument("--requests", metavar="FILE", type=file_name, required=True,
                        help="the requests, one a line, such as 'read 0x5000 user', 'invlpg "
                             "0x5000' or 'wait 3'")
    parser.add_argument("--cycles", metavar="N", type=whole(1, MOST_CYCLES),
                        help="show N cycles (until all requests are answered)")
    add_source(parser, required=False, verb="walk")
    parser.add_argument("--vcd", metavar="FILE", type=output_name,
                        help=f"write all signals of the hardware to FILE, too; {VCD_SIZE}")
    add_memory_options(parser)
    parser.add_argument("--pkru", metavar="VALUE", type=bits(REGISTER_WIDTHS["pkru"]),
                        help="the value of PKRU")
    add_latency(parser)
    add_ports(parser)
    add_geometry(parser)


def _step(args: argparse.Namespace) -> int:
    with json_file(args.json) as write:
        source = _source(args)
        config = hardware_config(args, source.mode)
        reader = RequestReader(config, source.control)
        requests = read_requests(args.requests, reader)
        inputs = [args.requests, *small_inputs(args.toy or args.image)]
        known = conditions(args, config, inputs)
        with _session(args, config, source) as session:
            figures = _run(args, session, requests)
        write(figures | known)
    return AGREED


def _source(args: argparse.Namespace) -> TableSource:
    """Return the page tables that are asked for, or those of the shipped image of ``--mode``."""
    if args.toy is None and args.image is None:
        mode = MODES[args.mode or DEFAULTS.mode.name]
        if mode not in SHIPPED:
            raise InputError(f"argument --mode: there is no image of {mode.name}; expected --image "
                             "or --toy")
        args.image, args.mode = str(Image.shipped_path(mode)), None
    source = table_source(args)
    if source.mode not in MODES.values():
        raise InputError(f"argument --toy: {args.toy} has a geometry that the hardware does not "
                         f"have; expected one of {', '.join(MODES)}")
    return source


@contextmanager
def _session(args: argparse.Namespace, config: Config,
             source: TableSource) -> Iterator[StepSession]:
    """Give a session on the page tables, whose waveforms go to the file of ``--vcd``."""
    with nullcontext() if args.vcd is None else waveform_file(args.vcd) as begin:
        session = StepSession(config, source.new_memory(), args.latency)
        if begin is not None:
            begin(session.write_vcd)
        yield session


def _run(args: argparse.Namespace, session: StepSession,
         requests: list[StepRequest]) -> dict[str, Any]:
    """Show all cycles, and return them as figures, if ``--json`` asks for them."""
    for request in requests:
        session.add(request)
    cycles, before = [], None
    with printing(args.json) as console:
        while not session.done if args.cycles is None else session.cycle + 1 < args.cycles:
            if session.stalled:
                raise EngineStalled(f"No progress for {session.longest_wait} cycles")
            session.step()
            state = session.state()
            if args.json is not None:
                cycles.append(cycle_figures(state))
            for line in cycle_text(session.config, state, before, session.texts):
                console.print(line, soft_wrap=True)
            before = state
        _show_end(console, session, before)
    return {"requests": [answer_figures(text, answer) for text, answer in
                         zip(session.texts, session.answers, strict=True)],
            "cycles": cycles}


def _show_end(console: Console, session: StepSession, state: CycleState | None) -> None:
    """Show the answers, and all that is held."""
    if session.texts:
        console.print("\nanswers")
    for row, answer in enumerate(session.answers):
        console.print(f"  {row}: {session.texts[row]}: {answer_text(answer)}", soft_wrap=True)
    if state is None:
        return
    console.print(f"\nheld in cycle {state.cycle}")
    for name, place, text in held_text(state):
        console.print(f"  {name:<8}{place}: {text}", soft_wrap=True)
