"""Run the whole table of programs on the MMU, and print how many do what they do natively.

Run it as ``python tests/benchmarks/programs.py [--engine ENGINE] [--bits 32|64] [--only TEXT]``.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("model", "cxxrtl"), action="append",
                        help="what translates; may be given more than once (both)")
    parser.add_argument("--bits", type=int, choices=(32, 64),
                        help="programs of so many bits only")
    parser.add_argument("--only", metavar="TEXT", default="",
                        help="programs with this in their line")
    parser.add_argument("--section", metavar="NAME", action="append",
                        help="programs of this section; may be given more than once (all)")
    parser.add_argument("--seconds", type=float, metavar="N",
                        help="stop after so many seconds, and count what was run until then")
    parser.add_argument("--quick", action="store_true", help="only the subset of the tests")
    return parser.parse_args(words)


def is_wanted(row, args):
    """Whether a row is to be run."""
    return (args.only in row.name and args.bits in (None, row.bits)
            and (not args.section or row.section in args.section)
            and (row.quick or not args.quick))


def differences(native, found):
    """What differs, as lines."""
    return [f"    {name}: {where} {getattr(outcome, name)!r:.300}"
            for name in ("status", "stdout", "stderr")
            if getattr(native, name) != getattr(found, name)
            for where, outcome in (("native", native), ("on MMU", found))]


def run_row(row, engines, served, folder, tally):
    """Run a program natively and with each engine, and count what came of it."""
    from tests.sim.exec.program_table import fresh, natively, runs_here, snapshot

    key = row.section, row.bits
    if not runs_here(row):
        for engine in engines:
            tally.counts[*key, engine, "skipped"] += 1
        return
    fresh(folder)
    native = natively(row, folder)
    before = fresh(folder)
    for engine in engines:
        start = time.perf_counter()
        found = served.run(row, folder, "--engine", engine)
        tally.seconds[*key, engine] += time.perf_counter() - start
        told = differences(native, found)
        if snapshot(folder) != before:
            told.append("    wrote to the host")
            before = fresh(folder)
        tally.counts[*key, engine, "differ" if told else "equal"] += 1
        if told:
            print(f"{engine} {row.name}", *told, sep="\n", flush=True)


class Tally:
    """How many programs came to what, and how long they took, by section, bits and engine."""

    def __init__(self):
        self.counts, self.seconds = Counter(), Counter()

    def print(self):
        for key in sorted({key[:3] for key in self.counts}):
            section, bits, engine = key
            equal, differ, skipped = (self.counts[*key, what]
                                      for what in ("equal", "differ", "skipped"))
            print(f"{section:10} {bits} {engine:7} {equal:5} equal {differ:4} differ "
                  f"{skipped:4} skipped {self.seconds[key]:6.1f} s")


def main():
    sys.path.insert(0, str(ROOT))
    from tests.sim.exec.program_table import read_rows, server

    args, tally = parse(), Tally()
    engines = args.engine or ["model", "cxxrtl"]
    rows = [row for row in read_rows() if is_wanted(row, args)]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, server(engines, Path(name)) as served:
        for done, row in enumerate(rows):
            if args.seconds is not None and time.perf_counter() - start > args.seconds:
                print(f"stopped after {done} of {len(rows)} programs")
                break
            run_row(row, engines, served, Path(name) / "inputs", tally)
    tally.print()
    return int(any(tally.counts[key] for key in tally.counts if key[3] == "differ"))


if __name__ == "__main__":
    sys.exit(main())
