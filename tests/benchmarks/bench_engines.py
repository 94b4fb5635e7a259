"""Measure engines side by side on recorded boots: how fast they are, how long they take to build.

Each geometry is built anew for each engine, in a cache of its own; then all engines replay the same
log in turn, for some rounds, of which the best counts. Seconds are those of a processor, which
other work on the machine changes little. What is timed is the engine alone, without the comparison
of its answers.

A geometry is the entries of each first-level TLB, with ``x`` and ways for one of sets, with ``+``
and entries for a second level of 4 ways, with ``w`` and a number for several walkers.

    python tests/benchmarks/bench_engines.py tests/data/boot/pti.ltr.xz \\
        --geometry 4,32,64,128,64x4,128x4,64x4+1024w4
"""

import argparse
import logging
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAD = (f"{'log':8}{'engine':10}{'geometry':14}{'built in':>10}{'translations/s':>16}"
        f"{'cycles/s':>14}")
GEOMETRY = re.compile(r"(\d+)(?:x(\d+))?(?:\+(\d+))?(?:w(\d+))?")


class Timed:
    """An engine, and the seconds of a processor that its runs have taken."""

    def __init__(self, engine):
        self._engine, self.seconds = engine, 0.0

    def run(self, *args, **options):
        start = time.process_time()
        try:
            return self._engine.run(*args, **options)
        finally:
            self.seconds += time.process_time() - start


def geometry(text):
    """Return the parameters of a geometry, as its name says."""
    found = GEOMETRY.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected one such as 64x4+1024w4, not {text!r}")
    names = "entries", "ways", "l2_entries", "walkers"
    return text, {name: int(value) for name, value in zip(names, found.groups(), strict=True)
                  if value}


def child_seconds():
    """Return the processor time of the programs that have run and ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def build(name, config):
    """Build an engine in an empty cache; return it, and the seconds that it took processors."""
    from pagewalk.sim.engine import create

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        own, children = time.process_time(), child_seconds()
        engine = create(name, config)
        return engine, time.process_time() - own + child_seconds() - children


def replay(engine, log):
    """Replay a log; return translations and cycles a second of the engine alone."""
    from pagewalk.sim.boot.replay_log import replay_log

    timed = Timed(engine)
    result = replay_log(log, timed)
    if not result.agreed:
        sys.exit(f"{result.mismatches} mismatches: what is wrong need not be measured")
    return result.total / timed.seconds, result.cycles / timed.seconds


def measure(log, engines, rounds):
    """Return the best translations and cycles a second for each of ``engines`` by key."""
    best = dict.fromkeys(engines, (0.0, 0.0))
    for _ in range(rounds):
        for key, engine in engines.items():
            best[key] = max(best[key], replay(engine, log))
    return best


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG.ltr.xz")
    parser.add_argument("--engine", action="append", choices=("cxxrtl", "verilator", "amaranth"),
                        help="may be given more than once (cxxrtl and verilator)")
    parser.add_argument("--geometry", default="4,32", help="several by commas (%(default)s)",
                        type=lambda text: [geometry(one) for one in text.split(",")])
    parser.add_argument("--limit", type=int, default=200_000, help="translations (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    return parser.parse_args()


def main():
    from pagewalk.hdl.config import Config
    from pagewalk.sim.boot.log_checks import load_log

    args = arguments()
    logging.disable()
    # Yosys stays where it is compiled: it is not what is measured.
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    os.environ.setdefault("YOWASP_CACHE_DIR", str(home / "YoWASP"))
    logs = [(path.name.split(".")[0], load_log(path).prefix(args.limit)) for path in args.logs]
    engines, built = {}, {}
    for mode, bits in dict.fromkeys((log.mode, log.paddr_bits) for _, log in logs):
        for title, parameters in args.geometry:
            for name in args.engine or ("cxxrtl", "verilator"):
                key = mode, bits, name, title
                config = Config(mode, paddr_bits=bits, **parameters)
                engines[key], built[key] = build(name, config)
                print(f"built {name} {mode.name} {title}: {built[key]:.1f} s", flush=True)
    print(HEAD)
    for log_name, log in logs:
        same = {key: engine for key, engine in engines.items()
                if key[:2] == (log.mode, log.paddr_bits)}
        for key, speeds in measure(log, same, args.rounds).items():
            print(f"{log_name:8}{key[2]:10}{key[3]:14}{built[key]:8.1f} s{speeds[0]:16,.0f}"
                  f"{speeds[1]:14,.0f}", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
