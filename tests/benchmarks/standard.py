"""Everything that hardware is compared with, in each of the standard configurations.

For each it makes the accesses of all access vectors, replays all images and all recorded boots that
are of its mode, runs workloads with a kernel behind it, and attacks it, every answer judged by the
referee. It prints a row for each, and exits with 1 if anything did not agree. The configurations
are those of ``tests/sim/standard_configs.py``; the kernel model boots in two of the modes. Hardware
without 1-Gbyte pages replays only boots, as vectors and images have such pages.
"""

import argparse
import io
import json
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.sim.boot.log_checks import load_log
from pagewalk.sim.cli.common import natural, positive
from pagewalk.sim.cli.main import main as pagewalk
from pagewalk.sim.engine import ENGINES, create
from pagewalk.sim.errors import InputError
from pagewalk.sim.image import Image
from pagewalk.sim.vectors import Vectors

ROOT = Path(__file__).resolve().parents[2]
LOADERS = {"conform": Vectors.load, "replay": Image.load, "boot": load_log}
COLUMNS = "{:22} {:9} {:26} {:>11} {:>12} {:>10} {:>7}"
SIZES = {"huge": ["--memory", "64"]}  # of workloads that need another memory than is usual
HUGE_1G = "1g"
"""What a recorded boot with 1-Gbyte pages has in its name; access vectors and images have them."""



def parse(words=None):
    """Return the arguments."""
    from tests.sim.standard_configs import STANDARD

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=STANDARD, action="append",
                        help="a configuration; may be given more than once (all)")
    parser.add_argument("--vectors", metavar="FILE", nargs="*", default=[], help="access vectors")
    parser.add_argument("--images", metavar="FILE", nargs="*", default=[], help="memory images")
    parser.add_argument("--logs", metavar="FILE", nargs="*", default=[], help="recorded boots")
    parser.add_argument("--workloads", metavar="NAME", nargs="*", default=[], help="for cosim")
    parser.add_argument("--attacks", type=natural, default=0, metavar="N",
                        help="clock cycles of attacks, of each of three seeds (%(default)s)")
    parser.add_argument("--limit", type=positive, metavar="N",
                        help="only so many accesses, probes or translations of each file")
    parser.add_argument("--accesses", type=positive, default=100_000, metavar="N",
                        help="loads and stores of each workload (%(default)s)")
    parser.add_argument("--engine", choices=ENGINES[1:], default="verilator",
                        help="what runs the hardware (%(default)s)")
    return parser.parse_args(words)


@cache
def mode_of(verb, path):
    """Return the name of the paging mode that a file is of."""
    return LOADERS[verb](path).mode.name


def compared(verb, words):
    """Return what ``pagewalk`` finds: accesses, cycles, and how many were wrong."""
    with TemporaryDirectory() as folder:
        figures = Path(folder, "figures.json")
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            code = pagewalk([verb, *words, "--json", str(figures)])
        if code not in (0, 1):
            raise InputError(out.getvalue().strip())
        found = json.loads(figures.read_text(encoding="utf-8"))
    if verb == "cosim":
        return found["accesses"], found["cycles"], found["wrong"] + found["leaked"]
    return found.get("accesses", found["total"]), found["cycles"], found["mismatches"]


def jobs(name, standard, args):
    """Yield what a configuration is to be compared with: a verb, a subject, and what does it."""
    engine = ["--engine", args.engine]
    limit = ["--limit", str(args.limit)] if args.limit else []
    pages = [] if standard.has_1g_pages else ["--no-1g-pages"]
    words = standard.words.split()
    for verb, paths in (("conform", args.vectors), ("replay", args.images), ("boot", args.logs)):
        for path in paths:
            fits = mode_of(verb, path) == standard.mode
            small = verb == "boot" and HUGE_1G not in Path(path).name
            if fits and (standard.has_1g_pages or small):
                yield verb, Path(path).name, lambda verb=verb, path=path: compared(
                    verb, [path, *engine, *limit, *pages, *words])
    for workload in args.workloads:
        if standard.mode in KERNEL_MODES:
            yield "cosim", workload, lambda workload=workload: compared("cosim", [
                workload, *engine, "--mode", standard.mode, "--accesses", str(args.accesses),
                *SIZES.get(workload, []), *words])
    for seed in range(1, 4) if args.attacks else ():
        yield "attack", f"seed {seed}", lambda seed=seed: attacked(name, seed, args)


def attacked(name, seed, args):
    """Return what an attack of so many cycles finds."""
    from tests.sim.attack import Found, attack
    from tests.sim.standard_configs import STANDARD

    def make_engine(config, latency):
        return create(args.engine, config, latency)

    try:
        found, _, cycles = attack(STANDARD[name].config, seed, args.attacks,
                                  make_engine=make_engine)
    except Found as error:
        print(f"{name}, seed {seed}: {type(error).__name__}: {error}", flush=True)
        return 0, 0, 1
    return found.accesses, cycles, 0


def main():
    sys.path.insert(0, str(ROOT))
    from tests.sim.standard_configs import STANDARD

    args = parse()
    wrong_in_all = 0
    print(COLUMNS.format("configuration", "by", "with", "accesses", "cycles", "mismatches", "s"))
    for name in args.config or STANDARD:
        totals = [0, 0, 0]
        for verb, subject, work in jobs(name, STANDARD[name], args):
            start = time.perf_counter()
            found = work()
            seconds = f"{time.perf_counter() - start:.1f}"
            print(COLUMNS.format(name, verb, subject, *map("{:,}".format, found), seconds),
                  flush=True)
            totals = [total + one for total, one in zip(totals, found, strict=True)]
        print(COLUMNS.format(name, "all", "", *map("{:,}".format, totals), ""), flush=True)
        wrong_in_all += totals[2]
    return int(wrong_in_all > 0)


if __name__ == "__main__":
    sys.exit(main())
