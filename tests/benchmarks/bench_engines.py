"""Measure engines side by side on recorded boots: how fast they are, how long they take to build.

Each geometry is built anew for each engine, in a cache of its own; then all engines replay the same
log in turn, for some rounds, of which the best counts, so that other work on the machine hits all
of them alike. What is timed is the engine alone, without the comparison of its answers.

    python tests/benchmarks/bench_engines.py tests/data/boot/*.ltr.xz --entries 4,32,64
"""

import argparse
import logging
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAD = f"{'log':16}{'engine':10}{'entries':>8}{'translations/s':>16}{'cycles/s':>14}"


class Timed:
    """An engine, and the seconds that its runs have taken."""

    def __init__(self, engine):
        self._engine, self.seconds = engine, 0.0

    def run(self, *args, **options):
        start = time.perf_counter()
        try:
            return self._engine.run(*args, **options)
        finally:
            self.seconds += time.perf_counter() - start


def child_seconds():
    """Return the processor time of the programs that have run and ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def build(name, config):
    """Build an engine in an empty cache; return it, seconds, and those of processors."""
    from pagewalk.sim.engine import create

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        start, before = time.perf_counter(), child_seconds()
        engine = create(name, config)
        return engine, time.perf_counter() - start, child_seconds() - before


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
    parser.add_argument("--entries", default="4,32", help="of each TLB, by commas (%(default)s)")
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
    engines = {}
    for mode, bits in dict.fromkeys((log.mode, log.paddr_bits) for _, log in logs):
        for entries in map(int, args.entries.split(",")):
            for name in args.engine or ("cxxrtl", "verilator"):
                config = Config(mode, entries=entries, paddr_bits=bits)
                engine, seconds, processor = build(name, config)
                engines[mode, bits, name, entries] = engine
                print(f"built {name} {mode.name}, {entries} entries: {seconds:.1f} s, "
                      f"{processor:.1f} s of processor time", flush=True)
    print(HEAD)
    for title, log in logs:
        same = {key: engine for key, engine in engines.items()
                if key[:2] == (log.mode, log.paddr_bits)}
        for (_, _, name, entries), speeds in measure(log, same, args.rounds).items():
            print(f"{title:16}{name:10}{entries:8}{speeds[0]:16,.0f}{speeds[1]:14,.0f}", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
