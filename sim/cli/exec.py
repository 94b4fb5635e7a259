"""``pagewalk exec``: a Linux program whose every translation the MMU makes."""

import argparse
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

import numpy as np

from ...hdl.config import Config
from ...model.address_space.errors import SysError
from ...model.address_space.exec_arguments import Credentials, ExecArguments
from ...model.kernel.kernel import Kernel
from ...model.kernel.oom import OomKilled
from ...model.kernel.proc.proc_tree import mount_proc
from ...model.kernel.swap.errors import SwapError
from ...model.kernel.swap.file import SwapFile
from ...model.kernel.thp import ThpEnabled
from ...model.kernel.vfs.device import mount_dev
from ...model.kernel.vfs.file_system import FileSystem
from ...model.kernel.vfs.folder import Folder
from ...model.kernel.vfs.resolve import FsState, Resolver
from ...model.physical.memory_map import MemoryMapError
from ...model.physical.out_of_memory import OutOfMemory
from ...model.x86 import PAGE_SHIFT, PagingMode
from ..errors import InputError, writing
from ..exec.access_recorder import recorder_of
from ..exec.cpu import CHECKS
from ..exec.emulator import load_unicorn
from ..exec.program_clock import ProgramClock
from ..exec.program_figures import ProgramFigures
from ..exec.program_file import find_program, look_at_program
from ..exec.program_machine import ProgramFailed
from ..exec.program_run import ProgramEnd, ProgramRun
from ..exec.program_world import ProgramWorld, StartState
from ..exec.signal_delivery import signal_name
from ..follow.followed_kernel import FollowedKernel
from ..follow.follower import Follower, descriptor_writer
from ..trace.access_record import TraceHeader
from .common import (
    MISMATCH,
    Verbs,
    add_engine,
    add_geometry,
    add_latency,
    add_verb,
    hardware_config,
    json_file,
    natural,
    positive,
)
from .conditions import conditions, release
from .files import file_name, output_name
from .host_memory import require_memory
from .output import STDOUT, one_line, print_error
from .swap_option import given_swap, temporary_swap
from .vcd_option import engine_maker

__all__ = ["add"]

MIB = 1 << 20
FRAME_BYTES = 170 + 4096  # of this computer's memory, for a frame of the machine


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "exec", _exec,
                      "Run a Linux program: its instructions on an emulated processor, every "
                      "translation by the MMU, page faults and system calls by the kernel model. "
                      "Options of pagewalk stand before PROGRAM. The exit code is the program's.")
    parser.add_argument("program", metavar="PROGRAM", type=file_name,
                        help="an ELF program for x86-64 or i386; without a slash it is looked "
                             "for in PATH")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER,
                        help="what it is given").required = False
    add_engine(parser)
    parser.add_argument("--check", choices=CHECKS, default="fast",
                        help="what is translated: the first access of each kind to a page, or "
                             "each access of each instruction (%(default)s)")
    parser.add_argument("--memory", metavar="MIB", type=positive, default=64,
                        help="the machine's memory in Mbytes (%(default)s)")
    parser.add_argument("--swap", metavar="PAGES|FILE", type=file_name, default="65536",
                        help="a number of pages, 0 for no swap, or a file that mkswap has made "
                             "(%(default)s)")
    parser.add_argument("--thp", choices=[one.value for one in ThpEnabled],
                        default=ThpEnabled.NEVER.value,
                        help="which anonymous memory gets transparent huge pages, of 2 Mbytes or, "
                             "with 32 bits, 4: none, that of madvise, or all (%(default)s)")
    parser.add_argument("--root", metavar="FOLDER", type=file_name, default="/",
                        help="the folder that the program sees as /; it is never written to "
                             "(%(default)s)")
    parser.add_argument("--env", metavar="NAME=VALUE", type=_variable, action="append",
                        default=[], help="a variable of the environment beside those that "
                                         "pagewalk has; may be given more than once")
    parser.add_argument("--limit", metavar="N", type=positive,
                        help="end it after about so many instructions")
    parser.add_argument("--seed", metavar="N", type=natural, default=0,
                        help="seed of the random numbers that it is given (%(default)s)")
    parser.add_argument("--follow", action="store_true",
                        help="say on standard error each system call, page fault and signal when "
                             "it happens, as strace does")
    parser.add_argument("--follow-to", metavar="FILE", type=output_name,
                        help="write that to FILE instead")
    parser.add_argument("--record", metavar="FILE", type=output_name,
                        help="write each translation to FILE: its page, kind, task and address "
                             "space")
    parser.add_argument("--stats", action="store_true",
                        help="say at the end on standard error what happened")
    add_latency(parser)
    add_geometry(parser)


def _variable(text: str) -> tuple[bytes, bytes]:
    name, equals, value = os.fsencode(text).partition(b"=")
    if not name or not equals or b"\0" in text.encode(errors="surrogateescape"):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, not {text!r}")
    return name, value


def _exec(args: argparse.Namespace) -> int:
    for name in ("json", "record", "follow_to", "vcd"):
        _check_output("--" + name.replace("_", "-"), getattr(args, name))
    load_unicorn()
    clock = ProgramClock()
    with json_file(args.json) as write, recorder_of(args.record) as recorder, _bad_input(
            args), engine_maker(args) as make, ExitStack() as stack:
        system = stack.enter_context(_file_system(args, clock))
        start = _start_state(args, system)
        mode = look_at_program(start.arguments, start.fs, start.credentials)
        config = hardware_config(args, mode)
        if config.ad == "fault":
            raise InputError("argument --ad: fault needs somebody below the kernel who sets flags; "
                             "expected exchange or write")
        inputs = [args.swap] if not args.swap.isdecimal() else []
        known = conditions(args, config, inputs)
        swap = _swap(args.swap, stack)
        kernel = _boot(args, config, mode)
        kernel.state.thp.enabled = ThpEnabled(args.thp)
        if swap is not None:
            kernel.swapon(swap)
        world = ProgramWorld(kernel, make(config), start, clock,
                             mode=mode, check=args.check, seed=args.seed,
                             record=None if recorder is None else (recorder, _header(args, mode)))
        mount_proc(system, kernel, world.context.tasks)
        run = ProgramRun(world, args.limit, observer=_follower(stack, args, kernel, world))
        end = _run(args.program, run)
        world.machine.cpu.end_record()
        figures = ProgramFigures.of(world, run.table, swap, end)
        left = world.end()
        write({"program": args.program, "arguments": args.arguments, "engine": args.engine,
               "check": args.check, **figures.as_json(), "leftovers": left.as_json(), **known})
    _tell(args, figures)
    if left:
        print_error("pagewalk: error:", one_line(f"the kernel model is not sound: {left}"))
        return MISMATCH
    return end.status


def _check_output(option: str, path: Path | None) -> None:
    """Raise ``InputError`` for standard output, and for a program, which may be the one to run."""
    if path == STDOUT:
        raise InputError(f"argument {option}: - is the standard output of the program; "
                         "expected a file")
    with suppress(OSError):
        mode = path.stat().st_mode if path is not None else 0
        if S_ISREG(mode) and mode & 0o111:
            raise InputError(f"argument {option}: {path} is a program; expected another file")


def _follower(stack: ExitStack, args: argparse.Namespace, kernel: Kernel,
              world: ProgramWorld) -> Follower | None:
    """Return what ``--follow`` writes with, None if it is not asked for."""
    if not isinstance(kernel, FollowedKernel):
        return None
    write = descriptor_writer(2)
    if args.follow_to is not None:
        with writing(args.follow_to):
            file = stack.enter_context(args.follow_to.open("wb", buffering=0))
        write = _file_writer(args.follow_to, file)
    follower = Follower(world.context, write)
    kernel.on_fault = follower.fault
    return follower


def _file_writer(path: Path, file: io.FileIO) -> Callable[[str], None]:
    """Return what writes a text to a file at once, or raises ``InputError``."""
    def write(text: str) -> None:
        data = text.encode(errors="replace")
        with writing(path):
            while data:
                data = data[file.write(data):]
    return write


def _header(args: argparse.Namespace, mode: PagingMode) -> TraceHeader:
    return TraceHeader(mode.name, args.check, args.program, tuple(args.arguments), release())


def _run(name: str, run: ProgramRun) -> ProgramEnd:
    """Run a program; one that cannot go on ends with ``MISMATCH`` and a line that says why."""
    try:
        return run.run()
    except ProgramFailed as error:
        return ProgramEnd(MISMATCH, None, f"{name}: cannot go on: {error}")


def _tell(args: argparse.Namespace, figures: ProgramFigures) -> None:
    """Say on standard error what ended the program from outside, and what ``--stats`` asks for."""
    end = figures.end
    lines = []
    if end.signal is not None:
        lines.append(f"{args.program}: killed by {signal_name(end.signal)}{end.where}")
    elif end.where:
        lines.append(f"error: {end.where}")
    if args.stats:
        lines += figures.lines()
    for line in lines:
        print_error("pagewalk:", one_line(line))


def _file_system(args: argparse.Namespace, clock: ProgramClock) -> FileSystem:
    """Return what the program sees as files: ``--root``, with other devices and no processes yet.

    The ``/proc`` of this computer is hidden from the first look at the program on.
    """
    try:
        system = FileSystem(Path(args.root), clock.now)
    except OSError as error:
        raise InputError(f"argument --root: {args.root}: {error.strerror}; expected a folder"
                         ) from None
    mount_dev(system, np.random.default_rng(args.seed + 1))
    system.mount(system.root, b"proc", system.new_root(0o555))
    return system


def _start_state(args: argparse.Namespace, system: FileSystem) -> StartState:
    """Return what the program starts with; it is where pagewalk is, if that is in its root."""
    who = Credentials(os.getuid(), os.geteuid(), os.getgid(), os.getegid(),
                      groups=tuple(sorted(os.getgroups())))
    umask = os.umask(0)
    os.umask(umask)
    fs = system.start(umask)
    fs.folder = _folder(args.root, fs, who)
    environment = dict(os.environb) | dict(args.env)
    path = find_program(os.fsencode(args.program), environment, fs, who)
    argv = tuple(map(os.fsencode, (args.program, *args.arguments)))
    envp = tuple(name + b"=" + value for name, value in environment.items())
    streams = (_stream(0, "rb"), _stream(1, "wb"), _stream(2, "wb"))
    return StartState(ExecArguments(path, argv, envp), fs, who, streams)


def _folder(root: str, fs: FsState, who: Credentials) -> Folder:
    """Return the present folder as the program sees it, its root if it is not within that."""
    try:
        inside = Path.cwd().relative_to(Path(root).resolve())
        found = Resolver(replace(fs), who).node(fs.root, b"/" + os.fsencode(inside))
    except (OSError, ValueError, SysError):
        return fs.root
    return found if isinstance(found, Folder) else fs.root


def _stream(number: int, mode: str) -> BinaryIO | None:
    """Return a standard stream without a buffer."""
    try:
        return open(number, mode, buffering=0, closefd=False)  # type: ignore[return-value]
    except OSError:
        return None


def _swap(wanted: str, stack: ExitStack) -> SwapFile | None:
    """Return the swap area that is asked for, None for none."""
    if not wanted.isdecimal():
        return stack.enter_context(given_swap(
            wanted, "a number of pages, or what mkswap makes"))
    if not int(wanted):
        return None
    return stack.enter_context(temporary_swap(int(wanted), "--swap", "fewer, or a file"))


def _boot(args: argparse.Namespace, config: Config, mode: PagingMode) -> Kernel:
    """Return the kernel of a machine with so much memory, all of which the MMU must reach."""
    size, reach = args.memory * MIB, 1 << config.physical_bits
    if size > reach:
        raise InputError(f"argument --memory: {args.memory} Mbytes end above what "
                         f"{config.physical_bits} address bits reach; expected less")
    require_memory("--memory", (size >> PAGE_SHIFT) * FRAME_BYTES)
    kind = FollowedKernel if args.follow or args.follow_to is not None else Kernel
    return kind.boot(mode, size, entropy=np.random.default_rng(args.seed + 2))


@contextmanager
def _bad_input(args: argparse.Namespace) -> Iterator[None]:
    """Raise ``InputError`` for what is wrong with the machine or the program."""
    try:
        yield
    except MemoryMapError as error:
        raise InputError(f"argument --memory: {error}; expected 2 or more") from None
    except SwapError as error:
        raise InputError(f"argument --swap: {error}; expected what mkswap makes, in no other use"
                         ) from None
    except SysError as error:
        if error.errno == errno.ENOMEM:
            raise InputError(f"{args.program}: has no room in memory; expected more --memory"
                             ) from None
        raise InputError(f"{args.program}: cannot be started: {error}; expected a program that "
                         "Linux runs") from None
    except (OutOfMemory, OomKilled) as error:
        raise InputError(f"{error}; expected more --memory or --swap") from None
