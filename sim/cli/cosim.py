"""``pagewalk cosim``: a workload on the MMU, with the kernel model behind it."""

import argparse
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from ...hdl.config import Config
from ...model.address_space.errors import SysError
from ...model.kernel.kernel import Kernel
from ...model.kernel.oom import OomKilled
from ...model.kernel.platform import KERNEL_MODES
from ...model.kernel.swap.errors import SwapError
from ...model.kernel.thp import ThpEnabled
from ...model.physical.memory_map import MemoryMapError
from ...model.physical.out_of_memory import OutOfMemory
from ...model.x86 import PAGE_BYTES, PAGE_SHIFT
from ..cosim.machine import AccessFailed
from ..cosim.workload_run import run_on, set_huge_pages_aside
from ..errors import InputError
from ..report import workload_table
from ..workloads.catalog import WORKLOADS, make_workload
from ..workloads.workload import Workload
from .common import (
    AGREED,
    DEFAULTS,
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
    progress_bar,
)
from .conditions import conditions
from .costs import add_costs, assumed_costs
from .files import file_name
from .host_memory import require_memory
from .output import printing
from .swap_option import given_swap, temporary_swap
from .vcd_option import engine_maker

__all__ = ["add"]

MIB = 1 << 20
MOST_ACCESSES = 1 << 40  # beyond the memory of any computer

# What a run takes of this computer's memory, in bytes, as measured: for a frame of the machine, for
# a page of the program, and for an access.
FRAME_BYTES, PAGE_LIST_BYTES, ACCESS_BYTES = 170, 20, 80


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "cosim", _cosim,
                      "Run a workload: loads and stores through the MMU, page faults, swap and "
                      "system calls by the kernel model. Every value is compared with a plain "
                      "dictionary's.")
    parser.add_argument("workload", choices=WORKLOADS, metavar="WORKLOAD",
                        help="the program that runs: %(choices)s")
    parser.add_argument("--mode", choices=KERNEL_MODES, default=DEFAULTS.mode.name,
                        help="the paging mode (%(default)s)")
    add_engine(parser)
    parser.add_argument("--memory", metavar="MIB", type=positive,
                        help="the machine's memory in Mbytes (4; 64 for huge)")
    parser.add_argument("--pages", metavar="N", type=positive,
                        help="pages that the program uses, by default 4 times as many as the "
                             "machine has free; for huge a quarter of these")
    parser.add_argument("--accesses", metavar="N", type=positive, default=100_000,
                        help="loads and stores to make, at least (%(default)s)")
    parser.add_argument("--swap", metavar="FILE", type=file_name,
                        help="a file that mkswap has made; by default a temporary one that is "
                             "large enough")
    parser.add_argument("--thp", choices=[one.value for one in ThpEnabled], default="never",
                        help="who gets transparent huge pages (%(default)s)")
    parser.add_argument("--seed", metavar="N", type=natural, default=0,
                        help="seed of the random numbers (%(default)s)")
    add_latency(parser)
    parser.add_argument("--ports", metavar="NAME,...", default="data",
                        help="names of the request ports, of which the last is that of data "
                             "(%(default)s)")
    add_geometry(parser)
    add_costs(parser)


def _cosim(args: argparse.Namespace) -> int:
    config = hardware_config(args, KERNEL_MODES[args.mode])
    with (json_file(args.json) as write, _bad_input(), engine_maker(args) as make,
          ExitStack() as files):
        swap = files.enter_context(given_swap(args.swap)) if args.swap else None
        known = conditions(args, config, [args.swap] if args.swap else [])
        memory = args.memory or WORKLOADS[args.workload].memory
        kernel = _boot(memory, config)
        kernel.state.thp.enabled = ThpEnabled(args.thp)
        workload = _workload(args, kernel)
        _set_aside(kernel, workload, memory)
        if swap is None:
            swappable = workload.footprint - workload.huge_bytes // PAGE_BYTES
            swap = files.enter_context(temporary_swap(
                swappable, "--pages", "fewer, or --swap"))
        engine = make(config)
        with progress_bar("running") as move:
            result = run_on(kernel, engine, workload, swap, partial(move, workload.name),
                            assumed_costs(args), port=len(config.ports) - 1)
        write({"workload": workload.name, "seed": args.seed, "mode": args.mode,
               "engine": args.engine, "thp": args.thp, **result.as_json(), **known})
    with printing(args.json) as console:
        console.print(f"{workload}\n")
        console.print(workload_table({f"{memory} MiB": result}))
        console.print(f"\nAssumed: {result.costs}.")
    return AGREED if result.agreed else MISMATCH


def _boot(memory: int, config: Config) -> Kernel:
    """Return the kernel of a machine with ``memory`` Mbytes, all of which the MMU must reach."""
    size, reach = memory * MIB, 1 << config.physical_bits
    if size <= reach:  # or it could be too much to describe
        require_memory("--memory", (size >> PAGE_SHIFT) * FRAME_BYTES)
        kernel = Kernel.boot(config.mode, size)
        missing = size - (len(kernel.state.memory) << PAGE_SHIFT)
        if missing > MIB:
            raise InputError(f"argument --memory: {missing // MIB} of {memory} Mbytes are above 4 "
                             f"Gbytes, which {config.mode.name} does not reach; expected less")
        if kernel.state.frames.end_pfn << PAGE_SHIFT <= reach:
            return kernel
    raise InputError(f"argument --memory: {memory} Mbytes end above what {config.physical_bits} "
                     "address bits reach; expected less, or more --paddr-bits")


def _workload(args: argparse.Namespace, kernel: Kernel) -> Workload:
    free = sum(zone.free_pages for zone in kernel.state.allocator.populated)
    pages = args.pages or int(WORKLOADS[args.workload].overcommit * free)
    most = (kernel.user.task_size >> PAGE_SHIFT) // 8
    if pages > most:
        raise InputError(f"argument --pages: {pages} are too many for the addresses of a process; "
                         f"expected at most {most}")
    if args.accesses > MOST_ACCESSES:
        raise InputError(f"argument --accesses: {args.accesses} are too many; expected at most "
                         f"{MOST_ACCESSES}")
    frames = len(kernel.state.memory)
    require_memory("--pages", pages * PAGE_LIST_BYTES + min(pages, frames) * PAGE_BYTES)
    require_memory("--accesses", args.accesses * ACCESS_BYTES)
    return make_workload(args.workload, pages=pages, accesses=args.accesses, seed=args.seed)


def _set_aside(kernel: Kernel, workload: Workload, memory: int) -> None:
    """Set aside the huge pages that a workload needs; raise ``InputError`` for too little memory.

    The run does so too, and then finds them there.
    """
    try:
        set_huge_pages_aside(kernel, workload)
    except SysError:
        raise InputError(f"argument --memory: {memory} Mbytes have no room for "
                         f"{workload.huge_bytes // MIB} Mbytes of huge pages; expected more, or "
                         f"fewer --pages") from None


@contextmanager
def _bad_input() -> Iterator[None]:
    """Raise ``InputError`` for what is wrong with the machine that was asked for."""
    try:
        yield
    except MemoryMapError as error:
        raise InputError(f"argument --memory: {error}; expected more") from None
    except SysError as error:
        raise InputError(f"argument --pages: memory for them cannot be promised: {error}; expected "
                         "fewer, or more --memory") from None
    except (OutOfMemory, OomKilled) as error:
        raise InputError(f"{error}; expected more --memory or --swap") from None
    except ProcessLookupError as error:
        raise InputError(f"{error.strerror}, killed for its memory; expected more --memory or "
                         "--swap") from None
    except AccessFailed as error:
        if error.signal != signal.SIGKILL:
            raise
        raise InputError(f"A process was killed for its memory: {error}; expected more --memory or "
                         "--swap") from None
    except SwapError as error:
        raise InputError(f"argument --swap: {error}; expected what mkswap makes, in no other use"
                         ) from None
    except MemoryError:
        raise InputError("This computer has too little memory for that; expected less of --memory, "
                         "--pages or --accesses") from None
